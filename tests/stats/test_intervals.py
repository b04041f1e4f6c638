"""Bootstrap intervals: equal to an independent one, and covering as often as they claim."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.effects import cohen_dz, mean_difference, rank_biserial
from ncf.stats.intervals import bootstrap, two_level, why_withheld

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
        interval, _ = two_level(t, b, level=0.9)
        covered += interval.low <= 0.2 <= interval.high
        d = (t - b).mean(1)
        half = stats.t.isf(0.05, 11) * d.std(ddof=1) / np.sqrt(12)
        seeds_only += abs(d.mean() - 0.2) <= half
    assert 0.84 <= covered / 150 <= 0.98
    assert seeds_only / 150 < 0.8


def test_two_level_uses_the_mean_squares_of_an_analysis_of_variance():
    """By hand, Searle 1971: two crossed random effects without replication."""
    t, b = crossed(rng(0), seeds=6, users=9, effect=0.2)
    d, (s, u) = t - b, (6, 9)
    of_seeds, of_users = u * d.mean(1).var(ddof=1), s * d.mean(0).var(ddof=1)
    of_rest = ((d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()) ** 2).sum() / ((s - 1) * (u - 1))
    parts = of_seeds / 54 * stats.t.isf(0.05, 5) ** 2 + max(of_users - of_rest, 0) / 54 * stats.t.isf(0.05, 8) ** 2
    half = np.sqrt(parts)
    interval, _ = two_level(t, b, level=0.9)
    assert [interval.low, interval.high] == pytest.approx([d.mean() - half, d.mean() + half])


def hits(r: np.random.Generator, seeds: int, users: int, of_seeds: float, of_users: float) -> list[np.ndarray]:
    """Hits of two arms, 0 or 1: users differ in how well they can be served and how much they gain, seeds in how well
    they train; a user who is hit in one run is likelier to be in another.
    """
    served, taste = r.normal(-1.2, 0.6, users), r.normal(size=users)
    gain = of_users * r.normal(size=users)
    return [
        (0.6 * taste + 0.8 * r.normal(size=(seeds, users)) < served + own + of_seeds * r.normal(size=(seeds, 1))) * 1.0
        for own in (gain, 0 * gain)
    ]


def coverage(seeds: int, of_seeds: float, of_users: float, studies: int, users: int = 942) -> list[float]:
    """How often the intervals of difference and change hold the truth, which all studies together give."""
    r = rng(seeds)
    found, means = [], []
    for _ in range(studies):
        t, b = hits(r, seeds, users, of_seeds, of_users)
        found.append(two_level(t, b, level=0.95))
        means.append((t.mean(), b.mean()))
    treatment, baseline = np.mean(means, axis=0)
    truths = treatment - baseline, treatment / baseline - 1
    return [float(np.mean([one.low <= truth <= one.high for one in part])) for part, truth in zip(zip(*found), truths)]


def error(level: float, draws: int) -> float:
    """Three Monte Carlo standard errors of a share."""
    return 3 * np.sqrt(level * (1 - level) / draws)


@pytest.mark.parametrize(("seeds", "of_seeds"), [(10, 0.1), (10, 0.03)])
def test_two_level_covers_at_ten_seeds(seeds, of_seeds):
    for share in coverage(seeds, of_seeds, 0.15, studies=250):
        assert 0.95 - error(0.95, 250) <= share <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10, 30, 36])
@pytest.mark.parametrize(("of_seeds", "of_users"), [(0.03, 0.15), (0.1, 0.15), (0.2, 0.0)])
def test_two_level_covers_at_the_sizes_of_studies(seeds, of_seeds, of_users):
    for share in coverage(seeds, of_seeds, of_users, studies=2000):
        print(f"{seeds} seeds, of seeds {of_seeds}, of users {of_users}: covers {share:.4f}")
        assert 0.95 - error(0.95, 2000) <= share <= (0.985 if seeds < 10 else 0.972)


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "known"), [(6, 0.86), (10, 0.90), (30, 0.93)])
def test_bca_covers_as_documented(pairs, known):
    d = rng(pairs).normal(0.3, 1, (3000, pairs))
    found = [bootstrap(mean_difference, row, 0 * row, level=0.95, resamples=999, rng=rng(1)) for row in d]
    share = np.mean([interval.low <= 0.3 <= interval.high for interval in found])
    print(f"{pairs} pairs: covers {share:.4f}")
    assert share == pytest.approx(known, abs=0.005 + error(known, 3000))


@pytest.mark.parametrize(
    ("differences", "why"),
    [
        ([1.0, 2, 3, 4, 5], "5 pairs: an interval needs at least 6"),
        ([1.0, 2, 3, 1, 2, 3, 1, 2], "3 different values of 8 pairs: an interval needs at least 5"),
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 9.0, 9.1], "2 of 8 pairs apart"),
        ([*np.linspace(1, 2, 35), 40.0], "1 of 36 pairs apart"),
        ([*np.linspace(0, 1, 12), *np.linspace(9, 10, 12)], None),  # two halves: resampling knows how often each occurs
        ([1.0, 2, 3, 4, 5, 6], None),
    ],
)
def test_an_interval_is_withheld_where_resampling_knows_too_little(differences, why):
    d = np.array(differences)
    found = why_withheld(d, 0 * d)
    assert found is None if why is None else found.startswith(why)
    interval = bootstrap(mean_difference, d, 0 * d, **SETTINGS, rng=rng())
    assert interval.withheld == found
    assert interval.ends == (None if why else (interval.low, interval.high))


def test_published_runs_of_which_some_never_learned_get_no_interval():
    """Five pairs, three of them dead: the interval of -95% to -13% that was once shown means nothing."""
    d = np.array([-0.0616, -0.0602, -0.0621, 0.0031, 0.0027])
    assert why_withheld(d, 0 * d)
    more = np.array([*d, -0.0611, 0.0012, 0.0035, 0.0002, -0.0013])  # 4 dead of 10
    assert (why_withheld(more, 0 * more) or "").startswith("4 of 10 pairs apart")


def test_ordinary_differences_are_rarely_withheld():
    d = rng(0).normal(size=(2000, 10))
    assert np.mean([why_withheld(row, 0 * row) is not None for row in d]) < 0.01


def test_the_two_level_interval_can_be_of_the_relative_change():
    t, b = crossed(rng(0), seeds=8, users=40, effect=0.2)
    absolute, relative = two_level(t, b, level=SETTINGS["level"])
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
        two_level(treatment, baseline, level=0.95)
