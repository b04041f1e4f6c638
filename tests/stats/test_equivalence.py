"""Two one-sided tests: equivalence is shown by data on both sides of zero, never by noise."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.equivalence import equivalence


def one_sided(d: np.ndarray) -> float:
    """P(T >= t) for the mean of d against 0."""
    return float(stats.t.sf(d.mean() / (d.std(ddof=1) / np.sqrt(len(d))), len(d) - 1))


def test_agrees_with_the_t_tests_by_hand():
    rng = np.random.default_rng(0)
    b = rng.normal(0.06, 0.004, 20)
    t = b + rng.normal(0.0004, 0.002, 20)
    result = equivalence(t, b, margin=0.05)
    assert result.p_low == pytest.approx(one_sided(t - 0.95 * b))
    assert result.p_high == pytest.approx(one_sided(1.05 * b - t))
    assert result.p == max(result.p_low, result.p_high)


def test_equivalence_needs_both_sides():
    rng = np.random.default_rng(0)
    b = rng.normal(1, 0.05, 40)
    noise = rng.normal(0, 0.02, 40)
    assert equivalence(b + noise, b, 0.05).p < 0.001
    assert equivalence(1.1 * b + noise, b, 0.05).p > 0.99
    assert equivalence(0.9 * b + noise, b, 0.05).p > 0.99


def test_noise_does_not_prove_equivalence():
    rng = np.random.default_rng(0)
    b = rng.normal(1, 0.5, 6)
    assert equivalence(b + rng.normal(0, 0.5, 6), b, 0.05).p > 0.2


@pytest.mark.slow
def test_at_the_margin_equivalence_is_claimed_as_rarely_as_alpha_says():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(2000):
        b = rng.normal(1, 0.05, 15)
        rejected += equivalence(1.05 * b + rng.normal(0, 0.03, 15), b, 0.05).p <= 0.05
    assert 0.03 <= rejected / 2000 <= 0.07


@pytest.mark.parametrize(
    ("treatment", "baseline", "margin", "message"),
    [
        ([1.0, 2], [1.0, 3], 0.0, "margin"),
        ([1.0, 2], [1.0, 3], 1.0, "margin"),
        ([1.0, 2], [-1.0, -3], 0.1, "positive mean"),
        ([1.0], [1.0], 0.1, "at least 2"),
        ([1.0, 1], [1.0, 1], 0.1, "no spread"),
        ([1.0, np.nan], [1.0, 1], 0.1, "finite"),
    ],
)
def test_bad_input_is_refused(treatment, baseline, margin, message):
    with pytest.raises(StatisticsError, match=message):
        equivalence(np.array(treatment), np.array(baseline), margin)


def test_pairs_that_all_differ_alike_are_named_by_their_difference() -> None:
    baseline = np.full(9, 0.08)
    with pytest.raises(StatisticsError, match=r"all 9 pairs differ by 0\.0008; they have no spread"):
        equivalence(baseline + 0.0008, baseline, 0.05)
