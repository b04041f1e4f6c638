"""Maximum inner product search: the items whose vectors have the highest inner products with a user's."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ncf.evaluation.top import top


class Search(Protocol):
    """Searches one table of item vectors."""

    def search(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return inner products and items (B, count) of queries (B, D), best first.

        A search that is not exact may find fewer: then the last places have -inf and any item.
        """


class Exact:
    """Compares a query with every one of `vectors` (I, D)."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def search(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """As `Search.search`, of queries (B, D); of equal products the lower item comes first."""
        return top(queries @ self.vectors.T, min(count, len(self.vectors)))


def unseen(
    found: tuple[Tensor, Tensor], seen: tuple[np.ndarray, np.ndarray], num_items: int, count: int
) -> tuple[Tensor, Tensor]:
    """Leave what is `seen` out of what was `found`: values and items (B, count), -inf where there are no more.

    Args:
        found: values and items (B, M), best first.
        seen: rows and items (E,), ordered by row and then item.
        num_items: I.
    """
    values, items = found
    keys = torch.arange(len(items))[:, None] * num_items + items
    known = torch.from_numpy(seen[0].astype(np.int64) * num_items + seen[1])
    kept = values.masked_fill(torch.isin(keys, known), -torch.inf)
    values, order = kept.sort(dim=1, descending=True, stable=True)
    return values[:, :count], items.gather(1, order[:, :count])


def recall(found: Tensor, expected: Tensor, there: Tensor) -> float:
    """Return the share of `expected` (B, K) items that are in the same row of `found` (B, M); NaN if none is expected.

    Args:
        there: (B, K) bool, which of the places of `expected` hold an item.
    """
    matched = (expected[:, :, None] == found[:, None, :]).any(2) & there
    return float(matched.sum() / there.sum())
