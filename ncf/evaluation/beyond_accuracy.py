"""Beyond accuracy: what the lists that a run recommends are like, and metrics by groups of users and items."""

import numpy as np
import torch
from torch import Tensor


def coverage(lists: np.ndarray, num_items: int) -> float:
    """Share of the catalogue in any of the recommended lists (B, k)."""
    return len(np.unique(lists)) / num_items


def gini(lists: np.ndarray, num_items: int) -> float:
    """Gini index of how often each item is recommended in lists (B, k): 0 all alike, towards 1 one item only."""
    counts = np.sort(np.bincount(lists.ravel(), minlength=num_items))
    places = np.arange(1, num_items + 1)
    return float(((2 * places - num_items - 1) * counts).sum() / (num_items * counts.sum()))


def novelty(lists: np.ndarray, popularity: np.ndarray, num_users: int) -> float:
    """Mean self-information of recommended items, in bits: -log2 of the share of users who have the item.

    Zhou et al. 2010; an item that nobody has counts as one that a single user has.

    Args:
        lists: (B, k) items.
        popularity: (I,) training positives of each item.
        num_users: U.
    """
    return float(-np.log2(np.maximum(popularity[lists], 1) / num_users).mean())


def average_popularity(lists: np.ndarray, popularity: np.ndarray) -> float:
    """Mean number of training positives, `popularity` (I,), of the items in lists (B, k)."""
    return float(popularity[lists].mean())


def groups(sizes: np.ndarray, count: int) -> np.ndarray:
    """(N,) int64 in 0 to count - 1: which of `count` groups, about equal in number, each of `sizes` (N,) falls in.

    Equal sizes are in one group, so groups can differ in number.
    """
    edges = np.quantile(sizes, np.arange(1, count) / count)
    return np.searchsorted(edges, sizes, side="left")


def by_group(values: Tensor, group: np.ndarray) -> dict[int, tuple[int, float]]:
    """Group -> how many positives it has, and the mean of `values` (N,) over them."""
    chosen = {int(g): values[torch.from_numpy(group == g)] for g in np.unique(group)}
    return {g: (len(v), float(v.mean())) for g, v in chosen.items()}
