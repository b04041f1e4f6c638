"""A split shared out by users: what several processes read of it, each its part."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ncf.data.split import Pairs, Split

HeldOut = Literal["valid", "test"]
NONE = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Part:
    """The users `first_user` to `end_user` - 1, whose training positives are the rows `first_row` to `end_row` - 1."""

    first_user: int
    end_user: int
    first_row: int
    end_row: int


class Parts(ABC):
    """A split that need not be read whole. Training rows and held-out ones are sorted by user.

    Attributes:
        outline: the split; its pairs may be left out.
        rows: number of training positives.
        valid: all validation positives.
        test: all test positives.
    """

    outline: Split
    rows: int
    valid: Pairs
    test: Pairs

    @property
    @abstractmethod
    def item_counts(self) -> np.ndarray:
        """(I,) int64, training positives of each item."""

    @abstractmethod
    def train(self, first_user: int, end_user: int) -> list[Pairs]:
        """Return the training positives of these users, in order, in at least one piece."""

    @abstractmethod
    def owner(self, row: int) -> tuple[int, int]:
        """Return the user of a training row, and the user's first row."""

    def part(self, rank: int, size: int) -> Part:
        """Return the part of process `rank` of `size`: whole users, with about equal numbers of training rows.

        A user lies in the share that the user's first row is in.
        """
        (first_user, first_row), (end_user, end_row) = (self._boundary(r, size) for r in (rank, rank + 1))
        return Part(first_user, end_user, first_row, end_row)

    def _boundary(self, rank: int, size: int) -> tuple[int, int]:
        row = rank * self.rows // size
        if row <= 0:
            return 0, 0
        return self.owner(row) if row < self.rows else (self.outline.num_users, self.rows)

    def own(self, part: Part) -> Split:
        """Return the split of the users of `part` alone, renumbered from 0; `train` counts the items of all users.

        Raises DataError, as every split does, if the parts share a pair.
        """
        first, end = part.first_user, part.end_user
        train = joined(self.train(first, end))
        valid, test = between(self.valid, first, end), between(self.test, first, end)
        return replace(
            self.outline,
            train=Pairs(_less(train.users, first), train.items, ratings=train.ratings, item_counts=self.item_counts),
            valid=Pairs(_less(valid.users, first), valid.items),
            test=Pairs(_less(test.users, first), test.items),
            num_users=end - first,
            user_ids=self.outline.user_ids[first:end],
            in_time=False,  # it was checked when the whole split was made
            in_time_overall=False,
        )

    def around(self, of: HeldOut, rows: slice) -> Split:
        """Return what ranking these `rows` of a held-out part takes: them, and what their users have seen before.

        Users have their numbers in the whole; of other users there is nothing, and no test positive for `of` "valid".
        """
        held = cut(self.valid if of == "valid" else self.test, rows)
        first, end = (int(held.users[0]), int(held.users[-1]) + 1) if len(held) else (0, 0)
        return replace(
            self.outline,
            train=joined(self.train(first, end)),
            valid=held if of == "valid" else between(self.valid, first, end),
            test=held if of == "test" else NONE,
            in_time=False,
            in_time_overall=False,
        )


class Whole(Parts):
    """A split that has been read whole."""

    def __init__(self, split: Split) -> None:
        self.outline, self.rows, self.valid, self.test = split, len(split.train), split.valid, split.test

    @cached_property
    def item_counts(self) -> np.ndarray:
        """(I,) int64, training positives of each item."""
        return self.outline.train.counts(self.outline.num_items)

    def train(self, first_user: int, end_user: int) -> list[Pairs]:
        """Return the training positives of these users."""
        return [between(self.outline.train, first_user, end_user)]

    def owner(self, row: int) -> tuple[int, int]:
        """Return the user of a training row, and the user's first row."""
        users = self.outline.train.users
        return int(users[row]), int(np.searchsorted(users, users[row]))


def _less(users: np.ndarray, first: int) -> np.ndarray:
    """Return users (N,) renumbered; without a copy if they keep their numbers."""
    return users - first if first else users


def between(pairs: Pairs, first_user: int, end_user: int) -> Pairs:
    """Return those of `pairs`, sorted by user, that are of the users `first_user` to `end_user` - 1."""
    first, end = np.searchsorted(pairs.users, [first_user, end_user])
    return cut(pairs, slice(int(first), int(end)))


def cut(pairs: Pairs, rows: slice) -> Pairs:
    """Return these rows: users, items and ratings."""
    return Pairs(pairs.users[rows], pairs.items[rows], ratings=None if pairs.ratings is None else pairs.ratings[rows])


def joined(pieces: Sequence[Pairs]) -> Pairs:
    """Return pieces as one, users, items and ratings; a single piece is not copied."""
    if len(pieces) == 1:
        return pieces[0]
    ratings = [piece.ratings for piece in pieces if piece.ratings is not None]
    return Pairs(
        np.concatenate([piece.users for piece in pieces]),
        np.concatenate([piece.items for piece in pieces]),
        ratings=np.concatenate(ratings) if len(ratings) == len(pieces) else None,
    )
