"""Lists of items as the histories of new users, and what a run's model fits their rows to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ncf.core.config import component
from ncf.data.split import Split
from ncf.errors import DataError
from ncf.losses import LOSSES, JointLoss, Needed, needs, per_example
from ncf.models.new_users import Histories, Objective
from ncf.training.batches import relative_frequencies

Lists = list[tuple[np.ndarray, np.ndarray | None]]
"""Of each new user the item indices (n,) int64, ascending and distinct, and their ratings (n,) if there are any."""


def read_lists(indices: Callable[[Sequence[Any]], np.ndarray], items: Any, ratings: Any = None) -> Lists:
    """Return the lists in `items`, one list of ids or a list of several; of an item given twice the first counts.

    Args:
        indices: maps ids to item indices; raises DataError for an unknown one.
        ratings: of the shape of `items`, or None.

    Raises:
        DataError: a list is empty or none, or `ratings` are not a finite number for each item.
    """
    several = _several("items", items)
    rated = [None] * len(several) if ratings is None else _several("ratings", ratings)
    if len(rated) != len(several):
        raise DataError(f"ratings: expected {len(several)} lists, one for each list of items, got {len(rated)}")
    places = [f" in list {number}" for number in range(1, len(several) + 1)] if len(several) > 1 else [""]
    return [_read(indices, *of_one) for of_one in zip(places, several, rated)]


def _several(what: str, values: Any) -> list[list[Any]]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise DataError(f"{what}: expected a list, or a list of lists, got {values!r}")
    listed = [_as_list(value) for value in values]
    nested = [isinstance(value, list) for value in listed]
    if all(nested) and listed:
        return listed
    if any(nested):
        raise DataError(f"{what}: expected a list, or a list of lists, got {listed[nested.index(False)]!r} among lists")
    return [listed]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else list(value)


def _read(
    indices: Callable[[Sequence[Any]], np.ndarray], where: str, ids: list[Any], ratings: list[Any] | None
) -> tuple[np.ndarray, np.ndarray | None]:
    if not ids:
        raise DataError(f"items: expected at least one item, found none{where}")
    items, first = np.unique(indices(ids), return_index=True)
    if ratings is None:
        return items, None
    if len(ratings) != len(ids):
        raise DataError(f"ratings: expected {len(ids)}, one for each item{where}, got {len(ratings)}")
    return items, np.array([_rating(rating) for rating in ratings], np.float32)[first]


def _rating(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"ratings: expected finite numbers, got {value!r}")
    return number


def histories(lists: Lists, at_once: int) -> Iterator[tuple[np.ndarray, Histories]]:
    """Yield the numbers (B,) of the lists, from 1, and their histories, `at_once` lists at a time."""
    for start in range(0, len(lists), at_once):
        items, ratings = zip(*lists[start : start + at_once])
        rated = None if ratings[0] is None else torch.from_numpy(np.concatenate(ratings))
        counts = torch.tensor([len(own) for own in items])
        yield start + np.arange(1, len(items) + 1), Histories(torch.from_numpy(np.concatenate(items)), counts, rated)


def objective(config: Mapping[str, Any], split: Split) -> Objective:
    """Return what the rows of new users are fitted to, by the settings of a run trained by gradient on `split`.

    Raises:
        DataError: they are not those of such a run.
        ConfigError: the loss is unknown here, or a setting of it invalid.
    """
    for key, kind in (("loss", dict), ("neg_ratio", int), ("seed", int)):
        if not isinstance(config.get(key), kind):
            raise DataError(f"items: expected the settings of a run trained by gradient, found no {key!r}")
    loss = component("loss", LOSSES, config["loss"])()
    # their ratings are not asked for: of two tasks, their rows are fitted to that of ranking
    read = frozenset[Needed]() if isinstance(loss, JointLoss) else needs(loss)
    frequencies = relative_frequencies(split.train, split.num_items) if "frequencies" in read else None
    return Objective(partial(per_example, loss), read, config["neg_ratio"], config["seed"], frequencies)
