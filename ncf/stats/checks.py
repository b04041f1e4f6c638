"""Input checks shared by all statistics. Bad input raises a named error, never a warning and a NaN."""

import numpy as np

from ncf.errors import NcfError

Array = np.ndarray


class StatisticsError(NcfError, ValueError):
    """The data or the design does not allow the requested statistic; the message says why."""


def sample(values: Array, least: int = 2, name: str = "sample") -> Array:
    """Return `values` as (N,) float64. Raises StatisticsError unless it is a finite vector with >= `least` values."""
    checked = np.asarray(values, dtype=np.float64)
    if checked.ndim != 1:
        raise StatisticsError(f"{name}: expected a vector, got shape {checked.shape}")
    if len(checked) < least:
        raise StatisticsError(f"{name}: expected at least {least} values, got {len(checked)}")
    if not np.isfinite(checked).all():
        where = int(np.flatnonzero(~np.isfinite(checked))[0])
        raise StatisticsError(f"{name}: expected finite values, got {checked[where]} at position {where}")
    return checked


def pairs(treatment: Array, baseline: Array, least: int = 2) -> tuple[Array, Array]:
    """Return both as (N,) float64, paired by position. Raises StatisticsError for unequal lengths or as `sample`."""
    if np.shape(treatment) != np.shape(baseline):
        raise StatisticsError(
            f"paired samples: expected treatment and baseline of equal shape, got {np.shape(treatment)} and "
            f"{np.shape(baseline)}"
        )
    return sample(treatment, least, "treatment"), sample(baseline, least, "baseline")


def rounded_difference(treatment: Array, baseline: Array) -> Array:
    """Return treatment - baseline, of any equal shapes, rounded at the twelfth digit of the largest value.

    Metrics such as HR@10 over 942 users are multiples of 1/942. Without rounding, equal differences would differ in
    their last bits, and rank statistics would miss the ties.
    """
    scale = float(max(np.abs(treatment).max(), np.abs(baseline).max())) or 1.0
    return np.round((treatment - baseline) / scale, 12) * scale


def differences(treatment: Array, baseline: Array, least: int = 2) -> Array:
    """Return `rounded_difference` of checked pairs, (N,) float64.

    Raises:
        StatisticsError: unequal lengths, too few pairs, non-finite values, or all differences zero.
    """
    rounded = rounded_difference(*pairs(treatment, baseline, least))
    if not rounded.any():
        raise StatisticsError(f"paired samples: all {len(rounded)} differences are zero; there is nothing to test")
    return rounded


def spread(values: Array) -> Array:
    """Return `values` (N,). Raises StatisticsError if all are equal, so that their standard deviation is zero."""
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise StatisticsError(f"paired samples: all {len(values)} differences equal {values[0]:g}; they have no spread")
    return values
