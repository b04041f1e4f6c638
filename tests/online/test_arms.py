"""Arm means held against each other: Welch's numbers, influence that makes the estimate, log ratios."""

import numpy as np
import pytest
from scipy import stats

from ncf.online.arms import ArmMean, arm_mean, difference, gap, log_ratio, plain, relative
from ncf.stats.checks import StatisticsError

RNG = np.random.default_rng(3)
TREATED = RNG.random(60) < 0.4
VALUES = RNG.normal(5, 1 + TREATED, 60)
ARMS = plain(VALUES[TREATED]), plain(VALUES[~TREATED])


def test_the_difference_is_that_of_welch() -> None:
    found = difference(*ARMS, TREATED, method="Welch", level=0.9)
    expected = stats.ttest_ind(VALUES[TREATED], VALUES[~TREATED], equal_var=False)
    assert found.p() == pytest.approx(expected.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.9), rel=1e-10)
    assert found.degrees == pytest.approx(expected.df, rel=1e-12)


def test_the_influence_makes_the_estimate_and_its_error() -> None:
    found = difference(*ARMS, TREATED, method="Welch")
    assert found.influence is not None
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
    assert np.sqrt(found.influence @ found.influence) / 60 == pytest.approx(found.standard_error, rel=1e-12)
    moved = VALUES.copy()
    moved[7] += 0.5  # by hand: what one unit's value does to the difference
    share = 1 / TREATED.sum() if TREATED[7] else -1 / (~TREATED).sum()
    again = difference(plain(moved[TREATED]), plain(moved[~TREATED]), TREATED, method="Welch")
    assert again.value - found.value == pytest.approx(0.5 * share, rel=1e-9)


def test_the_relative_effect_comes_from_the_log_ratio() -> None:
    log = log_ratio(*ARMS, TREATED, method="Welch")
    found = relative(log)
    ratio = VALUES[TREATED].mean() / VALUES[~TREATED].mean()
    assert found.value == pytest.approx(ratio - 1, rel=1e-12)
    assert np.log1p(found.high) + np.log1p(found.low) == pytest.approx(2 * np.log(ratio), rel=1e-12)
    by_delta = np.sqrt(
        ARMS[0].variance / ARMS[1].value ** 2 + ARMS[1].variance * ARMS[0].value ** 2 / ARMS[1].value ** 4
    )  # by hand
    assert found.standard_error == pytest.approx(by_delta, rel=1e-12)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(StatisticsError, match="positive means"):
        log_ratio(plain(np.array([1.0, 2.0])), plain(np.array([-1.0, -2.0])), np.array([1, 1, 0, 0], bool), method="m")
    with pytest.raises(StatisticsError, match="at least 2 units"):
        plain(np.ones(1))
    with pytest.raises(StatisticsError, match="treated"):
        difference(*ARMS, ~TREATED, method="m")


def test_nothing_that_varies_and_a_large_sample() -> None:
    same = difference(plain(np.ones(3)), plain(np.zeros(4)), np.array([1, 1, 1, 0, 0, 0, 0], bool), method="m")
    assert (same.value, same.standard_error, same.degrees, same.p()) == (1, 0, 5, 0)
    large = arm_mean(1.0, np.array([-1.0, 1.0]), large_sample=True)
    assert isinstance(large, ArmMean)
    assert difference(large, large, np.array([1, 1, 0, 0], bool), method="m").degrees == np.inf


@pytest.mark.parametrize("value", [0.1, 1 / 3, 19.99, 1e-5, 0.0])
@pytest.mark.parametrize("n", [37, 101, 1000])
def test_arms_of_one_value_show_no_effect_by_rounding(value: float, n: int) -> None:
    treated = np.arange(n) < n // 3
    found = difference(plain(np.full(n // 3, value)), plain(np.full(n - n // 3, value)), treated, method="Welch")
    assert (found.value, found.standard_error, found.p()) == (0, 0, 1)


def test_the_rounding_of_means_is_no_effect_and_a_small_effect_is_one() -> None:
    assert gap(0.1, np.full(101, 0.1).mean()) == 0
    assert gap(1e9 + 1e-4, 1e9) == pytest.approx(1e-4, rel=0.01)
    assert gap(0.0, 1e-300) == -1e-300
