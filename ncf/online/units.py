"""From rows of one's own, a unit or a unit and day each, to one value a unit: what is randomised is analysed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ncf.data.frame import numbers, read_frame
from ncf.errors import DataError
from ncf.stats.checks import Array

Rows = Literal["one", "sum", "mean", "max"]
ROWS: tuple[Rows, ...] = ("one", "sum", "mean", "max")
_CONTROLS = ("control", "baseline", "a", "0", "false", "off")
_MOST_DAYS = 1000
_DATES = (19000101, 21001231)
_ZONE = r"([T ]\d.*?)\s*(?:Z|z|[+-]\d{2}:?(?:\d{2})?)$"  # of a time after its date


@dataclass(frozen=True, eq=False)
class Log:
    """The rows behind the units, where they carry a day.

    Attributes:
        unit: (R,), position of each row's unit.
        day: (R,) int16, days since the first.
        values: column -> (R,) numbers, as narrow as they came.
        labels: days since the first -> how to write that day, for the days that have rows.
    """

    unit: Array
    day: Array
    values: dict[str, Array]
    labels: dict[int, str]

    def by_day(self) -> Iterator[slice | Array]:
        """Yield the rows of each day, in the order of days: a slice of what is in that order already."""
        ordered = bool((self.day[1:] >= self.day[:-1]).all())
        days = self.day if ordered else self.day[self._order]
        ends = np.searchsorted(days, np.array([*sorted(self.labels), _MOST_DAYS + 1], np.int16))
        for start, end in pairwise(ends.tolist()):
            yield slice(start, end) if ordered else self._order[start:end]

    @cached_property
    def _order(self) -> Array:
        return np.argsort(self.day, kind="stable")  # a radix sort of small integers


@dataclass(frozen=True, eq=False)
class Units:
    """One value a unit.

    Attributes:
        label: what errors call the data.
        arms: names of the arms, the control first.
        arm: (N,), position of each unit's arm.
        values: column -> (N,) float64, rows put together as `rows` says.
        fixed: column -> (N,) float64, known of a unit, the same in all its rows.
        groups: column -> (N,) of names, likewise.
        rows: how rows were put together.
        count: (N,), rows of each unit.
        log: the rows, where they carry a day.
    """

    label: str
    arms: tuple[str, ...]
    arm: Array
    values: dict[str, Array]
    fixed: dict[str, Array]
    groups: dict[str, Array]
    rows: Rows
    count: Array
    log: Log | None

    def __len__(self) -> int:
        return len(self.arm)

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each arm."""
        counts = np.bincount(self.arm, minlength=len(self.arms)).tolist()
        return dict(zip(self.arms, counts, strict=True))

    def against(self, arm: int) -> tuple[Array, Array]:
        """Return positions (n,) of the units of the control and of another arm, and which are treated (n,)."""
        if len(self.arms) == 2:
            return np.arange(len(self)), self.arm == 1
        chosen = np.flatnonzero((self.arm == 0) | (self.arm == arm))
        return chosen, self.arm[chosen] == arm


def read_units(
    source: pd.DataFrame | Path | str, *, unit: str, arm: str, values: Sequence[str], fixed: Sequence[str] = (),
    groups: Sequence[str] = (), time: str | None = None, rows: Rows | None = None, control: str | None = None,
    signed: bool = False,
) -> Units:  # fmt: skip
    """Return the units of a frame or file.

    Args:
        source: as `ncf.data.frame.read_frame`.
        unit: column that says which unit a row is of.
        arm: column that says which arm the unit was given.
        values: columns of numbers to be analysed.
        fixed: columns of numbers known of a unit.
        groups: columns of names known of a unit.
        time: column of the day of a row: whole numbers, dates or times.
        rows: "one" row a unit, or how several are put together ("max" of values that are not negative, such as whether
            a unit ever bought). None: "sum" where `time` is given and units have several rows, else "one".
        control: the arm that others are compared with; None: the one with a usual name, else the first by name.
        signed: allow negative values in columns of whole numbers.

    Raises:
        DataError: as `read_frame`, a value that is not a number, a unit in two arms or with several rows where one was
            expected, a negative count, one arm alone, or an unknown control.
    """
    columns = [unit, arm, *values, *fixed, *groups, *([time] if time else [])]
    if unit == arm:
        raise DataError(f"data: expected two columns for unit= and arm=, got {unit!r} for both")
    frame = read_frame(source, columns)
    label = "data" if isinstance(source, pd.DataFrame) else str(source)
    codes, names = _codes(frame[unit])
    count = np.bincount(codes, minlength=len(names))
    how: Rows = rows or ("sum" if time and count.max() > 1 else "one")
    arms, of_unit = _arms(label, frame, unit, arm, codes, names, control)
    if how == "one" and count.max() > 1:
        _refuse_repeated(label, unit, codes, count, names)
    totals, narrow = {}, {}
    for column in dict.fromkeys(values):
        found = _counted(frame, column, label, signed)
        if how == "max" and (low := found.min()) < 0:
            raise DataError(f"{label}: expected no negative {column} to take the maximum of, found {low:g}; rows=sum")
        totals[column] = together(found, codes, count, how)
        if time:  # kept by row: as narrow as it came
            narrow[column] = frame[column].to_numpy() if frame[column].dtype.kind in "iuf" else found
        del found
    once = bool(count.max() == 1)
    log = None
    if time:
        day, labels = _days(frame[time], time, label)
        log = Log(codes, day, narrow, labels)
    return Units(
        label, arms, of_unit, totals,
        {c: _known(numbers(frame, c, label), codes, names, c, label, once) for c in dict.fromkeys(fixed)},
        {c: _named(frame[c], codes, names, c, label, once) for c in dict.fromkeys(groups)}, how, count, log,
    )  # fmt: skip


