"""Raw ratings: the checked content of a file, before a threshold decides what counts as a positive."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ncf.data.table import Block, Kind, refuse
from ncf.data.times import Time, checked_times, joined
from ncf.errors import ConfigError

LONGEST_ID = 256
_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Scale:
    """The valid ratings of a data set: `low`, `low + step`, ... `high`."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Scale":
        """Build a scale from [low, high, step]. Raises ConfigError if the numbers do not make one."""
        low, high, step = numbers
        if not (low < high and 0 < step <= high - low):
            raise ConfigError(f"data.scale: expected [lowest, highest, step], got {list(numbers)}")
        return cls(low, high, step)

    def __contains__(self, rating: np.ndarray) -> bool:
        return bool(self.valid(rating).all())

    def valid(self, ratings: np.ndarray) -> np.ndarray:
        """Return (N,) bool: which ratings are on the scale."""
        steps = (ratings - self.low) / self.step
        return (ratings >= self.low) & (ratings <= self.high) & (np.abs(steps - np.round(steps)) < 1e-6)

    def __str__(self) -> str:
        return f"a rating from {self.low:g} to {self.high:g} in steps of {self.step:g}"


@dataclass(frozen=True)
class Ratings:
    """Every row of a ratings file, in file order; row n is line `first_line + n` of the file.

    `users` and `items` (N,) int64 index into the sorted `user_ids` and `item_ids`; `ratings` (N,) float32;
    `timestamps` (N,) int64 seconds since 1970, or None; `subseconds` (N,) int32 nanoseconds, None if all are 0.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    timestamps: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    label: str
    first_line: int
    subseconds: np.ndarray | None = None


@dataclass(frozen=True)
class Columns:
    """The column names of a file; `rating` and `timestamp` are None if the file has no such column."""

    user: str
    item: str
    rating: str | None
    timestamp: str | None
    time: Time = "s"

    @property
    def names(self) -> list[str]:
        """The names of those that the file has: user, item, rating, timestamp."""
        return [name for name in (self.user, self.item, self.rating, self.timestamp) if name is not None]

    def kinds(self, ids: Kind, times: Kind) -> dict[str, Kind]:
        """Return the kind of each column to read: `ids` for users and items, `times` for timestamps."""
        kinds: dict[str, Kind] = {self.user: ids, self.item: ids}
        if self.rating is not None:
            kinds[self.rating] = "number"
        if self.timestamp is not None:
            kinds[self.timestamp] = times
        return kinds


def collect(blocks: Iterator[Block], label: str, columns: Columns, scale: Scale | None, first_line: int) -> Ratings:
    """Collect the ratings of a file, checking each block as it is read.

    Raises:
        DataError: a rating, timestamp or id is invalid (the message gives the line), or there are no rows.
    """
    users, items, ratings, times = _Ids(columns.user), _Ids(columns.item), [], []
    for block in blocks:
        users.add(block, label)
        items.add(block, label)
        if columns.rating is not None:
            ratings.append(_checked_ratings(block, columns.rating, label, scale))
        if columns.timestamp is not None:
            times.append(checked_times(block, columns.timestamp, label, columns.time))
    if not users.chunks:
        refuse(label, first_line, "at least one rating", "the end of the file")
    user_codes, user_ids = users.result()
    item_codes, item_ids = items.result()
    values = np.concatenate(ratings) if ratings else np.ones(len(user_codes), np.float32)
    stamps, subseconds = joined(times)
    return Ratings(user_codes, item_codes, values, stamps, user_ids, item_ids, label, first_line, subseconds)


def _checked_ratings(block: Block, name: str, label: str, scale: Scale | None) -> np.ndarray:
    values = block.columns[name]
    if scale is not None and values not in scale:
        row = int(np.flatnonzero(~scale.valid(values))[0])
        refuse(label, block.first_line + row, str(scale), f"{values[row]:g}")
    if (large := np.abs(values) > np.finfo(np.float32).max).any():
        row = int(np.flatnonzero(large)[0])
        refuse(label, block.first_line + row, f"{name} within the range of float32", f"{values[row]:g}")
    return values.astype(np.float32)


class _Ids:
    """Ids collected block by block; text ids are encoded on arrival, so that each is held in memory once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chunks: list[np.ndarray] = []
        self._codes: dict[str, int] = {}

    def add(self, block: Block, label: str) -> None:
        """Add the ids of one block. Raises DataError, naming the line, if one is empty or too long."""
        values = block.columns[self.name]
        if values.dtype == object:
            codes, texts = pd.factorize(values)
            for code, text in enumerate(texts):
                if not 0 < len(text) <= LONGEST_ID:
                    line = block.first_line + int(np.flatnonzero(codes == code)[0])
                    refuse(label, line, f"{self.name} of 1 to {LONGEST_ID} characters", text)
            values = np.array([self._codes.setdefault(text, len(self._codes)) for text in texts], np.int64)[codes]
        self.chunks.append(values)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) int64 indices into the sorted ids, and those ids (M,), int64 or unicode."""
        values = np.concatenate(self.chunks)
        if not self._codes:
            codes, ids = pd.factorize(values, sort=True)
            return codes.astype(np.int64, copy=False), ids
        ids, rank = np.unique(_as_integers(list(self._codes)), return_inverse=True)
        return rank.astype(np.int64, copy=False)[values], ids


def _as_integers(texts: list[str]) -> np.ndarray:
    """Return int64 ids if every text is an integer in plain decimal form, else the texts unchanged."""
    if all(_PLAIN_INTEGER.fullmatch(text) for text in texts):
        values = [int(text) for text in texts]
        if min(values) >= -(2**63) and max(values) < 2**63:
            return np.array(values, np.int64)
    return np.array(texts, np.str_)
