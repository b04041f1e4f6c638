"""Effect sizes of a paired comparison.

Each is a function of treatment (..., N) and baseline (..., N) that reduces over `axis`, so that the bootstrap can
compute thousands of resamples at once. Each raises StatisticsError for unequal or empty shapes, values that are no
finite numbers, or an axis that they do not have.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, rounded_difference, table, whole

Effect = Callable[..., Array]


def mean_difference(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Mean of treatment - baseline, in the unit of the metric."""
    t, b = _both(treatment, baseline, axis)
    return (t - b).mean(axis=axis)


def relative_change(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """mean(treatment) / mean(baseline) - 1, for positive metrics; 0.05 is an increase of five per cent.

    Raises StatisticsError also where a mean of the baseline is not positive.
    """
    t, b = _both(treatment, baseline, axis)
    means = b.mean(axis=axis)
    if (means <= 0).any():
        raise StatisticsError(f"relative change: expected a baseline with a positive mean, got {means.min():g}")
    return t.mean(axis=axis) / means - 1


def cohen_dz(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Cohen's d_z: mean difference over the standard deviation of the differences (Cohen 1988, section 2.3.5).

    Infinite where all differences are equal, and NaN where all are zero or there is one only.
    """
    t, b = _both(treatment, baseline, axis)
    d = t - b
    if d.shape[axis] < 2:
        return np.full(d.mean(axis=axis).shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # intended: a resample without spread has infinite d_z
        return d.mean(axis=axis) / d.std(axis=axis, ddof=1)


def rank_biserial(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Matched-pairs rank-biserial correlation in [-1, 1]: (W+ - W-) / (W+ + W-) over non-zero pairs (Kerby 2014).

    1 when every pair favours the treatment; 0 when all differences are zero.
    """
    t, b = _both(treatment, baseline, axis)
    d = rounded_difference(t, b)
    zeros = (d == 0).sum(axis=axis, keepdims=True)
    ranks = np.where(d == 0, 0.0, stats.rankdata(np.abs(d), axis=axis) - zeros)  # zeros rank lowest: drop them
    total = ranks.sum(axis=axis)
    return (np.sign(d) * ranks).sum(axis=axis) / np.where(total == 0, 1.0, total)


def cliff_delta(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Cliff's delta in [-1, 1]: P(t > b) - P(t < b) over all N^2 combinations, ignoring the pairing (Cliff 1993)."""
    t, b = _both(treatment, baseline, axis)
    n = t.shape[axis]
    ranks = stats.rankdata(np.concatenate([t, b], axis=axis), axis=axis)
    above = np.take(ranks, range(n), axis=axis).sum(axis=axis) - n * (n + 1) / 2  # Mann-Whitney U
    return 2 * above / n**2 - 1


def _both(treatment: Array, baseline: Array, axis: int) -> tuple[Array, Array]:
    t, b = table(treatment, "treatment"), table(baseline, "baseline")
    if t.shape != b.shape or not t.size or not t.ndim:
        raise StatisticsError(f"effect: expected equal shapes that are not empty, got {t.shape} and {b.shape}")
    whole(axis, "axis", -t.ndim, t.ndim - 1)
    return t, b


EFFECTS: dict[str, Effect] = {
    "mean_difference": mean_difference,
    "relative_change": relative_change,
    "cohen_dz": cohen_dz,
    "rank_biserial": rank_biserial,
    "cliff_delta": cliff_delta,
}
