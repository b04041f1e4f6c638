"""Corrections of a family of p-values for multiple testing."""

import numpy as np

from ncf.stats.checks import Array, StatisticsError, sample


def holm(p: Array) -> Array:
    """Holm's step-down adjusted p-values (m,), in the order given; reject those <= alpha (Holm 1979).

    Raises StatisticsError for an empty family or a p outside [0, 1].
    """
    checked = _family(p)
    order = np.argsort(checked, kind="stable")
    steps = checked[order] * np.arange(len(checked), 0, -1)
    adjusted = np.empty_like(checked)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def bonferroni(p: Array) -> Array:
    """Bonferroni-adjusted p-values (m,): m p, at most 1. Raises as `holm`."""
    checked = _family(p)
    return np.minimum(checked * len(checked), 1.0)


def _family(p: Array) -> Array:
    checked = sample(p, least=1, name="p-values")
    if (checked < 0).any() or (checked > 1).any():
        raise StatisticsError(f"p-values: expected values in [0, 1], got {checked.min():g} to {checked.max():g}")
    return checked
