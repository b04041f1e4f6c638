"""What every statistic asks of its input. Bad input is a named error, never a warning and a NaN."""

import numpy as np

from ncf.errors import NcfError

Array = np.ndarray


class StatisticsError(NcfError, ValueError):
    """The data or the design cannot carry the statistic that was asked for; the message says why."""


def sample(values: Array, least: int = 2, name: str = "sample") -> Array:
    """`values` as (n,) float64. Raises StatisticsError unless it is one finite row of at least `least`."""
    checked = np.asarray(values, dtype=np.float64)
    if checked.ndim != 1:
        raise StatisticsError(f"{name}: expected one row of numbers, got shape {checked.shape}")
    if len(checked) < least:
        raise StatisticsError(f"{name}: expected at least {least} values, got {len(checked)}")
    if not np.isfinite(checked).all():
        where = int(np.flatnonzero(~np.isfinite(checked))[0])
        raise StatisticsError(f"{name}: expected finite values, got {checked[where]} at position {where}")
    return checked


def pairs(treatment: Array, baseline: Array, least: int = 2) -> tuple[Array, Array]:
    """Both as (n,) float64, paired by position. Raises StatisticsError for unequal lengths or values not finite."""
    if np.shape(treatment) != np.shape(baseline):
        raise StatisticsError(
            f"paired samples: expected as many treatments as baselines, got {np.shape(treatment)} and "
            f"{np.shape(baseline)}"
        )
    return sample(treatment, least, "treatment"), sample(baseline, least, "baseline")


def rounded_difference(treatment: Array, baseline: Array) -> Array:
    """treatment - baseline, any equal shapes, rounded at the twelfth digit of the largest value.

    Metrics such as HR@10 over 942 users move in steps of 1/942; without rounding, equal steps differ in their last
    bits, and what works on ranks would see an order where there is a tie.
    """
    scale = float(max(np.abs(treatment).max(), np.abs(baseline).max())) or 1.0
    return np.round((treatment - baseline) / scale, 12) * scale


def differences(treatment: Array, baseline: Array, least: int = 2) -> Array:
    """`rounded_difference` of checked pairs, (n,) float64.

    Raises:
        StatisticsError: unequal lengths, too few pairs, values not finite, or all differences zero.
    """
    rounded = rounded_difference(*pairs(treatment, baseline, least))
    if not rounded.any():
        raise StatisticsError(f"paired samples: all {len(rounded)} differences are zero; there is nothing to test")
    return rounded


def spread(values: Array) -> Array:
    """`values` (n,). Raises StatisticsError if they are all equal, so that a standard deviation says nothing."""
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise StatisticsError(f"paired samples: all {len(values)} differences equal {values[0]:g}; they have no spread")
    return values
