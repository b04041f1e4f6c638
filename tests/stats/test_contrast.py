"""Two methods on the same units: against scipy, the delta method against its bootstrap, and Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats import StatisticsError
from ncf.stats.contrast import contrast, corrected
from ncf.stats.multiplicity import holm

RNG = np.random.default_rng(0)
B = RNG.gamma(2.0, 1.0, 400)
T = B + RNG.normal(0.1, 1.0, 400)


def test_difference_interval_and_p_are_those_of_the_paired_t_test() -> None:
    found, theirs = contrast(T, B), stats.ttest_rel(T, B)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.ends == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)
    assert (found.difference, found.units) == (pytest.approx((T - B).mean()), 400)


def test_the_relative_change_has_the_bootstraps_interval() -> None:
    found = contrast(T, B)
    assert found.relative == pytest.approx(T.mean() / B.mean() - 1)
    drawn = RNG.integers(0, 400, (4000, 400))
    spread = (T[drawn].mean(1) / B[drawn].mean(1)).std()
    half = (found.relative_ends[1] - found.relative_ends[0]) / 2 / stats.t.isf(0.025, 399)
    assert half == pytest.approx(spread, rel=4 / np.sqrt(2 * 4000))  # of a standard deviation of 4,000 draws, 4 errors


def test_without_a_positive_baseline_there_is_no_relative_change_and_without_a_difference_no_finding() -> None:
    none = contrast(np.array([0.0, 1.0, 0.5]), np.zeros(3))
    assert none.relative is None
    assert none.relative_ends is None
    same = contrast(B, B)
    assert (same.difference, same.ends, same.p) == (0, (0, 0), 1)


def test_p_values_are_corrected_over_all() -> None:
    each = [contrast(T[:n], B[:n]) for n in (50, 100, 400)]
    assert [c.p for c in corrected(each)] == pytest.approx(holm(np.array([c.p for c in each])).tolist())
    assert corrected([]) == []


def test_units_that_do_not_pair_are_refused() -> None:
    with pytest.raises(StatisticsError, match=r"^paired samples: expected treatment and baseline of equal shape"):
        contrast(T, B[1:])
