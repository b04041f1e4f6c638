"""Two methods on the same units: the difference of their means, absolute and relative, with intervals and a test."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ncf.stats.checks import Array, instance, pairs
from ncf.stats.estimate import estimate, mean_estimate
from ncf.stats.multiplicity import holm


@dataclass(frozen=True)
class Contrast:
    """A difference of two means over the same units.

    Attributes:
        difference: mean of treatment - baseline.
        ends: its interval, by t.
        relative: difference / mean of the baseline; None if that is not positive.
        relative_ends: its interval, by the delta method; None without `relative`.
        p: two-sided, of no difference.
        units: N.
    """

    difference: float
    ends: tuple[float, float]
    relative: float | None
    relative_ends: tuple[float, float] | None
    p: float
    units: int


def contrast(treatment: Array, baseline: Array, level: float = 0.95) -> Contrast:
    """Return the contrast of treatment (N,) and baseline (N,), values of the same units in one order.

    Raises:
        StatisticsError: unequal lengths, fewer than 2 units, values that are not finite, or a level outside (0, 1).
    """
    t, b = pairs(treatment, baseline)
    found = mean_estimate(t - b, estimand="difference of means", method="paired t", level=level)
    mean = float(b.mean())
    relative, relative_ends = None, None
    if mean > 0:
        ratio = float(t.mean()) / mean
        change = estimate(ratio - 1, (t - ratio * b) / mean, estimand="relative change", method="delta", level=level)
        relative, relative_ends = change.value, (change.low, change.high)
    return Contrast(found.value, (found.low, found.high), relative, relative_ends, found.p(), len(t))


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Return the contrasts with p-values corrected by Holm over all of them.

    Raises StatisticsError for anything that is no contrast.
    """
    for each in instance(contrasts, Sequence, "contrasts"):
        instance(each, Contrast, "contrasts")
    if not contrasts:
        return []
    return [replace(c, p=float(p)) for c, p in zip(contrasts, holm(np.array([c.p for c in contrasts])), strict=True)]
