"""Means over seeds and users: errors without bias, and tests that err as rarely as they say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.crossed import crossed_mean, seeds_and_users


def table(r: np.random.Generator, seeds: int, users: int, of_seeds: float, of_users: float) -> np.ndarray:
    """Differences of mean zero with the two random effects and noise of its own."""
    return of_seeds * r.normal(size=(seeds, 1)) + of_users * r.normal(size=users) + r.normal(size=(seeds, users))


def error(share: float, draws: int) -> float:
    """Three Monte Carlo standard errors of a share."""
    return float(3 * np.sqrt(share * (1 - share) / draws))


def test_the_variance_of_the_mean_is_estimated_without_bias() -> None:
    r = np.random.default_rng(0)
    found = [crossed_mean(table(r, 6, 40, 0.5, 1.0)) for _ in range(2000)]
    true = 0.25 / 6 + 1 / 40 + 1 / 240
    assert np.mean([mean.error**2 for mean in found]) == pytest.approx(true, rel=0.05)
    assert np.var([mean.value for mean in found]) == pytest.approx(true, rel=0.1)


def test_without_users_of_their_own_it_is_the_t_test_over_seeds() -> None:
    """Where seeds alone vary, it is the one-sample t test of their means."""
    d = np.repeat(np.random.default_rng(1).normal(0.5, 1, (7, 1)), 30, axis=1)
    found = crossed_mean(d)
    assert found.p == pytest.approx(stats.ttest_1samp(d[:, 0], 0).pvalue)
    assert found.ends(0.9) == pytest.approx(stats.ttest_1samp(d[:, 0], 0).confidence_interval(0.9))


def test_without_seeds_that_differ_it_is_the_t_test_over_users() -> None:
    d = np.tile(np.random.default_rng(2).normal(0.1, 1, 60), (4, 1))
    assert crossed_mean(d).p == pytest.approx(stats.ttest_1samp(d[0], 0).pvalue)


def test_no_difference_at_all_has_no_error() -> None:
    found = crossed_mean(np.zeros((3, 4)))
    assert (found.error, found.p, found.direction, found.ends(0.95)) == (0.0, 1.0, 0, (0.0, 0.0))
    assert crossed_mean(np.ones((3, 4))).p == 0.0


def test_p_is_where_the_interval_ends_at_zero() -> None:
    found = crossed_mean(0.3 + table(np.random.default_rng(3), 5, 50, 0.2, 0.5))
    assert 0.001 < found.p < 0.5
    low, high = found.ends(1 - found.p)
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)
    assert crossed_mean(1e6 + table(np.random.default_rng(3), 5, 50, 0.2, 0.5)).p < 1e-15


@pytest.mark.parametrize("shape", [(2, 4), (2, 12), (3, 6), (3, 10), (4, 6), (6, 8), (13, 13)])
def test_p_is_found_at_every_small_size(shape: tuple[int, int]) -> None:
    """Also where scipy's far quantiles of t are -inf, and where users add no variance of their own."""
    r = np.random.default_rng(2)
    for _ in range(30):
        found = crossed_mean(r.normal(size=shape))
        assert 0 < found.p <= 1
        low, high = found.ends(1 - found.p)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6 * (high - low))
    alike = np.tile(r.normal(1, 1, 50), (4, 1))
    assert crossed_mean(alike).p == pytest.approx(stats.ttest_1samp(alike[0], 0).pvalue)


def rejected(seeds: int, of_seeds: float, studies: int, users: int = 942) -> tuple[float, float]:
    """How often a method without seeds differs from one with seeds, none better: by this test, and by users alone."""
    r = np.random.default_rng(seeds)
    own, alone = 0, 0
    for _ in range(studies):
        taste = r.normal(size=users)
        fixed = taste + r.normal(size=users)
        several = taste + 0.5 * r.normal(size=users) + table(r, seeds, users, of_seeds, 0.0)
        own += seeds_and_users(fixed, several).p <= 0.05
        alone += stats.ttest_1samp(several.mean(0) - fixed, 0).pvalue <= 0.05
    return own / studies, alone / studies


@pytest.mark.parametrize(("seeds", "of_seeds"), [(3, 0.1), (5, 0.03), (10, 0.1)])
def test_a_method_without_seeds_differs_as_rarely_as_the_level_says(seeds: int, of_seeds: float) -> None:
    own, _ = rejected(seeds, of_seeds, 600)
    assert own <= 0.05 + error(0.05, 600)


def test_users_alone_find_differences_between_seeds() -> None:
    """What it is for: with 3 seeds that vary, a test over users alone rejects more than every fifth time."""
    own, alone = rejected(3, 0.1, 400)
    assert own <= 0.05 + error(0.05, 400)
    assert alone > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("of_seeds", [0.0, 0.03, 0.1, 0.3])
def test_the_level_is_held_at_the_sizes_of_studies(seeds: int, of_seeds: float) -> None:
    own, alone = rejected(seeds, of_seeds, 3000)
    print(f"{seeds} seeds, of seeds {of_seeds}: {own:.4f}, users alone {alone:.4f}")
    assert own <= 0.05 + error(0.05, 3000)


def test_a_real_difference_is_found_in_either_order() -> None:
    r = np.random.default_rng(0)
    several, fixed = table(r, 5, 942, 0.02, 0.5), 0.2 + 0.5 * r.normal(size=942)
    up, down = seeds_and_users(fixed, several), seeds_and_users(several, fixed)
    assert (up.p < 0.01, up.direction, up.seeds, up.users) == (True, 1, 5, 942)
    assert (down.p, down.direction) == (pytest.approx(up.p), -1)


def test_users_are_paired_by_their_labels() -> None:
    r = np.random.default_rng(0)
    t, b = (pd.DataFrame(r.normal(size=(3, 5)), columns=list("abcde")) for _ in range(2))
    assert seeds_and_users(t, b[list("edcba")]) == seeds_and_users(t, b)


@pytest.mark.parametrize(
    ("treatment", "baseline"),
    [
        (np.ones(4), np.ones(4)),
        (np.ones((3, 4)), np.ones(5)),
        (np.ones((3, 4)), np.ones((2, 4))),
        (np.ones((1, 4)), np.ones(4)),
        (np.ones((3, 1)), np.ones(1)),
        (np.full((3, 4), np.nan), np.ones(4)),
        (np.ones((2, 3, 4)), np.ones((2, 3, 4))),
    ],
)
def test_tables_that_do_not_fit_are_refused(treatment: np.ndarray, baseline: np.ndarray) -> None:
    with pytest.raises(StatisticsError, match="expected"):
        seeds_and_users(treatment, baseline)
