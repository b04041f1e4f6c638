"""Beyond accuracy: properties of the lists that a run recommends, and metrics by group of users or items."""

import numpy as np
import torch
from torch import Tensor


def coverage(lists: np.ndarray, num_items: int) -> float:
    """Return the share of the catalogue that is in any of the recommended lists (B, k)."""
    return len(np.unique(lists)) / num_items


def gini(lists: np.ndarray, num_items: int) -> float:
    """Return the Gini index of how often each item is in lists (B, k): 0 if equally often, near 1 if only one is."""
    counts = np.sort(np.bincount(lists.ravel(), minlength=num_items))
    ranks = np.arange(1, num_items + 1)
    return float(((2 * ranks - num_items - 1) * counts).sum() / (num_items * counts.sum()))


def novelty(lists: np.ndarray, popularity: np.ndarray, num_users: int) -> float:
    """Return the mean self-information of recommended items in bits: -log2 of the share of users who have the item.

    Zhou et al. 2010. An item without training positives counts as having one.

    Args:
        lists: (B, k) items.
        popularity: (I,) training positives of each item.
        num_users: U.
    """
    return float(-np.log2(np.maximum(popularity[lists], 1) / num_users).mean())


def average_popularity(lists: np.ndarray, popularity: np.ndarray) -> float:
    """Return the mean number of training positives, `popularity` (I,), of the items in lists (B, k)."""
    return float(popularity[lists].mean())


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