def together(values: Array, codes: Array, count: Array, rows: Rows) -> Array:
    """Return one value a unit (N,) from values (R,) of rows whose units are `codes` (R,), `count` (N,) of each."""
    if rows == "max":
        found = np.full(len(count), -np.inf)
        np.maximum.at(found, codes, values)
        return found
    total = np.bincount(codes, values, len(count))
    return total / count if rows == "mean" else total


def _codes(values: pd.Series) -> tuple[Array, Array]:
    """Return codes (R,) int32 and names (N,); whole numbers without wide gaps are their own, which saves a hash."""
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * len(values) + 1024 and high <= np.iinfo(np.int64).max:
            codes = np.subtract(values.to_numpy(), low, dtype=np.int64).astype(np.int32)
            present = np.bincount(codes, minlength=high - low + 1) > 0
            names = np.flatnonzero(present) + low
            if len(names) < len(present):
                codes = (np.cumsum(present, dtype=np.int32) - 1)[codes]
            return codes, names
    try:
        codes, found = pd.factorize(values)
    except TypeError:
        raise DataError(f"data: expected names or numbers in {values.name}, found lists") from None
    return codes.astype(np.int32), np.asarray(found)


def _arms(
    label: str, frame: pd.DataFrame, unit: str, arm: str, codes: Array, names: Array, control: str | None
) -> tuple[tuple[str, ...], Array]:
    """Return the names of the arms, the control first, and the arm of each unit (N,)."""
    found, levels = pd.factorize(frame[arm])
    by_name = _sorted(label, arm, levels)
    arms = [_text(levels[i]) for i in by_name]
    if len(arms) < 2:
        raise DataError(f"{label}: expected two arms or more in {arm}, found {arms[0]!r} alone")
    if len(arms) > 100:
        raise DataError(
            f"{label}: expected at most 100 arms, found {len(arms):,} values of {arm}; is it a measurement?"
        )
    first = _control(label, arm, arms, control)
    order = [first, *(i for i in range(len(arms)) if i != first)]
    place = np.argsort(by_name[order]).astype(np.int8)
    found = place[found]
    of_unit = np.zeros(len(names), np.int8)
    of_unit[codes] = found
    if (moved := of_unit[codes] != found).any():
        own = names[np.unique(codes[moved])]
        raise DataError(
            f"{label}: expected each {unit} in one arm, found {len(own):,} in two or more, {_text(own[0])!r} for one"
        )
    return tuple(arms[i] for i in order), of_unit


def _sorted(label: str, column: str, levels: Any) -> Array:
    """Return the order of the names of arms. Raises DataError for numbers and names in one column."""
    try:
        return np.argsort(np.asarray(levels), kind="stable")
    except TypeError:
        kinds = " and ".join(sorted({type(level).__name__ for level in levels}))
        raise DataError(f"{label}: expected names or numbers in {column}, found values of kinds {kinds}") from None


def _control(label: str, column: str, arms: list[str], control: str | None) -> int:
    if control is not None:
        if control not in arms:
            raise DataError(
                f"{label}: expected control {control!r} among the arms in {column}, found {', '.join(arms)}"
            )
        return arms.index(control)
    usual = [i for i, arm in enumerate(arms) if arm.lower() in _CONTROLS]
    return usual[0] if len(usual) == 1 else 0


