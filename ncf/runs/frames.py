"""A frame as the data of a run: written as the file that the run is resumed and loaded with, once it is accepted.

Until then it is read from a temporary folder, so that a run that is refused leaves nothing behind. What is wrong with
it is said of the frame, whose rows are counted from 0, as `frame.iloc` counts them.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ncf.core.files import atomic, writing
from ncf.errors import DataError
from ncf.runs.plan import RunPlan

_COLUMNS = {  # of a frame, the first of each that it has
    "user": ("user_id", "user", "userId"),
    "item": ("item_id", "item", "itemId", "movieId"),
    "rating": ("rating", "score"),
    "timestamp": ("timestamp", "time"),
}
_SECONDS, _FRACTIONS = "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"
_UNWRITABLE = re.compile("[\n\r\0\ud800-\udfff]")  # what no line of UTF-8 text can hold


@dataclass(frozen=True)
class FrameFile:
    """The file that a frame is written as.

    Attributes:
        path: where it is to lie.
        content: of it.
        settings: of the run: its data.
    """

    path: Path
    content: bytes
    settings: dict[str, Any]

    def read_by(self, plan: RunPlan) -> RunPlan:
        """Return the plan with data that are read from the frame, wherever its file lies by then."""
        return replace(plan, data=partial(self._read, plan.data))

    @contextmanager
    def named_data(self) -> Iterator[None]:
        """Let errors call the data "data", not by the name of the file."""
        try:
            yield
        except DataError as error:
            raise DataError(re.sub(rf"^{self.path.stem}:", "data:", str(error))) from None

    def _read(self, load: partial[Any]) -> Any:
        with TemporaryDirectory(prefix="ncf-") as folder:
            path = Path(folder, self.path.name)
            with writing(path):
                path.write_bytes(self.content)
            with _said_of_the_frame(path):
                return load(archive=str(path))

    def write(self) -> None:
        """Write the file, unless it is there. Raises FileError if the disk is full, for example."""
        with writing(self.path):
            if not self.path.is_file() or self.path.read_bytes() != self.content:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with atomic(self.path) as file:
                    file.write(self.content)


def file_of(frame: pd.DataFrame, folder: Path) -> FrameFile:
    """Return the file that `frame` is to be written as in `folder`.

    Raises:
        DataError: a column is missing or there twice, there are no rows, or a value is missing or cannot be written.
    """
    kept, names = _columns(frame)
    times = names["timestamp"]
    is_dated = False
    if times is not None:
        kept[times], is_dated = _as_times(kept[times])
    for name in (names["user"], names["item"]):
        kept[name] = _as_ids(str(name), kept[name])
    content = kept.to_csv(index=False, lineterminator="\n").encode()
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder.resolve() / f"{sha256[:12]}.csv"
    settings = {"data": "csv", "data.archive": path, "data.sha256": sha256}
    settings |= {f"data.{what}": name for what, name in names.items()}
    settings |= {"data.time": "iso"} if is_dated else {}
    settings |= {"data.threshold": None} if names["rating"] is None else {}
    return FrameFile(path, content, settings)


def refuse_missing(frame: pd.DataFrame, what: str = "data") -> None:
    """Raise DataError, naming column and row, for a missing value."""
    for name in frame:
        if (missing := frame[name].isna().to_numpy()).any():
            raise DataError(
                f"{what}: expected a value in column {name!r} of each row, found none in row {missing.argmax()}"
            )


def refuse_repeated_columns(frame: pd.DataFrame, names: list[Any], what: str = "data") -> None:
    """Raise DataError if a frame has one of the columns `names` more than once."""
    for name in names:
        if isinstance(frame.columns, pd.MultiIndex) or (count := list(frame.columns).count(name)) > 1:
            found = "columns of several levels" if isinstance(frame.columns, pd.MultiIndex) else f"{count} of them"
            raise DataError(f"{what}: expected one column {name!r}, found {found}")


def _columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """Return the columns that are read, and which is which. Raises DataError for one that is missing or incomplete."""
    names = {what: next((n for n in known if n in frame), None) for what, known in _COLUMNS.items()}
    for what in ("user", "item"):
        if names[what] is None:
            found = ", ".join(map(str, list(frame)[:8])) + (", ..." if frame.shape[1] > 8 else "")
            raise DataError(f"data: expected a column {' or '.join(_COLUMNS[what])}, found {found or 'none'}")
    own = [name for name in names.values() if name is not None]
    refuse_repeated_columns(frame, own)
    kept = frame[own].copy()
    if not len(kept):
        raise DataError("data: expected rows, found a frame without any")
    refuse_missing(kept)
    return kept, names


def _as_ids(name: str, ids: pd.Series) -> pd.Series:
    """Return ids as they are to be written: floating-point numbers that are whole, as integers.

    pandas makes such numbers of a column of integers that has, or once had, a missing value.
    """
    if isinstance(ids.dtype, pd.CategoricalDtype):
        ids = ids.astype(ids.cat.categories.dtype)
    if pd.api.types.is_float_dtype(ids):
        values = ids.to_numpy(np.float64)
        if not (finite := np.isfinite(values)).all():
            row = int((~finite).argmax())
            raise DataError(f"data: expected finite ids in column {name!r}, found {values[row]} in row {row}")
        whole = bool((values == np.floor(values)).all() and (np.abs(values) < 2**63).all())
        return pd.Series(values.astype(np.int64), index=ids.index) if whole else ids
    if pd.api.types.is_integer_dtype(ids):
        return ids
    found = [_as_integer(value) for value in ids.tolist()]
    for row, value in enumerate(found):
        if _UNWRITABLE.search(str(value)):
            raise DataError(
                f"data: expected ids without line breaks or other control characters in column {name!r}, found "
                f"{str(value)[:80]!r} in row {row}"
            )
    return pd.Series(found, index=ids.index, dtype=object)


def _as_integer(value: Any) -> Any:
    """Return a whole float as an integer, and anything else as it is."""
    return int(value) if isinstance(value, float | np.floating) and float(value).is_integer() else value


def _as_times(times: pd.Series) -> tuple[pd.Series, bool]:
    """Return times as they are to be written, and whether they are dates: to the nanosecond, where there are any."""
    if times.dtype == object and all(isinstance(value, date) for value in times):  # datetimes are dates, too
        times = pd.to_datetime(times, utc=True)
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times, False
    if (times.dt.nanosecond != 0).any():
        utc = times.dt.tz_convert(None) if times.dt.tz is not None else times
        return pd.Series(np.datetime_as_string(utc.to_numpy(), unit="ns"), index=times.index), True
    return times.dt.strftime(_FRACTIONS if (times.dt.microsecond != 0).any() else _SECONDS), True


@contextmanager
def _said_of_the_frame(path: Path) -> Iterator[None]:
    """Let errors about the file at `path` speak of the frame: row n stands in line n + 2."""
    try:
        yield
    except DataError as error:
        place = re.compile(rf"^{re.escape(str(path))}, line ([0-9]+)|\(first on line ([0-9]+)\)")

        def said(found: re.Match[str]) -> str:
            return f"data, row {int(found[1]) - 2}" if found[1] else f"(first in row {int(found[2]) - 2})"

        raise DataError(place.sub(said, str(error)).replace(str(path), "data")) from None
