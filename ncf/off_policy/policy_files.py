"""Read a policy to be evaluated from a file: probabilities or scores of items, if need be by user and position."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.core.outside import read_json
from ncf.data.archive import user_path
from ncf.data.feedback import LoggedFeedback
from ncf.data.frame import column_names, numbers, read_frame
from ncf.errors import DataError
from ncf.off_policy.per_action import PerAction

_ONE = 1e-5  # by which probabilities may miss a sum of one
_KEYS = ("user", "position")
Chances = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Policy:
    """A policy over a catalogue.

    Attributes:
        items: (A,) ids.
        chances: for each round of the log.
    """

    items: np.ndarray
    chances: PerAction


def read_policy(path: Path, feedback: LoggedFeedback, known: np.ndarray, chances: Chances | None = None) -> Policy:
    """Return the policy in a file, for each round of a log.

    A CSV, TSV or Parquet file has a column `item`, one `probability` (or `score`, with `chances`), and, if the policy
    looks at them, `user` and `position`; an item that a user or position lacks has probability 0. A JSON file has the
    key `p`: numbers (A,) or (A, P) in the order of `known` and of the log's positions.

    Args:
        path: of the file.
        feedback: the log.
        known: (A,) ids that JSON is about.
        chances: turns scores (G, A) into probabilities; None: the file has probabilities.

    Raises:
        DataError: the file cannot be read, an item is there twice, a probability is negative, one group does not sum
            to one, or a user or position of the log is missing; the message names it.
    """
    if path.suffix == ".json":
        return _from_json(path, feedback, known, chances)
    value = "score" if chances else "probability"
    keys = [key for key in _KEYS if key in column_names(path)]
    frame = read_frame(path, ["item", value, *keys])
    label = str(user_path(str(path)))
    found = numbers(frame, value, label)
    item, items = _coded(frame["item"])
    groups = frame[keys].apply(_text) if keys else pd.DataFrame(index=frame.index)
    row, names = _groups(groups, keys)
    if (double := pd.Series(row * len(items) + item).duplicated().to_numpy()).any():
        first = int(np.flatnonzero(double)[0])
        raise DataError(f"{label}, row {first + 1:,}: expected each item once{_where(names, row[first])}, found "
                        f"{items[item[first]]!s} again")  # fmt: skip
    table = np.full((len(names), len(items)), -np.inf if chances else 0.0)
    table[row, item] = found
    table = chances(table) if chances else checked(table, label, lambda g: _where(names, g))
    return Policy(items, PerAction(table, _rows_of(feedback, keys, names, label)))


def checked(table: np.ndarray, label: str, where: Callable[[int], str]) -> np.ndarray:
    """Return probabilities (G, A). Raises DataError, naming the row by `where`, for negative ones or another sum."""
    if (bad := ~(table >= 0).all(axis=1)).any():
        group = int(np.flatnonzero(bad)[0])
        raise DataError(f"{label}: expected no negative probabilities, found {table[group].min():g}{where(group)}")
    if (bad := np.abs((total := table.sum(axis=1)) - 1) > _ONE).any():
        group = int(np.flatnonzero(bad)[0])
        raise DataError(f"{label}: expected probabilities that sum to 1, found {total[group]:.8g}{where(group)}")
    return table


def codes_of(items: np.ndarray, feedback: LoggedFeedback) -> np.ndarray:
    """Return the index (N,) in `items` (A,) of each row's item; text may spell a number.

    Raises DataError naming the first row with another item.
    """
    code = pd.Index(_texts(items)).get_indexer(pd.Index(_texts(feedback.item)))
    if (code < 0).any():
        row = int(np.flatnonzero(code < 0)[0])
        raise DataError(
            f"{feedback.label}, row {row + 1:,}: expected an item that the policy has a probability for, found "
            f"{feedback.item[row]!s}; give it probability 0 if the policy never shows it"
        )
    return np.asarray(code, np.int64)


def catalogue(feedback: LoggedFeedback) -> np.ndarray:
    """Return the ids (A,) of the items in a log, in order."""
    return (
        np.unique(feedback.item) if feedback.item.dtype.kind in "iu" else np.array(sorted(set(feedback.item)), object)
    )


def places(feedback: LoggedFeedback) -> np.ndarray:
    """Return the position (N,) of each row as an index in the log's positions, zeros where it has none."""
    if feedback.position is None:
        return np.zeros(len(feedback), np.int64)
    return np.unique(feedback.position, return_inverse=True)[1].ravel()


def _from_json(path: Path, feedback: LoggedFeedback, known: np.ndarray, chances: Chances | None) -> Policy:
    content = read_json(path, DataError)
    try:
        table = np.asarray(content["p"], np.float64)
        table = table[:, None] if table.ndim == 1 else table
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f'{path}: expected {{"p": [[...], ...]}}, a row of probabilities for each item') from None
    place = places(feedback)
    if table.ndim != 2 or len(table) != len(known) or table.shape[1] not in (1, place.max() + 1):
        raise DataError(
            f"{path}: expected probabilities of {len(known)} items at 1 or {place.max() + 1} positions, found shape "
            f"{table.shape}"
        )
    if not np.isfinite(table).all():
        raise DataError(f"{path}: expected finite numbers, found NaN or inf")
    row = place if table.shape[1] > 1 else np.zeros_like(place)
    table = np.ascontiguousarray(table.T)
    table = chances(table) if chances else checked(table, str(path), lambda g: f" at position {g + 1}")
    return Policy(known, PerAction(table, row))


def _groups(keys: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the group (N,) of each row, and a frame with a row for each group."""
    if not names:
        return np.zeros(len(keys), np.int64), pd.DataFrame(index=[0])
    return keys.groupby(names, sort=False).ngroup().to_numpy(), keys.drop_duplicates(ignore_index=True)


def _rows_of(feedback: LoggedFeedback, keys: list[str], names: pd.DataFrame, label: str) -> np.ndarray:
    """Return the group (N,) that each round of the log belongs to. Raises DataError if the policy lacks it."""
    if not keys:
        return np.zeros(len(feedback), np.int64)
    for key in keys:
        if getattr(feedback, key) is None:
            raise DataError(
                f"{feedback.label}: expected a column {key}, which {label} depends on, found none; {key}=<column> says "
                "which it is"
            )
    wanted = pd.MultiIndex.from_arrays([_texts(getattr(feedback, key)) for key in keys])
    row = pd.MultiIndex.from_frame(names[keys]).get_indexer(wanted)
    if (row < 0).any():
        first = int(np.flatnonzero(row < 0)[0])
        who = ", ".join(f"{key} {getattr(feedback, key)[first]!s}" for key in keys)
        raise DataError(f"{label}: expected probabilities for {who} ({feedback.label}, row {first + 1:,}), found none")
    return np.asarray(row, np.int64)


def _where(names: pd.DataFrame, group: int) -> str:
    told = ", ".join(f"{key} {value}" for key, value in names.iloc[int(group)].items())
    return f" for {told}" if told else ""


def _coded(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    code, ids = pd.factorize(_text(values), sort=False)
    return code, np.asarray(ids, object)


def _text(values: pd.Series) -> pd.Series:
    """Return ids as text, whole numbers without a decimal point."""
    return pd.Series(_texts(values.to_numpy()), index=values.index, dtype=object)


def _texts(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    return np.array([str(value) for value in values.tolist()], object)
