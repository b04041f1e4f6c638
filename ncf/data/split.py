"""A split of the positives into train, validation and test; frozen, and disjoint by assertion."""

from dataclasses import dataclass

import numpy as np

from ncf.data.features import Given
from ncf.data.times import instants
from ncf.errors import DataError


@dataclass(frozen=True)
class Pairs:
    """Positives: `users` and `items` (N,) int64, and what else is known of them, else None.

    `timestamps` (N,) int64 seconds since 1970; `ratings` (N,) float32; `subseconds` (N,) int32 nanoseconds.
    `item_counts` (I,) int64, of a part that is read without the rest: how often each item occurs in the whole.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray | None = None
    ratings: np.ndarray | None = None
    subseconds: np.ndarray | None = None
    item_counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def counts(self, num_items: int) -> np.ndarray:
        """Return how often each item occurs in the whole: (I,) int64, I being at least `num_items`."""
        return np.bincount(self.items, minlength=num_items) if self.item_counts is None else self.item_counts


def times_of(first: Pairs, second: Pairs) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the times of two parts as `ncf.data.times.instants` of one unit; None if those of one are unknown."""
    if first.timestamps is None or second.timestamps is None:
        return None
    fine = first.subseconds is not None or second.subseconds is not None
    return (
        instants(first.timestamps, first.subseconds, fine),
        instants(second.timestamps, second.subseconds, fine),
    )


@dataclass(frozen=True)
class Split:
    """A partition of the positives; the parts are sorted by user.

    A user may have any number of positives in each part.

    Attributes:
        in_time: whether to check that no positive is later than one of the same user in a later part.
        in_time_overall: whether to check that no positive is later than one of any user in a later part.
        dropped: number of positives that are in no part, because their user has none in train.
        item_features: where features of items are found, besides titles and genres.
        user_features: where features of users are found.
        valid_among: (C,) int64, the items that validation positives are ranked among; None: all.
        test_among: likewise for test.

    Raises:
        DataError: a pair is in two parts, or twice in a held-out one, or, under `in_time`, later than a positive of
            the user in a later part (or `in_time_overall`, of any user); the message names user and item.
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
    in_time_overall: bool = False
    dropped: int = 0
    item_features: Given | None = None
    user_features: Given | None = None
    valid_among: np.ndarray | None = None
    test_among: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Raise DataError for a split that leaks."""
        valid, test = self._keys(self.valid, "validation"), self._keys(self.test, "test")
        self._refuse_shared(self.train, valid, "train", "validation")
        self._refuse_shared(self.train, test, "train", "test")
        self._refuse_shared(self.valid, test, "validation", "test")
        if self.in_time or self.in_time_overall:
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
        times = times_of(part, other)
        if times is None or not len(other):
            return
        own, others = times
        first = np.full(self.num_users, np.iinfo(np.int64).max)
        np.minimum.at(first, other.users, others)
        later = own > first[part.users]
        if later.any():
            self._refuse(part, later, f"is in {name} but later than the user's {other_name} positive")
        if self.in_time_overall and (later := own > others.min()).any():
            self._refuse(part, later, f"is in {name} but later than a {other_name} positive of another user")

    def _refuse(self, part: Pairs, bad: np.ndarray, why: str) -> None:
        row = int(np.flatnonzero(bad)[0])
        user, item = self.user_ids[part.users[row]], self.item_ids[part.items[row]]
        raise DataError(f"split of {self.name}: item {item} of user {user} {why}")
