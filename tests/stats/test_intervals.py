"""Bootstrap intervals: equal to an independent one, and covering as often as they claim."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.effects import cohen_dz, mean_difference, rank_biserial
from ncf.stats.intervals import bootstrap, two_level

SETTINGS = {"level": 0.95, "resamples": 1999}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bca(d: np.ndarray, level: float, draws: np.ndarray) -> list[float]:
    """BCa of a mean by Efron and Tibshirani 1993, equations 14.9 to 14.15."""
    leave_one_out = np.array([np.delete(d, i).mean() for i in range(len(d))])
    u = leave_one_out.mean() - leave_one_out
    a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    z0 = stats.norm.ppf((draws < d.mean()).mean())
    z = stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    return np.quantile(draws, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))).tolist()


def test_bca_agrees_with_an_independent_one():
    d = rng(1).gamma(1.0, 1.0, 25)
    draws = d[rng(2).integers(0, 25, (200_000, 25))].mean(1)
    interval = bootstrap(mean_difference, d, 0 * d, level=0.9, resamples=50_000, rng=rng(3))
    assert [interval.low, interval.high] == pytest.approx(bca(d, 0.9, draws), rel=0.02)
    assert (interval.estimate, interval.method) == (pytest.approx(d.mean()), "BCa")


def test_the_same_stream_gives_the_same_interval():
    t, b = rng(0).normal(1, 1, (2, 12))
    intervals = [bootstrap(cohen_dz, t, b, **SETTINGS, rng=rng(5)) for _ in range(2)]
    assert intervals[0] == intervals[1]


def test_pairs_are_kept_together():
    """Nearly equal pairs with a wide spread of levels: resampling the arms apart would give a wide interval."""
    level = rng(0).normal(0, 10, 20)
    interval = bootstrap(mean_difference, level + 1 + rng(1).normal(0, 0.01, 20), level, **SETTINGS, rng=rng(2))
    assert 0.98 < interval.low < interval.high < 1.02


def test_a_degenerate_bootstrap_falls_back_and_says_so():
    t = np.array([1.0, 2, 3, 4, 5])
    interval = bootstrap(rank_biserial, t, 0 * t, **SETTINGS, rng=rng())
    assert (interval.low, interval.high, interval.method) == (1, 1, "percentile")


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, np.nan, 2.0]])
def test_bad_pairs_are_refused(values):
    with pytest.raises(StatisticsError, match="treatment: expected"):
        bootstrap(mean_difference, np.array(values), np.zeros(len(values)), **SETTINGS, rng=rng())


def test_bca_covers_over_seeds():
    d = rng(0).normal(0.3, 1, (200, 30))
    covered = 0
    for row in d:
        interval = bootstrap(mean_difference, row, 0 * row, level=0.9, resamples=999, rng=rng(1))
        covered += interval.low <= 0.3 <= interval.high
    assert 0.84 <= covered / 200 <= 0.95


def crossed(r: np.random.Generator, seeds: int, users: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """The gain varies from seed to seed and from user to user, as training noise and a sample of users make it."""
    baseline = 1 + 0.3 * r.normal(size=(1, users)) + 0.1 * r.normal(size=(seeds, users))
    gain = effect + 0.1 * r.normal(size=(seeds, 1)) + 0.3 * r.normal(size=(1, users))
    return baseline + gain + 0.2 * r.normal(size=(seeds, users)), baseline


def test_two_level_covers_where_one_level_does_not():
    r, covered, seeds_only = rng(0), 0, 0
    for _ in range(150):
        t, b = crossed(r, seeds=12, users=25, effect=0.2)
        interval, _ = two_level(t, b, level=0.9, resamples=500, rng=r)
        covered += interval.low <= 0.2 <= interval.high
        d = (t - b).mean(1)
        half = stats.t.isf(0.05, 11) * d.std(ddof=1) / np.sqrt(12)
        seeds_only += abs(d.mean() - 0.2) <= half
    assert 0.84 <= covered / 150 <= 0.98
    assert seeds_only / 150 < 0.8


def test_two_level_spread_is_the_exact_pigeonhole_variance():
    """Owen 2007: given the table, E[var] of a doubly resampled mean in closed form."""
    t, b = crossed(rng(0), seeds=6, users=9, effect=0.2)
    d, (s, u) = t - b, (6, 9)
    rows, columns = d.mean(1).var() / s, d.mean(0).var() / u
    rest = (d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()).var() / (s * u)
    interval, _ = two_level(t, b, level=0.6827, resamples=40_000, rng=rng(1))
    assert (interval.high - interval.low) / 2 == pytest.approx(np.sqrt(rows + columns + rest), rel=0.05)


def test_the_two_level_interval_can_be_of_the_relative_change():
    t, b = crossed(rng(0), seeds=8, users=40, effect=0.2)
    absolute, relative = two_level(t, b, **SETTINGS, rng=rng(1))
    assert relative.estimate == pytest.approx(t.mean() / b.mean() - 1)
    assert absolute.low < absolute.estimate < absolute.high
    assert relative.low < relative.estimate < relative.high


@pytest.mark.parametrize(
    ("treatment", "baseline", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 5)), "expected equal"),
        (np.ones((1, 4)), np.ones((1, 4)), "each >= 2"),
        (np.ones(4), np.ones(4), "seeds, users"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "finite"),
        (np.ones((2, 2)), np.zeros((2, 2)), "positive mean"),
    ],
)
def test_two_level_refuses_bad_tables(treatment, baseline, message):
    with pytest.raises(StatisticsError, match=message):
        two_level(treatment, baseline, **SETTINGS, rng=rng())
