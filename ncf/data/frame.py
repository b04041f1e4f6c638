"""Read tables of one's own for an analysis: a CSV, TSV or Parquet file, or a frame, with the columns that are named."""

import csv
import difflib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.data.archive import CheckedStream, Readable, open_data, user_path
from ncf.data.compressed import PARQUET, text_stream
from ncf.data.parquet import parquet_columns
from ncf.errors import DataError

_TABBED = (".tsv", ".tab", ".inter")
_MISSING = ["", "NA", "NaN", "nan", "null"]
_LONGEST_HEADER = 1 << 16  # bytes


def read_frame(source: pd.DataFrame | Path | str, columns: Sequence[str]) -> pd.DataFrame:
    """Return the named columns of a frame or of a delimited (also gzip-compressed) or Parquet file, in this order.

    Args:
        source: a frame, or the path of a file with a header line; tabs separate the fields of .tsv, .tab and .inter.
        columns: names of columns; a name may be asked for more than once.

    Raises:
        DataError: there is no such file, it cannot be read, has no rows or lacks a column, or a value is missing; the
            message names the columns and how many values are missing.
    """
    wanted = list(dict.fromkeys(columns))
    if isinstance(source, pd.DataFrame):
        label, names = "data", list(map(str, source.columns))
        refuse_missing_columns(label, names, wanted)
        frame = source.loc[:, wanted]
    else:
        path = user_path(str(source))
        label = str(path)
        if not path.exists():
            raise DataError(f"data: no such file: {path}")
        frame = _read(path, label, wanted)
    if frame.columns.has_duplicates:
        raise DataError(f"{label}: expected each column name once")
    if not len(frame):
        raise DataError(f"{label}: expected rows, found none")
    refuse_missing_values(frame, label)
    return frame


def column_names(source: pd.DataFrame | Path | str) -> list[str]:
    """Return the names of the columns of what `read_frame` reads. Raises DataError if it cannot be read."""
    if isinstance(source, pd.DataFrame):
        return list(map(str, source.columns))
    path = user_path(str(source))
    with open_data(path) as file:
        if file.read(len(PARQUET)) == PARQUET:
            return parquet_columns(file, str(path))[1]
        file.seek(0)
        return _header(CheckedStream(text_stream(file, str(path)), str(path)).read(_LONGEST_HEADER), _separator(path))


def numbers(frame: pd.DataFrame, column: str, label: str = "data") -> np.ndarray:
    """Return a column as finite float64 (N,). Raises DataError naming the first row with anything else."""
    values = frame[column]
    if values.dtype.kind not in "biuf":
        as_numbers = pd.to_numeric(values, errors="coerce")
        if (bad := as_numbers.isna().to_numpy()).any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(f"{label}, row {row + 1}: expected {column} as a number, found {str(values.iloc[row])!r}")
        values = as_numbers
    found = values.to_numpy(np.float64)
    if not (finite := np.isfinite(found)).all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(f"{label}, row {row + 1}: expected {column} as a finite number, found {found[row]}")
    return found


def binary(frame: pd.DataFrame, column: str, label: str = "data") -> np.ndarray:
    """Return a column of 0 and 1 (or false and true) as float64 (N,). Raises DataError naming the first other value."""
    found = numbers(frame, column, label)
    if (bad := (found != 0) & (found != 1)).any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{label}, row {row + 1}: expected {column} as 0 or 1, found {found[row]:g}")
    return found


def refuse_missing_columns(label: str, names: Sequence[str], wanted: Sequence[str], advice: str = "") -> None:
    """Raise DataError naming the columns that are missing and, if there is one, a similar name; else `advice`."""
    missing = [name for name in wanted if name not in names]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0], names, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else advice and f"; {advice}"
    found = ", ".join(map(str, names))
    found = found if len(found) <= 80 else found[:77] + "..."
    what = "a column" if len(missing) == 1 else "columns"
    raise DataError(f"{label}: expected {what} {', '.join(map(repr, missing))}, found {found!r}{advice}")


def refuse_missing_values(frame: pd.DataFrame, label: str) -> None:
    """Raise DataError naming each column that lacks values, how many, and the first row that lacks one."""
    missing = frame.isna()
    lacking = [f"{count:,} of {column}" for column, count in missing.sum().items() if count]
    if lacking:
        row = int(np.flatnonzero(missing.any(axis=1).to_numpy())[0]) + 1
        raise DataError(
            f"{label}: expected no missing values, found {', '.join(lacking)} in {len(frame):,} rows, the first in row "
            f"{row:,}"
        )


def _read(path: Path, label: str, wanted: list[str]) -> pd.DataFrame:
    with open_data(path) as file:
        is_parquet = file.read(len(PARQUET)) == PARQUET
        file.seek(0)
        if is_parquet:
            reader, names = parquet_columns(file, label)
            refuse_missing_columns(label, names, wanted)
            return reader.read(columns=wanted).to_pandas()
        return read_delimited(text_stream(file, label), label, _separator(path), wanted)


def read_delimited(
    stream: Readable, label: str, separator: str, wanted: Sequence[str], *, others: bool = True
) -> pd.DataFrame:
    """Return the named columns of delimited text with a header line.

    Args:
        stream: of its bytes.
        label: what errors call it.
        separator: between fields.
        wanted: names of columns.
        others: read the other columns too, so that a row with too many fields is noticed; they cost time and memory.

    Raises:
        DataError: a column is missing, or the text cannot be read.
    """
    lines = _Lines(CheckedStream(stream, label))
    refuse_missing_columns(label, _header(lines.head, separator), wanted)
    options = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False, "na_values": _MISSING}
    if not others:
        options["usecols"] = list(wanted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            frame = pd.read_csv(io.BufferedReader(lines), index_col=False, low_memory=False, **options)
    except DataError:
        raise
    except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{label}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    return frame.loc[:, wanted]


def _separator(path: Path) -> str:
    return "\t" if path.name.lower().removesuffix(".gz").endswith(_TABBED) else ","


def _header(head: bytes, separator: str) -> list[str]:
    line = head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    return next(csv.reader(line, delimiter=separator), [])


class _Lines(io.RawIOBase):
    """A stream as pandas reads one, whose first bytes have been looked at already."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.head = stream.read(_LONGEST_HEADER)
        self._first = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes; return how many there were, 0 at the end."""
        wanted = len(buffer)
        data = self._first[:wanted] or self._stream.read(wanted)
        self._first = self._first[wanted:]
        buffer[: len(data)] = data
        return len(data)
