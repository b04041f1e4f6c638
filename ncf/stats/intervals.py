"""Bootstrap intervals: over seeds, and over seeds and users together."""

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
    """BCa interval of `effect` over pairs (n,), n >= 3 (Efron 1987; scipy.stats.bootstrap).

    Where BCa is not defined (every resample gives the same value, as a rank-biserial of 1 does) the percentile
    interval stands, and `method` says so.

    Raises:
        StatisticsError: unequal lengths, fewer than 3 pairs, values not finite, or an interval that is not a number.
    """
    treatment, baseline = pairs(treatment, baseline, least=3)
    options = {"paired": True, "vectorized": True, "confidence_level": level}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where BCa is not defined; the fallback below answers that
        result = stats.bootstrap(
            (treatment, baseline), effect, method="BCa", n_resamples=resamples, rng=rng, batch=1000, **options
        )
    ends, method = result.confidence_interval, "BCa"
    if not np.isfinite([ends.low, ends.high]).all():
        ends, method = _percentile(result.bootstrap_distribution, level), "percentile"
    if not np.isfinite([ends[0], ends[1]]).all():
        raise StatisticsError(f"bootstrap: the interval over {len(treatment)} pairs is not finite; they are too few")
    return Interval(float(effect(treatment, baseline)), float(ends[0]), float(ends[1]), level, method)


def two_level(
    treatment: Array, baseline: Array, *, level: float, resamples: int, rng: np.random.Generator
) -> tuple[Interval, Interval]:
    """Percentile intervals of mean difference and relative change over seeds and users, resampled together.

    Seeds alone ignore that the users are a sample; users alone ignore training noise. Every seed meets the same
    users, so rows and columns are resampled independently (the pigeonhole bootstrap of Owen 2007, which never
    understates the variance).

    Args:
        treatment: (seeds, users), a metric per user and run, seeds and users in the same order in both.
        baseline: (seeds, users).
        level: nominal coverage, such as 0.95.
        resamples: how many.
        rng: where the resamples come from.

    Raises:
        StatisticsError: unequal or other shapes, fewer than 2 seeds or users, or values not finite.
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
            f"two-level bootstrap: expected equal (seeds, users) of 2 or more, got {t.shape}, {b.shape}"
        )
    if not (np.isfinite(t).all() and np.isfinite(b).all()):
        raise StatisticsError("two-level bootstrap: expected finite values")
    if b.mean() <= 0:
        raise StatisticsError(f"two-level bootstrap: expected a baseline with a positive mean, got {b.mean():g}")
    return t, b


def _resampled_means(t: Array, b: Array, draws: int, rng: np.random.Generator) -> Array:
    """Means (2, draws) of both tables, each with the same rows and columns drawn with replacement."""
    seeds, users = t.shape
    row_weight = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds  # (draws, seeds)
    column_weight = rng.multinomial(users, np.full(users, 1 / users), draws) / users  # (draws, users)
    return np.stack([((row_weight @ table) * column_weight).sum(1) for table in (t, b)])


def _interval(estimate: float, distribution: Array, level: float) -> Interval:
    low, high = _percentile(distribution, level)
    return Interval(float(estimate), float(low), float(high), level, "percentile")


def _percentile(distribution: Array, level: float) -> Array:
    with np.errstate(invalid="ignore"):  # between infinities lies NaN, which the caller refuses
        return np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
