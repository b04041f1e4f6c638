"""Input checks shared by all statistics. Bad input raises a named error, never a warning and a NaN."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ncf.errors import NcfError

Array = np.ndarray
LARGEST = 1e100
"""Sizes are accepted from 1 / LARGEST to LARGEST: their squares and sums are then still ordinary numbers."""


class StatisticsError(NcfError, ValueError):
    """The data or the design does not allow the requested statistic; the message says why."""


def number(value: object, name: str, low: float = -LARGEST, high: float = LARGEST, *, closed: bool = True) -> float:
    """Return `value` as a float. Raises StatisticsError unless it is a finite number in [low, high], or (low, high)."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if real and np.isfinite(found := _float(value)) and (low <= found <= high if closed else low < found < high):
        return found
    ends = f"[{low:g}, {high:g}]" if closed else f"({low:g}, {high:g})"
    raise StatisticsError(f"{name}: expected a number in {ends}, got {shown(value)}")


def positive(value: object, name: str) -> float:
    """Return `value` as a float. Raises StatisticsError unless it is a number in [1 / LARGEST, LARGEST]."""
    return number(value, name, 1 / LARGEST)


def fraction(value: object, name: str) -> float:
    """Return `value` as a float. Raises StatisticsError unless it is a number in (0, 1), 1 / LARGEST at least."""
    found = number(value, name, 0, 1, closed=False)
    if found < 1 / LARGEST:
        raise StatisticsError(f"{name}: expected at least {1 / LARGEST:g}, got {found:g}")
    return found


def whole(value: object, name: str, least: int, most: int = 10**7) -> int:
    """Return `value` as an int. Raises StatisticsError unless it is a whole number in [least, most]."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) <= most:
        return int(value)
    raise StatisticsError(f"{name}: expected a whole number in [{least}, {most:,}], got {shown(value)}")


def one_of(value: object, name: str, known: Sequence[str]) -> str:
    """Return `value`. Raises StatisticsError unless it is one of `known`."""
    if isinstance(value, str) and value in known:
        return value
    raise StatisticsError(f"{name}: expected one of {', '.join(known)}, got {shown(value)}")


def instance(value: Any, kind: type, name: str) -> Any:
    """Return `value`. Raises StatisticsError unless it is of this kind, such as numpy's Generator."""
    if not isinstance(value, kind):
        raise StatisticsError(f"{name}: expected a {kind.__name__}, got {shown(value)}")
    return value


