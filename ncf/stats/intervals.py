"""Intervals: bootstrap over seeds, and over seeds and users together."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import (
    Array,
    StatisticsError,
    aligned,
    fraction,
    function,
    instance,
    number,
    pairs,
    rounded_difference,
    table,
    whole,
)
from ncf.stats.crossed import crossed_mean
from ncf.stats.effects import Effect

FEWEST = 6
"""Pairs below which a bootstrap interval is withheld."""
_DISTINCT, _MINORITY, _WITHIN = 5, 5, 0.05


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval: low <= high, `level` its nominal coverage, `method` how it was made.

    Attributes:
        withheld: why the interval is not to be shown, although `low` and `high` are numbers, as "5 pairs: an interval
            needs at least 6"; None if it may be.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str
    withheld: str | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Low and high, or None where the interval is withheld."""
        return None if self.withheld else (self.low, self.high)

    @property
    def short(self) -> str:
        """Why it is withheld in a few words: "5 pairs"; empty where it is not."""
        return (self.withheld or "").partition(":")[0]


def bootstrap(
    effect: Effect, treatment: Array, baseline: Array, *, level: float, resamples: int, rng: np.random.Generator
) -> Interval:
    """BCa interval of `effect` over pairs (N,), N >= 3 (Efron 1987; scipy.stats.bootstrap).

    If BCa is undefined, because every resample gives the same value (such as a rank-biserial of 1), the percentile
    interval is used, as `method` then says. On too few or degenerate pairs the interval is `withheld`; see
    `why_withheld`. With few pairs BCa covers less than its level: of a mean of normal differences at 0.95, 0.86 at 6
    pairs, 0.90 at 10, 0.93 at 30.

    Raises:
        StatisticsError: as `pairs`, fewer than 3 pairs, a setting out of range, or a non-finite interval.
    """
    treatment, baseline = pairs(treatment, baseline, least=3)
    function(effect, "effect"), fraction(level, "level"), whole(resamples, "resamples", 100)
    instance(rng, np.random.Generator, "rng")
    try:
        estimate = float(effect(treatment, baseline, axis=-1))
    except (TypeError, ValueError):
        raise StatisticsError(
            f"effect: expected a function of treatment, baseline and axis with a number as its value, got {effect}"
        ) from None
    number(estimate, "effect")
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
    withheld = why_withheld(treatment, baseline)
    return Interval(estimate, float(ends[0]), float(ends[1]), level, method, withheld)


def why_withheld(treatment: Array, baseline: Array) -> str | None:
    """Return why a bootstrap interval over pairs (N,) is not worth showing; None if it is.

    Resampling can only repeat what was seen. It needs at least 6 pairs, 5 different differences, and no small group of
    pairs apart from the others: fewer than 5 that hold, by where they lie, 95% of the variance. How often such pairs
    occur is then what the interval would have to know.

    Raises StatisticsError as `pairs`.
    """
    d = rounded_difference(*pairs(treatment, baseline, least=1))
    if len(d) < FEWEST:
        return f"{len(d)} pairs: an interval needs at least {FEWEST}"
    if (distinct := len(np.unique(d))) < _DISTINCT:
        return f"{distinct} different values of {len(d)} pairs: an interval needs at least {_DISTINCT}"
    ordered, total = np.sort(d), float(((d - d.mean()) ** 2).sum())
    for few in range(1, min(_MINORITY, len(d) // 2 + 1)):
        for part, rest in ((ordered[:few], ordered[few:]), (ordered[-few:], ordered[:-few])):
            within = sum(float(((group - group.mean()) ** 2).sum()) for group in (part, rest))
            if within < _WITHIN * total:
                return f"{few} of {len(d)} pairs apart: the others lie together, far from them"
    return None


def two_level(treatment: Array, baseline: Array, *, level: float) -> tuple[Interval, Interval]:
    """Intervals of mean difference and relative change over seeds and users.

    Counting only seeds ignores that the users are a sample; counting only users ignores training noise. All seeds share
    the same users: the variances are those of two crossed random effects, each with its own quantile of t
    (`ncf.stats.crossed`). The relative change is linearised at the estimate. Simulated with 3 to 36 seeds of 942 users
    whose hits are 0 or 1, 95% intervals cover 0.94 to 0.96.

    What it replaced, resampling seeds and users independently (Owen 2007), understates the spread of the mean by a
    factor of about sqrt(1 - 1/seeds) and takes no account of how badly few seeds tell it: it covered 0.91 at 10 seeds.
    What it cannot do: speak of other data sets or settings; cover with so few users that their mean is not normal, such
    as metrics that are 0 for all but a handful; or make up for seeds that fail altogether now and then.

    Args:
        treatment: (seeds, users), a metric per user and run, seeds and users in the same order in both, or pandas
            frames with the same labels.
        baseline: (seeds, users).
        level: nominal coverage, such as 0.95.

    Raises:
        StatisticsError: wrong or unequal shapes, fewer than 2 seeds or users, non-finite values, a baseline whose mean
            is not positive, or a level outside (0, 1).
    """
    t, b = _crossed(*aligned(treatment, baseline, "two-level interval"))
    level = fraction(level, "level")
    change = t.mean() / b.mean() - 1
    difference = _interval(t - b, 0.0, level)
    return difference, _interval((t - (1 + change) * b) / b.mean(), float(change), level)


def _interval(values: Array, around: float, level: float) -> Interval:
    mean = crossed_mean(values)
    low, high = mean.ends(level)
    return Interval(around + mean.value, around + low, around + high, level, "crossed t")


def _crossed(treatment: Array, baseline: Array) -> tuple[Array, Array]:
    t, b = table(treatment, "two-level interval: treatment"), table(baseline, "two-level interval: baseline")
    if t.shape != b.shape or t.ndim != 2 or min(t.shape) < 2:
        raise StatisticsError(
            f"two-level interval: expected equal shapes (seeds, users), each >= 2, got {t.shape}, {b.shape}"
        )
    if b.mean() <= 0:
        raise StatisticsError(f"two-level interval: expected a baseline with a positive mean, got {b.mean():g}")
    return t, b


def _percentile(distribution: Array, level: float) -> Array:
    with np.errstate(invalid="ignore"):  # interpolating between infinities gives NaN, which the caller refuses
        return np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
