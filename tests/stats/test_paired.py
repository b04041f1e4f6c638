"""Paired tests against published examples and the enumeration of all sign patterns."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.effects import rank_biserial
from ncf.stats.paired import paired_t, sign_test, signed_rank_distribution, wilcoxon, wilcoxon_of_many

CORN = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])  # Wilcoxon 1945, Darwin's plants
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])  # Student 1908


def zeros(d: np.ndarray) -> np.ndarray:
    return np.zeros_like(d)


def every_sign(d: np.ndarray) -> float:
    """Two-sided p of the sum of positive ranks over all 2^n sign patterns."""
    d = d[d != 0]
    ranks = stats.rankdata(np.abs(d))
    observed = ranks[d > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=len(d))])
    return min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))


def test_wilcoxon_reproduces_wilcoxon_1945():
    result = wilcoxon(CORN, zeros(CORN))
    assert (result.statistic, result.n, result.method) == (96.0, 15, "exact")
    assert result.p == pytest.approx(0.041259765625, abs=1e-12)


def test_the_paired_t_test_reproduces_student_1908():
    t = paired_t(SLEEP, zeros(SLEEP))
    assert t.statistic == pytest.approx(4.0621, abs=1e-4)
    assert t.p == pytest.approx(0.002833, abs=1e-6)
    assert wilcoxon(SLEEP, zeros(SLEEP)).p == 2 / 2**9  # one zero dropped, all nine others positive
    assert sign_test(SLEEP, zeros(SLEEP)).p == 2 / 2**9


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9).filter(any))
def test_wilcoxon_with_ties_and_zeros_agrees_with_every_sign_pattern(values):
    d = np.array(values, dtype=float)
    assert wilcoxon(d, zeros(d)).p == pytest.approx(every_sign(d), abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 8, 11])
def test_wilcoxon_without_ties_agrees_with_every_sign_pattern(n):
    d = np.random.default_rng(n).normal(0.3, 1, n)
    assert wilcoxon(d, zeros(d)).p == pytest.approx(every_sign(d), abs=1e-12)


@pytest.mark.parametrize("n", [5, 8, 20, 50])
def test_agreeing_pairs_reach_the_smallest_p(n):
    d = np.arange(1.0, n + 1)
    assert wilcoxon(d, zeros(d)).p == pytest.approx(2 / 2**n, rel=1e-12)
    assert wilcoxon(np.ones(n), zeros(d)).p == pytest.approx(2 / 2**n, rel=1e-12)


def test_exact_with_ties_agrees_with_random_signs_at_thirty_pairs():
    rng = np.random.default_rng(0)
    d = rng.integers(-6, 9, 30).astype(float)
    d = d[d != 0]
    ranks = stats.rankdata(np.abs(d))
    sums = (rng.integers(0, 2, (200_000, len(d))) * ranks).sum(1)
    observed = ranks[d > 0].sum()
    simulated = 2 * min((sums <= observed).mean(), (sums >= observed).mean())
    assert wilcoxon(d, zeros(d)).p == pytest.approx(simulated, abs=4 * np.sqrt(simulated / 200_000))


def test_steps_of_one_user_tie_in_spite_of_rounding():
    """(k + 3) / 942 - k / 942 has many last digits; the tests must see one tie."""
    base, moved = np.array([1, 117, 300, 620, 911]) / 942, np.array([4, 120, 303, 623, 908]) / 942
    assert len(np.unique(np.abs(moved - base))) > 1
    assert wilcoxon(moved, base).p == pytest.approx(every_sign(np.array([3, 3, 3, 3, -3.0])))
    assert sign_test(base, base + np.array([1e-17, 0, 0, 0, 0.1])).n == 1


def test_many_users_use_the_tie_corrected_normal():
    d = np.random.default_rng(0).integers(-3, 5, 942).astype(float)
    result = wilcoxon(d, zeros(d))
    nonzero = d[d != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    z = (ranks[nonzero > 0].sum() - ranks.sum() / 2) / np.sqrt((ranks**2).sum() / 4)
    assert result.method == "asymptotic"
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_sign_test_by_hand():
    d = np.array([1, 1, 1, 1, 1, 1, 1, -1, 0.0])
    result = sign_test(d, zeros(d))
    assert (result.statistic, result.n) == (7, 8)
    assert result.p == pytest.approx(2 * (1 + 8) / 2**8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3), min_size=3, max_size=12, unique=True))
def test_swapping_the_arms_changes_no_p(values):
    a, b = np.array(values), np.linspace(0, 1, len(values)) * 1e-3
    for test in (wilcoxon, sign_test, paired_t):
        assert test(a, b).p == pytest.approx(test(b, a).p, rel=1e-9)


@pytest.mark.parametrize("test", [wilcoxon, sign_test, paired_t])
@pytest.mark.parametrize(
    ("treatment", "baseline", "message"),
    [
        ([1, 2, 3], [1, 2, 3], "all 3 differences are zero"),
        ([1], [0], "at least 2 values, got 1"),
        ([], [], "at least 2 values, got 0"),
        ([1, np.nan, 2], [0, 0, 0], "treatment: expected finite values, got nan at position 1"),
        ([1, 2, 2], [0, np.inf, 0], "baseline: expected finite values, got inf at position 1"),
        ([1, 2, 3], [0, 0], r"treatment and baseline of equal shape, got \(3,\) and \(2,\)"),
        ([[1, 2]], [[0, 0]], r"a vector, got shape \(1, 2\)"),
    ],
)
def test_degenerate_input_is_a_named_error(test, treatment, baseline, message):
    with pytest.raises(StatisticsError, match=message):
        test(np.array(treatment, dtype=float), np.array(baseline, dtype=float))


def test_t_of_equal_differences_is_refused():
    with pytest.raises(StatisticsError, match="all 3 differences equal"):
        paired_t(np.array([0.3, 0.4, 0.5]), np.array([0.1, 0.2, 0.3]))


def test_direction_is_that_of_the_statistic_and_not_of_the_mean():
    """Eleven small losses and one gain that outweighs them: the ranks say worse, the mean better."""
    d = np.array([*-np.arange(1.0, 12) / 100, 5.0])
    assert d.mean() > 0
    result = wilcoxon(d, zeros(d))
    assert (result.p < 0.05, result.direction) == (True, -1)
    assert (sign_test(d, zeros(d)).direction, paired_t(d, zeros(d)).direction) == (-1, 1)
    assert wilcoxon(zeros(d), d).direction == 1
    assert wilcoxon(np.array([1.0, -1.0]), np.zeros(2)).direction == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-30, 30).filter(bool), min_size=2, max_size=12, unique_by=abs))
def test_direction_has_the_sign_of_the_rank_biserial(values):
    d = np.array(values, dtype=float)
    assert wilcoxon(d, zeros(d)).direction == np.sign(rank_biserial(d, zeros(d)))


@pytest.mark.parametrize("n", [2, 7, 36, 60])
def test_many_at_once_are_as_one_at_a_time(n):
    d = np.random.default_rng(n).normal(0.2, 1, (5, 4, n))
    p, direction = wilcoxon_of_many(d)
    one = [wilcoxon(row, zeros(row)) for row in d.reshape(-1, n)]
    np.testing.assert_allclose(p.ravel(), [test.p for test in one], rtol=1e-9)
    assert direction.ravel().tolist() == [test.direction for test in one]


def test_the_distribution_of_the_statistic_is_that_of_random_signs():
    assert signed_rank_distribution(3).tolist() == [1 / 8, 1 / 8, 1 / 8, 2 / 8, 1 / 8, 1 / 8, 1 / 8]
    assert signed_rank_distribution(50).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="read-only"):
        signed_rank_distribution(3)[0] = 1
