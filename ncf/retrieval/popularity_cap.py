"""A cap on popular items: at most a share of a list may be of the head of the catalogue."""

import numpy as np
import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.greedy import Reranker

HEAD = 0.5
"""The share of all training positives that the head has."""


class PopularityCap(Reranker):
    """Leave at most floor(lambda k) items of `head` (I,) bool in a list; the others move up in their order.

    If the candidates lack other items, the best of the head fill the list.
    """

    def __init__(self, weight: float, head: Tensor) -> None:
        self.weight, self.head = weight, head

    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """As `Reranker.choose`."""
        popular = self.head[candidates.items]
        beyond = popular & (popular.cumsum(1) > int(self.weight * k + 1e-9))
        there = candidates.there
        order = (beyond.byte() + 2 * (~there).byte()).sort(dim=1, stable=True).indices[:, :k]
        positions = torch.full((len(popular), k), -1)
        positions[:, : order.shape[1]] = torch.where(there.gather(1, order), order, -1)
        return positions


def head(popularity: np.ndarray) -> Tensor:
    """Return (I,) bool: the fewest items that have `HEAD` of all training positives, the most popular ones.

    Args:
        popularity: (I,) training positives of each item; of equal ones the first is taken.
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    found = np.zeros(len(popularity), bool)
    found[order] = before < HEAD * popularity.sum()
    return torch.from_numpy(found)
