"""Corrections of a family of p-values for multiple testing."""

import numpy as np

from ncf.stats.checks import Array, StatisticsError, fraction, table, whole


def holm(p: Array) -> Array:
    """Holm's step-down adjusted p-values (..., m), in the order given; reject those <= alpha (Holm 1979).

    The last axis is the family. Raises StatisticsError for an empty family or a p outside [0, 1].
    """
    checked = _family(p)
    order = np.argsort(checked, axis=-1, kind="stable")
    steps = np.take_along_axis(checked, order, -1) * np.arange(checked.shape[-1], 0, -1)
    adjusted = np.empty_like(checked)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0), -1)
    return adjusted


def bonferroni(p: Array) -> Array:
    """Bonferroni-adjusted p-values (..., m): m p, at most 1. Raises as `holm`."""
    checked = _family(p)
    return np.minimum(checked * checked.shape[-1], 1.0)


def benjamini_hochberg(p: Array) -> Array:
    """Benjamini and Hochberg's step-up adjusted p-values (..., m), in the order given (1995).

    Rejecting those <= q keeps the expected share of false rejections among all at q or below, for independent or
    positively dependent tests; it does not bound the chance of any. Raises as `holm`.
    """
    checked = _family(p)
    count = checked.shape[-1]
    order = np.argsort(checked, axis=-1, kind="stable")
    steps = np.take_along_axis(checked, order, -1) * (count / np.arange(1, count + 1))
    falling = np.minimum.accumulate(steps[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(checked)
    np.put_along_axis(adjusted, order, np.minimum(falling, 1.0), -1)
    return adjusted


def corrected_level(level: float, comparisons: int) -> float:
    """Return the level at which each of several intervals is computed so that all hold together at `level`.

    Bonferroni's: 1 - (1 - level) / comparisons. There is no simple interval that belongs to Holm's correction; this one
    never contradicts it, since what Bonferroni rejects Holm rejects too.

    Raises StatisticsError for values out of range.
    """
    return 1 - (1 - fraction(level, "level")) / whole(comparisons, "comparisons", 1)


def _family(p: Array) -> Array:
    checked = table(p, "p-values", sizes=False)
    if not checked.size or not checked.ndim:
        raise StatisticsError("p-values: expected at least one, got none")
    if (checked < 0).any() or (checked > 1).any():
        raise StatisticsError(f"p-values: expected values in [0, 1], got {checked.min():g} to {checked.max():g}")
    return checked
