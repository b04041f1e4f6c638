"""Beta posteriors: exact sums, identities, extremes, and that stopping on them deceives."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from ncf.online.bayes import density, difference_cdf, difference_quantile, expected_loss, posterior, probability_better
from ncf.stats.checks import StatisticsError

SCENARIOS = json.loads((Path(__file__).parent / "reference" / "ab_references.json").read_text())["beta_binomial"][
    "scenarios"
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_exact_sums(name) -> None:
    own = SCENARIOS[name]
    a0, b0, a, b = map(int, re.findall(r"\d+", name))
    assert probability_better(a, b, a0, b0) == pytest.approx(own["p_b_gt_a"], abs=1e-9)
    assert expected_loss(a, b, a0, b0) == pytest.approx(own["expected_loss_choosing_b"], abs=1e-9)
    assert expected_loss(a0, b0, a, b) == pytest.approx(own["expected_loss_choosing_a"], abs=1e-9)
    assert abs(probability_better(a, b, a0, b0) - own["mc100k_p"]) <= 4 * own["mc100k_p_se"]
    assert abs(expected_loss(a, b, a0, b0) - own["mc100k_loss"]) <= 4 * own["mc100k_loss_se"]


def test_the_sum_of_hypergeometric_terms() -> None:
    """P(X > Y) for whole numbers, a finite sum (Miller 2015)."""
    a, b, a0, b0 = 7, 21, 5, 30
    i = np.arange(a)
    terms = special.betaln(a0 + i, b + b0) - np.log(b + i) - special.betaln(1 + i, b) - special.betaln(a0, b0)
    assert probability_better(a, b, a0, b0) == pytest.approx(np.exp(terms).sum(), abs=1e-12)


@pytest.mark.parametrize(
    "shapes",
    [(0.1, 0.2, 0.3, 0.15), (1e6, 3e6, 1.01e6, 3e6), (1e3, 1e6, 1e5, 0.1), (90, 3e6, 8e5, 1.4), (5e5, 2e6, 3e3, 700)],
)
def test_identities_at_extremes(shapes) -> None:
    a, b, a0, b0 = shapes
    one, other = probability_better(*shapes), probability_better(a0, b0, a, b)
    assert one + other == pytest.approx(1, abs=1e-12)
    lost = expected_loss(*shapes) - expected_loss(a0, b0, a, b)
    assert lost == pytest.approx(a0 / (a0 + b0) - a / (a + b), abs=1e-13)


def test_a_loss_far_away_keeps_its_digits() -> None:
    a, b = (2000.0, 8000.0), (1500.0, 8500.0)
    x = np.linspace(1e-6, 1 - 1e-6, 200_001)
    brute = np.trapezoid(stats.beta.cdf(x, *a) * stats.beta.sf(x, *b), x)
    assert brute < 1e-18
    assert expected_loss(*a, *b) == pytest.approx(brute, rel=1e-6)


def test_intervals_of_the_difference() -> None:
    found = posterior(60, 1000, 50, 1000)
    draws = np.random.default_rng(0)
    difference = draws.beta(61, 941, 400_000) - draws.beta(51, 951, 400_000)
    for end, probability in zip(found.interval_difference, (0.025, 0.975), strict=True):
        assert (difference <= end).mean() == pytest.approx(probability, abs=4 * np.sqrt(0.025 * 0.975 / 400_000))
    assert found.interval == pytest.approx(stats.beta.interval(0.95, 61, 941), rel=1e-10)
    assert difference_cdf(found.interval_difference[1], 61, 941, 51, 951) == pytest.approx(0.975, abs=1e-9)
    assert difference_quantile(0.5, 4, 4, 4, 4) == pytest.approx(0, abs=1e-10)
    assert found.loss_control - found.loss == pytest.approx(found.difference, abs=1e-13)
    assert difference_quantile(0.9, 1, 1, 1, 1) == pytest.approx(1 - np.sqrt(0.2), abs=1e-9)  # triangular


def test_priors_and_swapped_arms() -> None:
    a, b = posterior(10, 100, 20, 100), posterior(20, 100, 10, 100)
    assert a.probability == pytest.approx(1 - b.probability, abs=1e-12)
    assert a.interval_difference == pytest.approx([-end for end in reversed(b.interval_difference)], abs=1e-9)
    assert posterior(0, 0, 0, 0, prior=(0.5, 0.5)).probability == pytest.approx(0.5, abs=1e-12)
    assert density(np.array([0.25]), 2, 3)[0] == pytest.approx(stats.beta.pdf(0.25, 2, 3), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((-1, 5, 0, 5), "successes"), ((6, 5, 0, 5), "at most 5"), ((1, 5, np.nan, 5), "successes")],
)
def test_refusals(arguments, says) -> None:
    with pytest.raises(StatisticsError, match=says):
        posterior(*arguments)


def test_a_prior_that_is_none() -> None:
    with pytest.raises(StatisticsError, match="prior"):
        posterior(1, 5, 1, 5, prior=(0, 1))


@pytest.mark.slow
def test_credible_intervals_cover_on_average_over_the_prior() -> None:
    rng, hits, runs = np.random.default_rng(4), 0, 2000
    for _ in range(runs):
        p, q = rng.random(2)
        x, y = rng.binomial(30, p), rng.binomial(30, q)
        hits += 0.025 <= difference_cdf(p - q, x + 1, 31 - x, y + 1, 31 - y) <= 0.975
    assert abs(hits / runs - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / runs)
