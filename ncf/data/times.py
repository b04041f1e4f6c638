"""Times: read strictly and to the nanosecond, in one order, and the moments at which a split can cut them.

Whole seconds and what is below them are kept apart, so that data without sub-seconds are what they always were.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, ValidationInfo

from ncf.data.table import Block, refuse

Time = Literal["s", "ms", "iso"]
"""How timestamps are written: seconds or milliseconds since 1970, or dates as in ISO 8601, UTC unless they say."""

LATEST = 4_102_444_800  # 2100-01-01 in seconds: anything later is in another unit
NANO = 1_000_000_000  # nanoseconds in a second; int64 holds those of every time before `LATEST`
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_CLOCK = ("now", "today")  # pandas takes these words for dates
_TOO_FINE = r"[.,]\d{10}"  # pandas would cut what is below a nanosecond


def checked_times(block: Block, name: str, label: str, time: Time) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the times of a block: (rows,) int64 seconds since 1970, and (rows,) int32 nanoseconds or None.

    Raises:
        DataError: a time is not as `time` says, before 1970 or after 2099; the message gives the line.
    """
    if time == "iso":
        return _checked_dates(block, name, label)
    values = block.columns[name]
    unit, per_second = {"s": ("seconds", 1), "ms": ("milliseconds", 1000)}[time]
    bad = (values < 0) | (values >= LATEST * per_second) | (values != np.floor(values))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        expected = f"{name} in whole {unit} since 1970, before the year 2100"
        if time == "s" and 1e11 <= values[row] < LATEST * 1000:
            expected += " (data.time=ms reads milliseconds)"
        elif time == "s" and values[row] != np.floor(values[row]):
            expected += " (below a second, data.time=ms reads milliseconds, and iso dates)"
        refuse(label, block.first_line + row, expected, f"{values[row]:.17g}")
    whole = values.astype(np.int64)
    if time == "s":
        return whole, None
    seconds, rest = np.divmod(whole, per_second)
    return seconds, (rest * (NANO // per_second)).astype(np.int32)


def _checked_dates(block: Block, name: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    texts = pd.Series(block.columns[name], dtype=str)
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce").dt.tz_convert(None).to_numpy()
    whole = dates.astype("datetime64[s]")  # rounds down, before 1970 too
    seconds = whole.astype(np.int64)
    bad = (seconds < 0) | (seconds >= LATEST) | texts.isin(_CLOCK).to_numpy()  # not a time counts as before 1970
    expected = f"{name} as a date from 1970 to 2099, such as 2020-01-31T12:00:00Z"
    if not bad.any() and dates.dtype == "datetime64[ns]":
        bad, expected = texts.str.contains(_TOO_FINE).to_numpy(bool), f"{name} with at most 9 decimal places"
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        refuse(label, block.first_line + row, expected, texts[row])
    return seconds, (dates - whole).astype("timedelta64[ns]").astype(np.int32)


def joined(times: list[tuple[np.ndarray, np.ndarray | None]]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return seconds and nanoseconds (N,) of all blocks; None without any block, and for nanoseconds that are all 0."""
    if not times:
        return None, None
    parts = [below for _, below in times if below is not None]
    subseconds = np.concatenate(parts) if any(part.any() for part in parts) else None
    return np.concatenate([seconds for seconds, _ in times]), subseconds


def instants(timestamps: np.ndarray, subseconds: np.ndarray | None, fine: bool | None = None) -> np.ndarray:
    """Return times (N,) int64 that order as they happened: in seconds, or, if `fine`, in nanoseconds.

    Args:
        timestamps: (N,) int64 seconds since 1970.
        subseconds: (N,) int32 nanoseconds, or None for none.
        fine: None: if there are `subseconds`.
    """
    if not (subseconds is not None if fine is None else fine):
        return timestamps
    return timestamps * NANO + (0 if subseconds is None else subseconds)


def _date(text: str) -> str:
    _microseconds(text)
    return text


def after(moment: float | str, info: ValidationInfo) -> float | str:
    """Raise ValueError if a moment is not later than `valid_from`, or of another kind; else return it."""
    before = info.data.get("valid_from", moment)
    if isinstance(before, str) != isinstance(moment, str):
        raise ValueError(f"expected a share or a date as split.valid_from is, which is {before!r}")
    if info.data.get("valid_from") is not None and _order(moment) <= _order(before):
        raise ValueError(f"expected later than split.valid_from, which is {before!r}")
    return moment


def _order(moment: float | str) -> float:
    return _microseconds(moment) if isinstance(moment, str) else moment


Share = Annotated[float, Field(gt=0, lt=1)]
Moment = Share | Annotated[str, AfterValidator(_date)]
"""A share of all positives, or a date (and time, UTC unless it says otherwise) as in ISO 8601."""


def first_instant(moment: float | str, ordered: np.ndarray, fine: bool) -> int:
    """Return the first of the `instants` that is not before a date, or that at a share of the ascending ones (N,)."""
    if not isinstance(moment, str):
        return int(ordered[int(len(ordered) * moment)])
    microseconds = _microseconds(moment)
    return microseconds * 1000 if fine else -(-microseconds // 10**6)


def _microseconds(text: str) -> int:
    """Return the microseconds since 1970 of a date. Raises ValueError if it is none, or finer."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a share of the positives, such as 0.8, or a date, such as 1998-03-01") from None
    if re.search(r"[.,]\d{7}", text):  # Python would cut it
        raise ValueError("expected a date with at most 6 decimal places")
    return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH) // _MICRO


def shown(instant: int, fine: bool) -> str:
    """Return one of the `instants` as date and time, UTC."""
    seconds, below = divmod(int(instant), NANO) if fine else (int(instant), 0)
    try:
        date = datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ")[:19]
    except (OverflowError, OSError, ValueError):  # not a date that a calendar has
        return f"second {seconds}"
    return f"{date}.{below:09d}".rstrip("0") if below else date
