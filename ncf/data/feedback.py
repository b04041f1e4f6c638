"""Logged feedback: what was shown to whom, how likely that was, and what came back. Simulators write it, off-policy
and causal estimators read it, and so do files of one's own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.core.files import append_text, atomic
from ncf.data.archive import user_path
from ncf.data.download import refuse_special
from ncf.data.frame import column_names, numbers, read_frame
from ncf.errors import DataError

_NUMBERS = ("propensity", "reward")


@dataclass(frozen=True)
class Columns:
    """The names of a file's columns; None: the file need not have one, and is read without.

    Attributes:
        item: what was shown.
        reward: what came back.
        propensity: the probability with which the logging policy showed this item here.
        user: to whom.
        position: of the item in its list.
        time: seconds, or text such as 2019-11-24 00:00:34+00:00.
        policy: which policy showed it.
        slate: the list that the row belongs to, for estimators of whole lists.
        context: numeric features of the round.
    """

    item: str = "item"
    reward: str | None = "reward"
    propensity: str = "propensity"
    user: str | None = None
    position: str | None = None
    time: str | None = None
    policy: str | None = None
    slate: str | None = None
    context: tuple[str, ...] = ()

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield (field, column) of all columns but those of the context."""
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, str):
                yield field.name, column


@dataclass(frozen=True, eq=False)
class LoggedFeedback:
    """One frozen table with a row for each item shown, checked when it is made.

    Attributes:
        item: (N,) ids, whole numbers or text.
        propensity: (N,) float64 in (0, 1], of this item at this place given what the policy knew.
        reward: (N,) float64; None in a log that waits for its rewards.
        user: (N,) ids, or None.
        position: (N,) int64, or None: one position.
        time: (N,) float64 seconds since 1970, or None.
        policy: (N,) names, or None.
        slate: (N,) ids of lists, or None.
        context: (N, F) numbers or booleans, or None.
        label: where it comes from, for messages.

    Raises:
        DataError: no rows, lengths that differ, or a propensity or reward out of range; names the row, from 1.
    """

    item: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray | None = None
    user: np.ndarray | None = None
    position: np.ndarray | None = None
    time: np.ndarray | None = None
    policy: np.ndarray | None = None
    slate: np.ndarray | None = None
    context: np.ndarray | None = None
    label: str = "feedback"

    def __post_init__(self) -> None:
        """Check the table."""
        n = len(self.item)
        if n == 0:
            raise DataError(f"{self.label}: expected rows, found none")
        for name, values in self.columns().items():
            if len(values) != n or values.ndim != (2 if name == "context" else 1):
                raise DataError(f"{self.label}: expected {name} of each of {n:,} rows, found shape {values.shape}")
        propensity = np.asarray(self.propensity)
        valid = (propensity > 0) & (propensity <= 1)  # false for NaN
        self._refuse(~valid, "propensity", "a probability above 0 and at most 1")
        for name in ("reward", "time"):
            if (values := getattr(self, name)) is not None:
                self._refuse(~np.isfinite(values), name, "a finite number")
        if self.context is not None:
            self._refuse(~np.isfinite(self.context).all(axis=1), "context", "finite numbers")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.item)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "label"}
        return {name: values for name, values in found.items() if values is not None}

    def take(self, rows: np.ndarray) -> "LoggedFeedback":
        """Return the rows (M,) at these indices, or where a mask (N,) is true. Raises DataError if there are none."""
        return replace(self, **{name: values[rows] for name, values in self.columns().items()})

    def of_policy(self, policy: str) -> "LoggedFeedback":
        """Return the rows that a policy logged. Raises DataError if no policies are known, or not this one."""
        if self.policy is None:
            raise DataError(f"{self.label}: expected a column that names policies (policy_column=), found none")
        if not (own := self.policy.astype(str) == policy).any():
            known = ", ".join(map(str, pd.unique(self.policy)[:5]))
            raise DataError(f"{self.label}: expected rows of policy {policy!r}, found only {known}")
        return self.take(own)

    def repeated(self) -> int:
        """Return how many rows repeat an earlier one in every column; 0 where no time or list tells rows apart."""
        if self.time is None and self.slate is None:
            return 0
        return int(self.frame().duplicated().sum())

    def frame(self) -> pd.DataFrame:
        """Return the table with a column for each field, context_0, context_1, ... for the context."""
        table = pd.DataFrame({name: values for name, values in self.columns().items() if name != "context"})
        if self.context is not None:
            context = {f"context_{k}": self.context[:, k] for k in range(self.context.shape[1])}
            table = pd.concat([table, pd.DataFrame(context)], axis=1)
        return table if self.reward is not None else table.assign(reward=np.nan)

    def _refuse(self, bad: np.ndarray, name: str, expected: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            found = "none" if np.any(np.isnan(value := getattr(self, name)[row])) else value
            raise DataError(f"{self.label}, row {row + 1:,}: expected {name} as {expected}, found {found}")


def columns_of(source: pd.DataFrame | Path | str, **named: Any) -> Columns:
    """Return the columns to read: those named, and those of the usual names that the file has.

    Args:
        source: as for `read`.
        named: field of `Columns` -> name of the column, None for the usual one.

    Raises:
        DataError: the file cannot be read.
    """
    there = column_names(source)
    usual = {field.name: field.name for field in fields(Columns) if field.name in there}
    context = tuple(name for name in there if name.startswith("context_"))
    given = {name: column for name, column in named.items() if column is not None}
    return Columns(**{"context": context} | usual | given)


def read(source: pd.DataFrame | Path | str, columns: Columns | None = None) -> LoggedFeedback:
    """Read logged feedback from a frame, or a CSV, TSV or Parquet file.

    Args:
        source: a frame or a path.
        columns: the names of its columns; None: `columns_of` the file.

    Raises:
        DataError: the file cannot be read, lacks a column or a value, or a value is not of its kind; names the row.
    """
    label = "feedback" if isinstance(source, pd.DataFrame) else str(user_path(str(source)))
    columns = columns or columns_of(source)
    named = dict(columns.named())
    frame = read_frame(source, [*named.values(), *columns.context])
    values: dict[str, np.ndarray | None] = {name: _ids(frame[named[name]]) for name in named if name not in _NUMBERS}
    values |= {name: numbers(frame, named[name], label) for name in _NUMBERS if name in named}
    if columns.position is not None:
        values["position"] = _whole(numbers(frame, columns.position, label), columns.position, label)
    if columns.time is not None:
        values["time"] = _seconds(frame[columns.time], label)
    if columns.context:
        values["context"] = np.column_stack([numbers(frame, name, label) for name in columns.context])
    return LoggedFeedback(**values, label=label)  # type: ignore[arg-type]


def write(feedback: LoggedFeedback, path: Path) -> None:
    """Write the table to a .csv or, with pyarrow, a .parquet file, which `read` reads back.

    Raises DataError, and changes nothing, if the file cannot be written, or is of another kind.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path}: expected a name that ends in .csv or .parquet")
    refuse_special(path)
    try:
        with atomic(path) as file:
            if path.suffix == ".csv":
                file.write(feedback.frame().to_csv(index=False, lineterminator="\n").encode())
            else:
                feedback.frame().to_parquet(file, index=False)
    except ImportError:
        raise DataError(f"{path}: writing Parquet needs pyarrow; pip install 'ncf[export]'") from None
    except OSError as error:
        raise DataError(f"{path}: cannot write ({error.strerror or error})") from None


def append(feedback: LoggedFeedback, path: Path) -> None:
    """Add the rows to a CSV file that holds the same columns, or start one.

    Raises DataError if the file is of another kind or has other columns, FileError if it cannot be written.
    """
    if path.suffix != ".csv":
        raise DataError(f"{path}: expected a name that ends in .csv")
    refuse_special(path)
    frame = feedback.frame()
    begun = os.path.lexists(path) and path.stat().st_size > 0
    if begun and (there := column_names(path)) != list(frame):
        raise DataError(
            f"{path}: expected the columns {','.join(frame)}, found {','.join(there)[:200]}; name a new file"
        )
    append_text(path, frame.to_csv(index=False, header=not begun, lineterminator="\n"))


def _ids(values: pd.Series) -> np.ndarray:
    """Return ids as int64 or, whatever else they are, as text."""
    if values.dtype.kind in "iu" and values.max() <= np.iinfo(np.int64).max:
        return values.to_numpy(np.int64)
    if values.dtype.kind == "f" and (values == np.floor(values)).all() and (values.abs() < 2**53).all():
        return values.to_numpy(np.int64)
    return values.astype(str).to_numpy(object)


def _whole(found: np.ndarray, column: str, label: str) -> np.ndarray:
    if (bad := ~((found == np.floor(found)) & (np.abs(found) < 2**53))).any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{label}, row {row + 1:,}: expected {column} as a whole number, found {found[row]:g}")
    return found.astype(np.int64)


def _seconds(values: pd.Series, label: str) -> np.ndarray:
    """Return times as float64 seconds since 1970, from numbers, dates or text in ISO 8601."""
    if values.dtype.kind in "iuf":
        return values.to_numpy(np.float64)
    times = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    if (bad := times.isna().to_numpy()).any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{label}, row {row + 1:,}: expected {values.name} as seconds or a date, found {str(values.iloc[row])!r}"
        )
    return times.to_numpy("datetime64[us]").astype(np.int64) / 1e6
