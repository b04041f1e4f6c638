"""Effects among parts of the units, such as countries: exploratory, corrected over the parts of a column."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from ncf.errors import DataError
from ncf.online.means import Effect, ratio, welch
from ncf.online.proportions import proportions
from ncf.online.result import Segment
from ncf.stats.checks import Array
from ncf.stats.multiplicity import holm

MOST = 50
"""Values of a column by which effects are shown."""


def segments(
    columns: Mapping[str, Array], values: Array, denominator: Array | None, treated: Array, level: float
) -> tuple[Segment, ...]:
    """Return the effect in every part of every column that has two units of each arm, and a denominator of a ratio.

    Args:
        columns: column -> value of each unit (n,).
        values: (n,), the metric, or the numerator of a ratio.
        denominator: (n,), or None.
        treated: (n,) bool.
        level: nominal coverage of the intervals, which are not corrected.

    Raises DataError for a column of more than 50 values.
    """
    found: list[Segment] = []
    for column, parts in columns.items():
        names = list(dict.fromkeys(sorted(parts.tolist())))
        if len(names) > MOST:
            raise DataError(f"segments: expected at most {MOST} values of {column}, found {len(names):,}")
        own = {}
        for name in names:
            here = parts == name
            over = None if denominator is None else denominator[here]
            if _enough(treated[here], over):
                own[name] = _effect(values[here], over, treated[here], level)
        found += _segments(column, own)
    return tuple(found)


def _enough(treated: Array, denominator: Array | None) -> bool:
    """Say whether each arm has two units, and of a ratio something to divide by."""
    arms = (treated, ~treated)
    return all(arm.sum() >= 2 and (denominator is None or denominator[arm].any()) for arm in arms)


def _effect(values: Array, denominator: Array | None, treated: Array, level: float) -> Effect:
    if denominator is not None:
        return ratio(values, denominator, treated, level=level)
    binary = bool(((values == 0) | (values == 1)).all())
    return (proportions if binary else welch)(values, treated, level=level)


def _segments(column: str, effects: Mapping[str, Effect]) -> list[Segment]:
    if not effects:
        return []
    own = [effect.absolute for effect in effects.values()]
    adjusted = holm(np.array([e.p() for e in own]))
    differs = heterogeneity(np.array([e.value for e in own]), np.array([e.standard_error for e in own]))
    return [
        Segment(column, name, e.n, effect.control, e.value, e.low, e.high, float(p), differs)
        for (name, effect), e, p in zip(effects.items(), own, adjusted, strict=True)
    ]


def heterogeneity(effects: Array, errors: Array) -> float:
    """Return Cochran's p that effects (G,) with these errors (G,) are all the same; 1 where fewer than two have one."""
    known = errors > 0
    if known.sum() < 2:
        return 1.0
    weights = 1 / errors[known] ** 2
    mean = weights @ effects[known] / weights.sum()
    return float(stats.chi2.sf(weights @ (effects[known] - mean) ** 2, known.sum() - 1))
