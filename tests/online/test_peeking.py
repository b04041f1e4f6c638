"""What stopping rules do, against the published simulation; exact posterior probabilities against enumeration."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from ncf.online import peeking, sequential
from ncf.online.peeking import least_expected_loss, probability_b_better
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "peeking.json").read_text())
SETUP = {"experiments": 20_000, "looks": 30, "per_look": 50}
RULES = {
    "fixed horizon, one look at day 30 (z)": peeking.at_the_end(),
    "fixed horizon, Yates": peeking.at_the_end(yates=True),
    "peek daily, chi2 with Yates (the original)": peeking.every_day(yates=True),
    "peek daily, z without Yates": peeking.every_day(),
    "peek daily, Bonferroni over 30": peeking.every_day(0.05 / 30),
    "Pocock 30 looks": peeking.within(sequential.bounds(30, kind="pocock")),
    "O'Brien-Fleming 30 looks": peeking.within(sequential.bounds(30)),
    "mSPRT tau=0.01": peeking.mixture(0.01),
    "mSPRT tau=0.03": peeking.mixture(0.03),
    "asymptotic confidence sequence, tuned at N=3000": peeking.confidence_sequence(3000),
    "asymptotic CS tuned at N=500": peeking.confidence_sequence(500),
    "safe 2x2 e-process (exact)": peeking.safe(),
    "Bayes: stop when P(B>A) or P(A>B) > 0.95": peeking.posterior(0.95, exact=False),
    "Bayes: stop when P > 0.975 (two-sided 5%)": peeking.posterior(0.975, exact=False),
    "Bayes: stop when expected loss of the leader < 0.001": peeking.expected_loss(0.001),
    "Bayes: expected loss < 0.0001": peeking.expected_loss(0.0001),
}


@pytest.mark.parametrize(
    ("case", "rates"), [("type_I (p=0.10 both)", (0.1, 0.1)), ("power (0.10 vs 0.13)", (0.1, 0.13))]
)
def test_every_rule_stops_as_often_and_as_late_as_published(case: str, rates: tuple[float, float]) -> None:
    looks = peeking.simulate(rates, **SETUP, rng=np.random.default_rng(1))
    started = time.process_time()
    table = peeking.judged(looks, RULES).set_index("rule")
    assert time.process_time() - started < 10
    for rule, expected in REFERENCE[case].items():
        found = table.loc[rule]
        error = np.hypot(expected["mc_se"], found["monte_carlo_error"])  # both sides are simulated
        assert found["stopped"] == pytest.approx(expected["reject"], abs=4 * error), rule
        assert found["days"] == pytest.approx(expected["mean_days"], abs=4 * 11 * np.sqrt(2 / 20_000)), rule


def test_planned_and_any_time_rules_keep_the_error_rate_and_naive_ones_do_not() -> None:
    looks = peeking.simulate((0.1, 0.1), **SETUP, rng=np.random.default_rng(2))
    table = peeking.judged(looks, peeking.standard_rules(30)).set_index("rule")["stopped"]
    error = np.sqrt(0.05 * 0.95 / 20_000)
    for rule in ("once, at the end", "Pocock", "O'Brien-Fleming"):  # of binomial counts: up to half a count
        assert table[rule] == pytest.approx(0.05, abs=0.005 + 3 * error), rule
    for rule in ("mSPRT, tau 0.03", "confidence sequence, tuned at the end", "safe test of 2x2 tables",
                 "Bonferroni over the days"):  # fmt: skip
        assert table[rule] <= 0.05 + 3 * error, rule
    assert table["z-test with Yates's correction every day"] > 0.18
    assert table["z-test every day"] > 0.25
    assert table["posterior above 0.95"] > 0.4
    assert table["expected loss below 0.001"] > 0.7


@pytest.mark.parametrize(("a", "b", "n", "m"), [(0, 0, 3, 5), (3, 5, 10, 13), (10, 0, 10, 4), (40, 44, 400, 380)])
def test_the_posterior_probability_and_loss_are_those_of_integration(a: int, b: int, n: int, m: int) -> None:
    first, second = stats.beta(a + 1, n - a + 1), stats.beta(b + 1, m - b + 1)
    wins = integrate.quad(lambda x: first.cdf(x) * second.pdf(x), 0, 1, epsabs=1e-12, limit=500)[0]
    assert probability_b_better(np.array([a]), np.array([b]), n, m) == pytest.approx(wins, abs=1e-9)
    of_b = integrate.quad(lambda x: second.cdf(x) * first.sf(x), 0, 1, epsabs=1e-12, limit=500)[0]  # E (a - b)+
    of_a = integrate.quad(lambda x: first.cdf(x) * second.sf(x), 0, 1, epsabs=1e-12, limit=500)[0]
    least = least_expected_loss(np.array([a]), np.array([b]), n, m)
    assert least == pytest.approx(of_b if second.mean() > first.mean() else of_a, abs=1e-9)


def test_equal_arms_are_even_and_many_counts_are_answered_at_once() -> None:
    a = np.arange(51)
    np.testing.assert_allclose(probability_b_better(a, a, 50, 50), 0.5, atol=1e-12)
    b = np.random.default_rng(0).integers(0, 51, 51)
    one = probability_b_better(a, b, 50, 50)
    np.testing.assert_allclose(one + probability_b_better(b, a, 50, 50), 1, atol=1e-12)
    each = [probability_b_better(a[i : i + 1], b[i : i + 1], 50, 50)[0] for i in range(51)]
    np.testing.assert_allclose(one, each, atol=1e-12)


def test_arms_without_a_success_stop_nothing() -> None:
    looks = peeking.Looks(np.zeros((2, 3), int), np.zeros((2, 3), int), np.array([5, 10, 15]))
    for name, rule in peeking.standard_rules(3).items():
        if "posterior" not in name and "loss" not in name:
            assert not rule(looks).any(), name


@pytest.mark.parametrize("arguments", [((0.0, 0.5), 10, 3, 5), ((0.5, 0.5), 0, 3, 5), ((0.5, 0.5), 10, 3, 0)])
def test_impossible_simulations_are_refused(arguments: tuple[tuple[float, float], int, int, int]) -> None:
    rates, experiments, looks, per_look = arguments
    with pytest.raises(StatisticsError):
        peeking.simulate(rates, experiments=experiments, looks=looks, per_look=per_look, rng=np.random.default_rng(0))
