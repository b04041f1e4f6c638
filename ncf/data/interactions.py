"""Interactions: the positives of a ratings file, re-indexed. Every split is made from them."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from ncf.core.roles import Role
from ncf.data.catalogue import Catalogue
from ncf.data.features import Given
from ncf.data.ratings import Ratings
from ncf.data.times import instants
from ncf.errors import DataError

Duplicates = Literal["error", "first", "last"]
Least = Annotated[int, Field(ge=0, le=1_000_000), Role(since=0)]
"""The least number of positives that a user or an item needs to be kept."""

FORMAT = 1  # increment when the same file and settings would give different interactions


@dataclass(frozen=True)
class Counts:
    """The size of a ratings file before the threshold; 0 if unknown."""

    ratings: int = 0
    users: int = 0
    items: int = 0


@dataclass(frozen=True)
class Interactions:
    """Positives only, in file order, with dense indices from 0.

    `users` and `items` (N,) int64; `ratings` (N,) float32; `timestamps` (N,) int64 seconds since 1970, or None, and
    `subseconds` (N,) int32, the nanoseconds that come on top, None if there are none;
    `user_ids` (U,) and `item_ids` (I,) are the sorted raw ids, int64 or unicode; `titles` and `genres` (I,) unicode, or
    None; `digest` is the SHA-256 hex of the raw ratings and the settings that define a positive. `item_features` and
    `user_features` say where more is found of them (`ncf.data.features`).
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    timestamps: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None
    genres: np.ndarray | None
    name: str
    digest: str
    before: Counts = field(default=Counts())
    subseconds: np.ndarray | None = None
    item_features: Given | None = None
    user_features: Given | None = None

    @property
    def num_users(self) -> int:
        """U, the number of users with at least one positive."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """I, the number of items with at least one positive."""
        return len(self.item_ids)

    @property
    def instants(self) -> np.ndarray | None:
        """(N,) int64, the times in their order: in seconds, or in nanoseconds if there are `subseconds`."""
        return None if self.timestamps is None else instants(self.timestamps, self.subseconds)

    def __len__(self) -> int:
        return len(self.users)


def digest_of(**settings: Any) -> str:
    """Return the SHA-256 hex of named JSON values, regardless of their order."""
    return hashlib.sha256(json.dumps({"format": FORMAT, **settings}, sort_keys=True).encode()).hexdigest()


def positives(
    ratings: Ratings,
    catalogue: Catalogue | None,
    name: str,
    digest: str,
    threshold: float | None,
    duplicates: Duplicates,
) -> Interactions:
    """Select the rows of `ratings` at or above `threshold` (None: all rows) and re-index them.

    Raises:
        DataError: a (user, item) pair is rated twice under `duplicates="error"`, or no positive is left.
    """
    keep = _without_duplicates(ratings, duplicates)
    if threshold is not None:
        keep &= ratings.ratings >= threshold
    if not keep.any():
        highest = f"{ratings.ratings.max():g}"
        raise DataError(f"{ratings.label}: no rating reaches data.threshold={threshold} (the highest is {highest})")
    users, user_ids = _reindex(ratings.users[keep], ratings.user_ids)
    items, item_ids = _reindex(ratings.items[keep], ratings.item_ids)
    titles, genres = _metadata(catalogue, item_ids)
    stamps, subseconds = (None if t is None else t[keep] for t in (ratings.timestamps, ratings.subseconds))
    before = Counts(len(ratings.users), len(ratings.user_ids), len(ratings.item_ids))
    return Interactions(
        users,
        items,
        ratings.ratings[keep],
        stamps,
        user_ids,
        item_ids,
        titles,
        genres,
        name,
        digest,
        before,
        subseconds,
    )


def core(interactions: Interactions, min_user_positives: int, min_item_positives: int) -> Interactions:
    """Keep the largest part in which every user and every item has that many positives (0 or 1: as it is).

    Dropping a user can leave an item with too few, and the other way round, so both are repeated until nothing changes.

    Raises:
        DataError: nothing is left.
    """
    if max(min_user_positives, min_item_positives) <= 1:
        return interactions
    users, items = interactions.users, interactions.items
    keep, left = np.ones(len(users), bool), -1
    while left != (left := int(keep.sum())):
        for codes, least in ((users, min_user_positives), (items, min_item_positives)):
            keep &= (np.bincount(codes[keep], minlength=int(codes.max()) + 1) >= least)[codes]
    if not left:
        raise DataError(
            f"{interactions.name}: no positive is left under data.min_user_positives={min_user_positives} and "
            f"data.min_item_positives={min_item_positives}"
        )
    kept_items = np.zeros(interactions.num_items, bool)
    kept_items[items[keep]] = True
    new_users, user_ids = _reindex(users[keep], interactions.user_ids)
    new_items, item_ids = _reindex(items[keep], interactions.item_ids)
    titles, genres = interactions.titles, interactions.genres
    times, subseconds = interactions.timestamps, interactions.subseconds
    return replace(
        interactions,
        users=new_users,
        items=new_items,
        ratings=interactions.ratings[keep],
        timestamps=None if times is None else times[keep],
        subseconds=None if subseconds is None else subseconds[keep],
        user_ids=user_ids,
        item_ids=item_ids,
        titles=None if titles is None else titles[kept_items],
        genres=None if genres is None else genres[kept_items],
        digest=digest_of(data=interactions.digest, least=[min_user_positives, min_item_positives]),
    )


def _without_duplicates(ratings: Ratings, duplicates: Duplicates) -> np.ndarray:
    """Return (N,) bool: which rows to keep so that each (user, item) pair occurs once. Raises DataError."""
    pairs = ratings.users * len(ratings.item_ids) + ratings.items
    ordered = np.sort(pairs)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.ones(len(pairs), bool)
    repeated = pd.Series(pairs).duplicated(keep="last" if duplicates == "last" else "first").to_numpy()
    if duplicates == "error":
        row = int(np.flatnonzero(repeated)[0])
        first = int(np.flatnonzero(pairs == pairs[row])[0])
        user, item = ratings.user_ids[ratings.users[row]], ratings.item_ids[ratings.items[row]]
        raise DataError(
            f"{ratings.label}, line {ratings.first_line + row}: expected each (user, item) pair once, "
            f"found user {user} and item {item} again (first on line {ratings.first_line + first}); "
            "data.duplicates=first or last keeps one of them"
        )
    return ~repeated


def _reindex(codes: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumber codes (N,) densely over the ids that occur; return them and those ids."""
    seen = np.zeros(len(ids), bool)
    seen[codes] = True
    return (np.cumsum(seen) - 1)[codes], ids[seen]


def _metadata(catalogue: Catalogue | None, item_ids: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return titles and genres (I,) of the items, empty strings where the catalogue lacks them."""
    if catalogue is None:
        return None, None
    if not len(catalogue.ids):
        return np.full(len(item_ids), ""), np.full(len(item_ids), "")
    rows = pd.Index(catalogue.ids).get_indexer(pd.Index(item_ids))
    known = rows >= 0
    return np.where(known, catalogue.titles[rows], ""), np.where(known, catalogue.genres[rows], "")
