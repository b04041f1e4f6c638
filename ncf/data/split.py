"""Splits: which positives train, which select, which test; frozen, disjoint, and never ahead of time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ncf.data.interactions import Interactions, digest_of
from ncf.errors import DataError

Ties = Literal["file", "reverse_file", "item_id"]


@dataclass(frozen=True)
class Pairs:
    """`users` and `items` (N,) int64; `timestamps` (N,) int64 seconds and `ratings` (N,) float32 where known."""

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray | None = None
    ratings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """One partition of the positives; `train` is sorted by user, then time, then the rule for ties.

    Raises:
        DataError: naming user and item, where a pair is in two parts, a user has two validation or test items, or
            anything is later than what it is meant to predict.
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

    def __post_init__(self) -> None:
        """Refuse a split that leaks."""
        valid_row, test_row = self._rows(self.valid, "validation"), self._rows(self.test, "test")
        self._refuse_shared(self.train, self.valid, valid_row, "train", "validation")
        self._refuse_shared(self.train, self.test, test_row, "train", "test")
        self._refuse_shared(self.valid, self.test, test_row, "validation", "test")
        self._refuse_later(self.train, self.valid, valid_row, "train", "validation")
        self._refuse_later(self.train, self.test, test_row, "train", "test")
        self._refuse_later(self.valid, self.test, test_row, "validation", "test")

    def _rows(self, part: Pairs, name: str) -> np.ndarray:
        """(U,) the row of each user in `part`, -1 where it has none."""
        rows = np.full(self.num_users, -1)
        rows[part.users] = np.arange(len(part))
        twice = rows[part.users] != np.arange(len(part))
        if twice.any():
            self._refuse(part, twice, f"is one of several {name} items of the user, expected at most one")
        return rows

    def _refuse_shared(self, part: Pairs, other: Pairs, row: np.ndarray, name: str, other_name: str) -> None:
        match = row[part.users]
        shared = match >= 0
        shared[shared] = part.items[shared] == other.items[match[shared]]
        if shared.any():
            self._refuse(part, shared, f"is in {name} and in {other_name}")

    def _refuse_later(self, part: Pairs, other: Pairs, row: np.ndarray, name: str, other_name: str) -> None:
        if part.timestamps is None or other.timestamps is None:
            return
        match = row[part.users]
        later = match >= 0
        later[later] = part.timestamps[later] > other.timestamps[match[later]]
        if later.any():
            self._refuse(part, later, f"is in {name} but later than the user's {other_name} item")

    def _refuse(self, part: Pairs, bad: np.ndarray, why: str) -> None:
        row = int(np.flatnonzero(bad)[0])
        user, item = self.user_ids[part.users[row]], self.item_ids[part.items[row]]
        raise DataError(f"split of {self.name}: item {item} of user {user} {why}")


def leave_one_out(interactions: Interactions, *, ties: Ties) -> Split:
    """Per user: the last positive in time is test, the one before it validation, the rest train.

    A user with two positives has one in train and one in test; a user with one has it in train.

    Args:
        ties: Which of two positives of one second counts as earlier: the first in the file, the last in the file, or
            the one of the smaller item id.

    Raises:
        DataError: where there are no timestamps.
    """
    if interactions.timestamps is None:
        raise DataError(
            f"{interactions.name}: expected timestamps, found none; split=leave_one_out orders a user's items in time"
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
    """How many users' last two positives carry one timestamp, so that the rule for ties picks their test item."""
    if interactions.timestamps is None:
        return 0
    order = _by_time(interactions, interactions.timestamps, "file")
    users, times = interactions.users[order], interactions.timestamps[order]
    last = np.flatnonzero(np.append(users[1:] != users[:-1], True))
    last = last[last > 0]
    return int(((users[last] == users[last - 1]) & (times[last] == times[last - 1])).sum())


def _by_time(interactions: Interactions, timestamps: np.ndarray, ties: Ties) -> np.ndarray:
    """(N,) the rows by user, then time, then the rule for ties."""
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


SPLITS = {"leave_one_out": leave_one_out}
