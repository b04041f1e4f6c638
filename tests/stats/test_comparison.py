"""One comparison holds what its parts give: tests, equivalence, effects and their intervals."""

import numpy as np
import pandas as pd
import pytest

from ncf.stats.checks import StatisticsError
from ncf.stats.comparison import compare
from ncf.stats.effects import EFFECTS
from ncf.stats.paired import wilcoxon

SETTINGS = {"margin": 0.05, "level": 0.95, "resamples": 999}


def test_a_comparison_holds_what_its_parts_give():
    rng = np.random.default_rng(0)
    b = rng.normal(0.06, 0.004, 12)
    t = b + rng.normal(0.004, 0.004, 12)
    result = compare(t, b, **SETTINGS, rng=np.random.default_rng(1))
    assert result.seeds == 12
    assert result.wilcoxon == wilcoxon(t, b)
    assert list(result.effects) == list(EFFECTS)
    for name, interval in result.effects.items():
        assert interval.low <= interval.estimate <= interval.high
        assert interval.estimate == pytest.approx(float(EFFECTS[name](t, b)))
    assert result.treatment_mean - result.baseline_mean == pytest.approx(result.effects["mean_difference"].estimate)


@pytest.mark.parametrize(
    ("treatment", "baseline", "message"),
    [
        ([1.0, 2, 3], [0.5, 1.5, 2.5], "all 3 differences equal 0.5"),
        ([1.0, 2], [0.5, 0.5], "at least 3 values"),
        ([1.0, 2, 4], [-1.0, -1, -1], "positive mean"),
        ([1.0, 2, np.nan], [1.0, 1, 1], "finite"),
    ],
)
def test_degenerate_comparisons_are_named(treatment, baseline, message):
    with pytest.raises(StatisticsError, match=message):
        compare(np.array(treatment), np.array(baseline), **SETTINGS, rng=np.random.default_rng(0))


def test_arms_whose_every_pair_is_the_same_are_equivalent_without_a_test():
    result = compare(np.array([1.0, 2, 3]), np.array([1.0, 2, 3]), **SETTINGS, rng=np.random.default_rng(0))
    assert (result.wilcoxon.p, result.wilcoxon.n, result.equivalence.p) == (1.0, 0, 0.0)
    assert {(i.estimate, i.ends, i.withheld) for i in result.effects.values()} == {
        (0.0, None, "all 3 differences are zero")
    }


def test_series_are_compared_by_their_labels():
    rng = np.random.default_rng(0)
    b = pd.Series(rng.normal(1, 0.1, 12), index=range(42, 54))
    t = b + rng.normal(0.05, 0.02, 12)
    one, other = (compare(t, arm, **SETTINGS, rng=np.random.default_rng(1)) for arm in (b, b[::-1]))
    assert one == other
