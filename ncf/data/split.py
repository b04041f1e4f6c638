"""Splits of the positives into train, validation and test; frozen and disjoint."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ncf.core.registry import Registry
from ncf.data.interactions import Interactions, digest_of
from ncf.errors import DataError

Ties = Literal["file", "reverse_file", "item_id"]


@dataclass(frozen=True)
class Pairs:
    """`users` and `items` (N,) int64; `timestamps` (N,) int64 seconds and `ratings` (N,) float32, None if unknown."""

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray | None = None
    ratings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """A partition of the positives; `train` is sorted by user, then time, then the rule for ties.

    A user may have any number of positives in each part.

    Attributes:
        in_time: whether to check that no positive is later than one of the same user in a later part.

    Raises:
        DataError: a pair is in two parts, or twice in a held-out one, or, under `in_time`, later than a positive of
            the user in a later part; the message names user and item.
    """

    train: Pairs
    valid: Pairs
    test: Pairs
    num_users: int
    num_items: int
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None
    genres: np.ndarray | None
    name: str
    digest: str
    in_time: bool = True

    def __post_init__(self) -> None:
        """Raise DataError for a split that leaks."""
        valid, test = self._keys(self.valid, "validation"), self._keys(self.test, "test")
        self._refuse_shared(self.train, valid, "train", "validation")
        self._refuse_shared(self.train, test, "train", "test")
        self._refuse_shared(self.valid, test, "validation", "test")
        if self.in_time:
            self._refuse_later(self.train, self.valid, "train", "validation")
            self._refuse_later(self.train, self.test, "train", "test")
            self._refuse_later(self.valid, self.test, "validation", "test")

    def _keys(self, part: Pairs, name: str) -> np.ndarray:
        """Return (N,) ascending keys, one per pair of a held-out part. Raises DataError if a pair occurs twice."""
        keys = part.users * self.num_items + part.items
        order = np.argsort(keys, kind="stable")
        repeated = np.zeros(len(keys), bool)
        repeated[order[1:]] = keys[order[1:]] == keys[order[:-1]]
        if repeated.any():
            self._refuse(part, repeated, f"is in {name} twice")
        return keys[order]

    def _refuse_shared(self, part: Pairs, others: np.ndarray, name: str, other_name: str) -> None:
        keys = part.users * self.num_items + part.items
        shared = np.append(others, -1)[np.searchsorted(others, keys)] == keys
        if shared.any():
            self._refuse(part, shared, f"is in {name} and in {other_name}")

    def _refuse_later(self, part: Pairs, other: Pairs, name: str, other_name: str) -> None:
        if part.timestamps is None or other.timestamps is None:
            return
        first = np.full(self.num_users, np.iinfo(np.int64).max)
        np.minimum.at(first, other.users, other.timestamps)
        later = part.timestamps > first[part.users]
        if later.any():
            self._refuse(part, later, f"is in {name} but later than the user's {other_name} positive")

    def _refuse(self, part: Pairs, bad: np.ndarray, why: str) -> None:
        row = int(np.flatnonzero(bad)[0])
        user, item = self.user_ids[part.users[row]], self.item_ids[part.items[row]]
        raise DataError(f"split of {self.name}: item {item} of user {user} {why}")


def leave_one_out(interactions: Interactions, *, ties: Ties) -> Split:
    """Split each user's positives in time: the last is test, the one before it validation, the rest train.

    A user with two positives has one in train and one in test; a user with one has it in train.

    Args:
        ties: Which of two positives in the same second counts as earlier: the first in the file ("file"), the last in
            the file ("reverse_file"), or the one with the smaller item id ("item_id").

    Raises:
        DataError: the interactions have no timestamps.
    """
    if interactions.timestamps is None:
        raise DataError(
            f"{interactions.name}: expected timestamps, found none; split=leave_one_out orders positives by time"
        )
    order = _by_time(interactions, interactions.timestamps, ties)
    users = interactions.users[order]
    from_end = np.bincount(users, minlength=interactions.num_users).cumsum()[users] - np.arange(len(users)) - 1
    size = np.bincount(users, minlength=interactions.num_users)[users]
    is_test, is_valid = (from_end == 0) & (size >= 2), (from_end == 1) & (size >= 3)
    train, valid, test = (_take(interactions, order[rows]) for rows in (~(is_test | is_valid), is_valid, is_test))
    return Split(
        train=train,
        valid=valid,
        test=test,
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        user_ids=interactions.user_ids,
        item_ids=interactions.item_ids,
        titles=interactions.titles,
        genres=interactions.genres,
        name=interactions.name,
        digest=digest_of(data=interactions.digest, split="leave_one_out", ties=ties),
    )


def tied_last_positives(interactions: Interactions) -> int:
    """Count the users whose last two positives share a timestamp, so that the rule for ties picks the test item."""
    if interactions.timestamps is None:
        return 0
    order = _by_time(interactions, interactions.timestamps, "file")
    users, times = interactions.users[order], interactions.timestamps[order]
    last = np.flatnonzero(np.append(users[1:] != users[:-1], True))
    last = last[last > 0]
    return int(((users[last] == users[last - 1]) & (times[last] == times[last - 1])).sum())


def _by_time(interactions: Interactions, timestamps: np.ndarray, ties: Ties) -> np.ndarray:
    """Return (N,) row numbers sorted by user, then time, then the rule for ties."""
    if ties == "item_id":
        return np.lexsort((interactions.items, timestamps, interactions.users))
    if ties == "file":
        return np.lexsort((timestamps, interactions.users))
    backwards = np.lexsort((timestamps[::-1], interactions.users[::-1]))
    return len(interactions) - 1 - backwards


def _take(interactions: Interactions, rows: np.ndarray) -> Pairs:
    stamps, ratings = interactions.timestamps, interactions.ratings
    return Pairs(
        interactions.users[rows], interactions.items[rows], None if stamps is None else stamps[rows], ratings[rows]
    )


SPLITS = Registry("split", {"leave_one_out": leave_one_out})
