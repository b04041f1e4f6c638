"""Bootstrap intervals: over seeds, or jointly over seeds and users."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, pairs
from ncf.stats.effects import Effect


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval: low <= high, `level` its nominal coverage, `method` BCa or percentile."""

    estimate: float
    low: float
    high: float
    level: float
    method: str


def bootstrap(
    effect: Effect, treatment: Array, baseline: Array, *, level: float, resamples: int, rng: np.random.Generator
) -> Interval:
    """BCa interval of `effect` over pairs (N,), N >= 3 (Efron 1987; scipy.stats.bootstrap).

    If BCa is undefined, because every resample gives the same value (such as a rank-biserial of 1), the percentile
    interval is used, as `method` then says.

    Raises:
        StatisticsError: unequal lengths, fewer than 3 pairs, non-finite values, or a non-finite interval.
    """
    treatment, baseline = pairs(treatment, baseline, least=3)
    options = {"paired": True, "vectorized": True, "confidence_level": level}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns if BCa is undefined; handled by the fallback below
        result = stats.bootstrap(
            (treatment, baseline), effect, method="BCa", n_resamples=resamples, rng=rng, batch=1000, **options
        )
    ends, method = result.confidence_interval, "BCa"
    if not np.isfinite([ends.low, ends.high]).all():
        ends, method = _percentile(result.bootstrap_distribution, level), "percentile"
    if not np.isfinite([ends[0], ends[1]]).all():
        raise StatisticsError(f"bootstrap: the interval is not finite: {len(treatment)} pairs are too few")
    return Interval(float(effect(treatment, baseline)), float(ends[0]), float(ends[1]), level, method)


def two_level(
    treatment: Array, baseline: Array, *, level: float, resamples: int, rng: np.random.Generator
) -> tuple[Interval, Interval]:
    """Percentile intervals of mean difference and relative change, resampling both seeds and users.

    Resampling only seeds ignores that the users are a sample; resampling only users ignores training noise. All seeds
    share the same users, so rows and columns are resampled independently (the pigeonhole bootstrap of Owen 2007, which
    never understates the variance).

    Args:
        treatment: (seeds, users), a metric per user and run, seeds and users in the same order in both.
        baseline: (seeds, users).
        level: nominal coverage, such as 0.95.
        resamples: number of resamples.
        rng: draws them.

    Raises:
        StatisticsError: wrong or unequal shapes, fewer than 2 seeds or users, or non-finite values.
    """
    t, b = _crossed(treatment, baseline)
    draws = [_resampled_means(t, b, min(500, resamples - start), rng) for start in range(0, resamples, 500)]
    t_means, b_means = np.concatenate(draws, axis=1)  # (resamples,) each
    return (
        _interval(t.mean() - b.mean(), t_means - b_means, level),
        _interval(t.mean() / b.mean() - 1, t_means / b_means - 1, level),
    )


def _crossed(treatment: Array, baseline: Array) -> tuple[Array, Array]:
    t, b = np.asarray(treatment, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if t.shape != b.shape or t.ndim != 2 or min(t.shape) < 2:
        raise StatisticsError(
            f"two-level bootstrap: expected equal shapes (seeds, users), each >= 2, got {t.shape}, {b.shape}"
        )
    if not (np.isfinite(t).all() and np.isfinite(b).all()):
        raise StatisticsError("two-level bootstrap: expected finite values")
    if b.mean() <= 0:
        raise StatisticsError(f"two-level bootstrap: expected a baseline with a positive mean, got {b.mean():g}")
    return t, b


def _resampled_means(t: Array, b: Array, draws: int, rng: np.random.Generator) -> Array:
    """Return the means (2, draws) of both matrices, with the same rows and columns drawn with replacement."""
    seeds, users = t.shape
    row_weight = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds  # (draws, seeds)
    column_weight = rng.multinomial(users, np.full(users, 1 / users), draws) / users  # (draws, users)
    return np.stack([((row_weight @ matrix) * column_weight).sum(1) for matrix in (t, b)])


def _interval(estimate: float, distribution: Array, level: float) -> Interval:
    low, high = _percentile(distribution, level)
    return Interval(float(estimate), float(low), float(high), level, "percentile")


def _percentile(distribution: Array, level: float) -> Array:
    with np.errstate(invalid="ignore"):  # interpolating between infinities gives NaN, which the caller refuses
        return np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