def _text(value: object) -> str:
    """Write a level of a column as a user would type it: 1.0 of a whole number is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _counted(frame: pd.DataFrame, column: str, label: str, signed: bool) -> Array:
    """Return a column of numbers (R,); whole numbers are counts, of which none is negative unless `signed`."""
    found = numbers(frame, column, label)
    if not signed and found.min() < 0:
        whole = np.abs(found).max() < 2**53 and (found == np.floor(found)).all()
        if whole:
            row = int(np.flatnonzero(found < 0)[0])
            raise DataError(
                f"{label}, row {row + 1}: expected no negative count in {column}, found {found[row]:g}; signed=true "
                "allows negative whole numbers"
            )
    return found


def _refuse_repeated(label: str, unit: str, codes: Array, count: Array, names: Array) -> None:
    code = int(np.flatnonzero(count > 1)[0])
    first, second = np.flatnonzero(codes == code)[:2] + 1
    raise DataError(
        f"{label}: expected one row a {unit}, found {int((count > 1).sum()):,} with more, {_text(names[code])!r} in "
        f"rows {first} and {second} for one; time= names the day of a row, rows=sum, mean or max puts rows together"
    )


def _known(values: Array, codes: Array, names: Array, column: str, label: str, once: bool) -> Array:
    """Return what is known of each unit (N,). Raises DataError where it changes from row to row."""
    found = np.empty(len(names), values.dtype)
    found[codes] = values
    if not once and (changed := found[codes] != values).any():
        unit = names[codes[int(np.flatnonzero(changed)[0])]]
        raise DataError(
            f"{label}: expected {column} to be the same in all rows of a unit, found two for {_text(unit)!r}"
        )
    return found


def _named(values: pd.Series, codes: Array, names: Array, column: str, label: str, once: bool) -> Array:
    own, levels = pd.factorize(values, sort=True)
    texts = np.array([_text(level) for level in levels], dtype=object)
    return texts[_known(own, codes, names, column, label, once)]


def _days(values: pd.Series, column: str, label: str) -> tuple[Array, dict[int, str]]:
    """Return days since the first (R,), and how each of them is written."""
    if values.dtype.kind in "iuf" and not _written_as_numbers(values):
        found = values.to_numpy()
        if not np.isfinite(found).all() or (values.dtype.kind == "f" and (found != np.floor(found)).any()):
            raise DataError(f"{label}: expected {column} as whole days, dates or times, found fractions")
        first = int(found.min())
        _refuse_many(label, column, int(found.max()) - first + 1)
        wide = np.int64 if found.dtype.kind == "i" else found.dtype  # int8: 100 - -100 does not fit
        day = np.subtract(found, first, dtype=wide).astype(np.int16)
        return day, {int(d): str(first + int(d)) for d in np.unique(day)}
    times = _local(values)
    if (bad := times.isna().to_numpy()).any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{label}, row {row + 1}: expected {column} as a day or a date such as 2026-01-31, found "
            f"{str(values.iloc[row])!r}"
        )
    dates = times.dt.floor("D")
    start = dates.min()
    span = (dates.max() - start).days + 1
    _refuse_many(label, column, span)
    day = (dates - start).dt.days.to_numpy().astype(np.int16)
    return day, {int(d): str((start + pd.Timedelta(days=int(d))).date()) for d in np.unique(day)}


def _written_as_numbers(values: pd.Series) -> bool:
    """Say whether whole numbers are dates such as 20260131, between whose months there is no gap."""
    if values.dtype.kind == "f" or values.min() < _DATES[0] or values.max() > _DATES[1]:
        return False
    return bool(pd.to_datetime(pd.Series(values.unique()).astype(str), errors="coerce", format="%Y%m%d").notna().all())


def _local(values: pd.Series) -> pd.Series:
    """Return times (R,) as the data write them, without their zone: a day ends at midnight where it was written.

    Times are NaT where a value is none.
    """
    if values.dtype.kind == "M":
        return values.dt.tz_localize(None)
    codes, levels = pd.factorize(values)  # a day occurs in many rows
    texts = pd.Series(levels, dtype=object).astype(str).str.strip()
    try:
        found = pd.to_datetime(texts, errors="coerce", format="ISO8601").dt.tz_localize(None)
    except (ValueError, AttributeError):  # several zones
        known = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601").notna()
        own = texts.str.replace(_ZONE, r"\1", regex=True).where(known)
        found = pd.to_datetime(own, errors="coerce", format="ISO8601")
    return pd.Series(found.to_numpy()[codes], index=values.index)


def _refuse_many(label: str, column: str, days: int) -> None:
    if days > _MOST_DAYS:
        raise DataError(f"{label}: expected at most {_MOST_DAYS} days in {column}, found {days:,}; write days or dates")
