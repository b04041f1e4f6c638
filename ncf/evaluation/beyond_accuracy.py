"""Beyond accuracy: properties of the lists that a run recommends, and metrics by group of users or items."""

import numpy as np
import torch
from torch import Tensor


def coverage(counts: np.ndarray) -> float:
    """Return the share of the catalogue that is in any list; counts (I,): in how many lists each item is."""
    return float((counts > 0).mean())


def gini(counts: np.ndarray) -> float:
    """Return the Gini index of counts (I,): 0 if every item is in equally many lists, near 1 if only one is in any.

    NaN if all lists are empty.
    """
    ordered, ranks = np.sort(counts), np.arange(1, len(counts) + 1)
    if not ordered[-1]:
        return float("nan")
    return float(((2 * ranks - len(counts) - 1) * ordered).sum() / (len(counts) * ordered.sum()))


def novelty(counts: np.ndarray, popularity: np.ndarray, num_users: int) -> float:
    """Return the mean self-information of recommended items in bits: -log2 of the share of users who have the item.

    Zhou et al. 2010. An item without training positives counts as having one. NaN if all lists are empty.

    Args:
        counts: (I,) in how many lists each item is.
        popularity: (I,) training positives of each item.
        num_users: U.
    """
    return _mean(counts, -np.log2(np.maximum(popularity, 1) / num_users))


def average_popularity(counts: np.ndarray, popularity: np.ndarray) -> float:
    """Return the mean number of training positives, `popularity` (I,), of the items in lists; NaN if all are empty.

    Args:
        counts: (I,) in how many lists each item is.
        popularity: (I,) training positives of each item.
    """
    return _mean(counts, popularity)


def _mean(counts: np.ndarray, values: np.ndarray) -> float:
    return float((counts * values).sum() / counts.sum()) if counts.any() else float("nan")


def groups(sizes: np.ndarray, count: int) -> np.ndarray:
    """Assign `sizes` (N,) to `count` groups of about equal number, from small to large: (N,) int64 in 0 to count - 1.

    Equal sizes fall in the same group, so that groups can differ in number.
    """
    edges = np.quantile(sizes, np.arange(1, count) / count)
    return np.searchsorted(edges, sizes, side="left")


def by_group(values: Tensor, group: np.ndarray) -> dict[int, tuple[int, float]]:
    """Map each group to its number of positives and the mean of `values` (N,) over them."""
    members = {int(g): values[torch.from_numpy(group == g)] for g in np.unique(group)}
    return {g: (len(v), float(v.mean())) for g, v in members.items()}
