"""Effect sizes of a paired comparison.

Each is a function of treatment (..., N) and baseline (..., N) that reduces over `axis`, so that the bootstrap can
compute thousands of resamples at once. Input is not checked here but in `ncf.stats.comparison.compare`.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, rounded_difference

Effect = Callable[..., Array]


def mean_difference(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Mean of treatment - baseline, in the unit of the metric."""
    return (treatment - baseline).mean(axis=axis)


def relative_change(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """mean(treatment) / mean(baseline) - 1, for positive metrics; 0.05 is an increase of five per cent."""
    return treatment.mean(axis=axis) / baseline.mean(axis=axis) - 1


def cohen_dz(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Cohen's d_z: mean difference over the standard deviation of the differences (Cohen 1988, section 2.3.5)."""
    d = treatment - baseline
    with np.errstate(divide="ignore", invalid="ignore"):  # intended: a resample without spread has infinite d_z
        return d.mean(axis=axis) / d.std(axis=axis, ddof=1)


def rank_biserial(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Matched-pairs rank-biserial correlation in [-1, 1]: (W+ - W-) / (W+ + W-) over non-zero pairs (Kerby 2014).

    1 when every pair favours the treatment; 0 when all differences are zero.
    """
    d = rounded_difference(treatment, baseline)
    zeros = (d == 0).sum(axis=axis, keepdims=True)
    ranks = np.where(d == 0, 0.0, stats.rankdata(np.abs(d), axis=axis) - zeros)  # zeros rank lowest: drop them
    total = ranks.sum(axis=axis)
    return (np.sign(d) * ranks).sum(axis=axis) / np.where(total == 0, 1.0, total)


def cliff_delta(treatment: Array, baseline: Array, axis: int = -1) -> Array:
    """Cliff's delta in [-1, 1]: P(t > b) - P(t < b) over all N^2 combinations, ignoring the pairing (Cliff 1993)."""
    n = treatment.shape[axis]
    ranks = stats.rankdata(np.concatenate([treatment, baseline], axis=axis), axis=axis)
    above = np.take(ranks, range(n), axis=axis).sum(axis=axis) - n * (n + 1) / 2  # Mann-Whitney U
    return 2 * above / n**2 - 1


EFFECTS: dict[str, Effect] = {
    "mean_difference": mean_difference,
    "relative_change": relative_change,
    "cohen_dz": cohen_dz,
    "rank_biserial": rank_biserial,
    "cliff_delta": cliff_delta,
}