def function(value: Any, name: str) -> Any:
    """Return `value`. Raises StatisticsError unless it can be called."""
    if not callable(value):
        raise StatisticsError(f"{name}: expected a function, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """Format `value` for an error of one line."""
    return " ".join(repr(value).split())[:60]


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def table(values: object, name: str, *, sizes: bool = True) -> Array:
    """Return `values` as float64 of any shape but an empty one.

    Args:
        values: numbers, as an array, a list or a pandas object; no strings, dates, complex numbers or masked values.
        name: what the error calls them.
        sizes: whether their largest size must be 0 or in [1 / LARGEST, LARGEST].

    Raises:
        StatisticsError: they are anything else, or not finite; names the first position.
    """
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise StatisticsError(f"{name}: expected no masked values, got {int(np.ma.getmaskarray(values).sum())}")
    try:
        raw = np.asarray(values)
        plain = raw.dtype.kind in "biuf" or (raw.ndim > 0 and all(isinstance(v, numbers.Real) for v in raw.ravel()))
        checked = np.asarray(raw, dtype=np.float64) if plain else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # ragged lists, numbers beyond float64, tensors
        checked = None
    if checked is None:
        raise StatisticsError(f"{name}: expected numbers, got {shown(values)}")
    if not np.isfinite(checked).all():
        where = int(np.flatnonzero(~np.isfinite(checked))[0])
        raise StatisticsError(f"{name}: expected finite values, got {checked.flat[where]} at position {where}")
    largest = float(np.abs(checked).max(initial=0))
    if sizes and largest and not 1 / LARGEST <= largest <= LARGEST:
        raise StatisticsError(f"{name}: expected sizes in [{1 / LARGEST:g}, {LARGEST:g}], got {largest:g} at most")
    return checked


def sample(values: object, least: int = 2, name: str = "sample") -> Array:
    """Return `values` as (N,) float64. Raises StatisticsError unless N >= `least`, or as `table`."""
    whole(least, "least", 0)
    checked = table(values, name)
    if checked.ndim != 1:
        raise StatisticsError(f"{name}: expected a vector, got shape {checked.shape}")
    if len(checked) < least:
        raise StatisticsError(f"{name}: expected at least {least} values, got {len(checked)}")
    return checked


def pairs(treatment: object, baseline: object, least: int = 2) -> tuple[Array, Array]:
    """Return both as (N,) float64: two pandas objects paired by their labels, anything else by position.

    Raises StatisticsError for unequal lengths, for pandas objects with different labels, or as `sample`.
    """
    treatment, baseline = aligned(treatment, baseline, "paired samples")
    shapes = [np.shape(table(side, name)) for side, name in ((treatment, "treatment"), (baseline, "baseline"))]
    if shapes[0] != shapes[1]:
        raise StatisticsError(
            f"paired samples: expected treatment and baseline of equal shape, got {shapes[0]} and {shapes[1]}"
        )
    return sample(treatment, least, "treatment"), sample(baseline, least, "baseline")


def aligned(treatment: Any, baseline: Any, name: str) -> tuple[Any, Any]:
    """Return both, the baseline in the order of the treatment's labels where both are pandas objects.

    Raises StatisticsError if their labels differ, or occur twice and in another order.
    """
    labelled = pd.Series | pd.DataFrame
    if not (isinstance(treatment, labelled) and isinstance(baseline, labelled) and treatment.ndim == baseline.ndim):
        return treatment, baseline
    for axis, (own, other) in enumerate(zip(treatment.axes, baseline.axes)):
        if own.equals(other):
            continue
        if not own.is_unique or not other.is_unique or len(own) != len(other) or not own.isin(other).all():
            raise StatisticsError(
                f"{name}: expected treatment and baseline with the same labels, each once, got "
                f"{shown(own.tolist()[:5])} ... and {shown(other.tolist()[:5])} ..."
            )
        baseline = baseline.reindex(own, axis=axis)
    return treatment, baseline


def rounded_difference(treatment: object, baseline: object) -> Array:
    """Return treatment - baseline, of any equal shapes, rounded at the twelfth digit of the largest value.

    Metrics such as HR@10 over 942 users are multiples of 1/942. Without rounding, equal differences would differ in
    their last bits, and rank statistics would miss the ties.

    Raises StatisticsError for unequal or empty shapes, or as `table`.
    """
    t, b = (table(side, name) for side, name in ((treatment, "treatment"), (baseline, "baseline")))
    if t.shape != b.shape or not t.size:
        raise StatisticsError(f"differences: expected equal shapes that are not empty, got {t.shape} and {b.shape}")
    scale = float(max(np.abs(t).max(), np.abs(b).max())) or 1.0
    return np.asarray(np.round((t - b) / scale, 12) * scale)


def differences(treatment: object, baseline: object, least: int = 2) -> Array:
    """Return `rounded_difference` of checked pairs, (N,) float64.

    Raises:
        StatisticsError: as `pairs`, or all differences are zero.
    """
    rounded = rounded_difference(*pairs(treatment, baseline, least))
    if not rounded.any():
        raise StatisticsError(f"paired samples: all {len(rounded)} differences are zero; there is nothing to test")
    return rounded


def spread(values: object) -> Array:
    """Return `values` (N,). Raises StatisticsError if all are equal, so that their standard deviation is zero."""
    checked = sample(values, 1, "differences")
    if np.ptp(checked) <= 1e-12 * np.abs(checked).max():
        raise StatisticsError(
            f"paired samples: all {len(checked)} differences equal {checked[0]:g}; they have no spread"
        )
    return checked
