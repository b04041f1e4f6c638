"""Health: sample ratios as scipy tests them, what was so before, exposure."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ncf.online.health import carry_over, exposure, p_text, sample_ratio, sample_ratio_check
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "ab_references.json").read_text())["srm"]
RNG = np.random.default_rng(0)
N = 2000
TREATED = RNG.random(N) < 0.5


@pytest.mark.parametrize("name", REFERENCE)
def test_sample_ratios(name) -> None:
    sizes, share = name.split(" expected ")
    found = sample_ratio([int(n) for n in sizes.split(":")], [float(share), 1 - float(share)])
    assert found.chi2 == pytest.approx(REFERENCE[name]["chi2"], rel=1e-8)
    assert found.p == pytest.approx(REFERENCE[name]["p"], rel=1e-8)
    assert found.p_exact == pytest.approx(REFERENCE[name]["binom_exact_p"], rel=1e-8)


def test_three_arms_and_shares_of_any_sum() -> None:
    found = sample_ratio([100, 100, 200], [1, 1, 2])
    assert (found.p, found.p_exact) == (1, None)
    assert found.expected == (100, 100, 200)


def test_a_mismatch_is_refused_and_chance_is_not() -> None:
    assert sample_ratio_check({"A": 5000, "B": 5200}, None).state == "ok"
    bad = sample_ratio_check({"A": 1800, "B": 8200}, {"A": 1, "B": 4})
    assert bad.state == "refused"
    assert "sample-ratio mismatch" in bad.says
    n = 200  # enumerated
    refused = [a for a in range(n + 1) if sample_ratio([a, n - a]).p < 0.001]
    assert stats.binom.pmf(refused, n, 0.5).sum() == pytest.approx(0.001, abs=4e-4)


@pytest.mark.parametrize(
    ("counts", "shares"), [([5], None), ([5, -1], None), ([0, 0], None), ([5, 5], [1, 0]), ([5, 5], [1])]
)
def test_refusals(counts, shares) -> None:
    with pytest.raises(StatisticsError):
        sample_ratio(counts, shares)


def test_shares_of_other_arms_are_refused() -> None:
    with pytest.raises(StatisticsError, match="one for each of A, B, got A, C"):
        sample_ratio_check({"A": 1, "B": 2}, {"A": 1, "C": 1})


def test_a_difference_from_before_is_warned_of() -> None:
    before = RNG.normal(size=N)
    assert carry_over(before, TREATED, "pre").state == "ok"
    found = carry_over(before + 0.3 * TREATED, TREATED, "pre")
    assert found.state == "warning"
    assert "earlier experiment" in found.says


def test_a_metric_that_goes_with_an_exposure_that_moved() -> None:
    sessions = 1 + RNG.poisson(3 + 1.0 * TREATED)
    clicks = RNG.poisson(0.3 * sessions)
    found = exposure(clicks.astype(float), sessions.astype(float), TREATED, "clicks", "sessions")
    assert found.state == "warning"
    assert "correlated with exposure" in found.says
    alike = 1.0 + RNG.poisson(3, N)
    assert exposure(RNG.poisson(0.3 * alike).astype(float), alike, TREATED, "clicks", "sessions").state == "ok"
    assert exposure(RNG.normal(size=N), sessions.astype(float), TREATED, "y", "sessions").state == "ok"
    assert exposure(np.ones(N), alike, TREATED, "y", "sessions").details == {}


@pytest.mark.parametrize(("p", "text"), [(0.0312, "0.031"), (2e-5, "2e-05"), (0.0, "< 1e-15"), (1.0, "1"), (None, "")])
def test_p_values(p, text) -> None:
    assert p_text(p) == text


def test_blanks_in_the_name_of_an_arm_are_seen() -> None:
    assert "'B '" in sample_ratio_check({"A": 1000, "B": 500, "B ": 500}, None).says


def test_a_mismatch_that_chance_makes_once_in_300_is_not_refused() -> None:
    found = sample_ratio_check({"A": 5147, "B": 4853}, None)  # z 2.94
    assert (found.state, found.details["p"]) == ("ok", pytest.approx(2 * stats.norm.sf(2.94), rel=1e-6))
    assert sample_ratio_check({"A": 5170, "B": 4830}, None).state == "refused"  # z 3.4
