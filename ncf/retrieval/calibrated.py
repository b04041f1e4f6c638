"""Calibrated recommendations (Steck 2018): a list with the user's own mixture of genres."""

import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.genres import shares
from ncf.retrieval.greedy import Reranker, greedy

SMOOTHING = 0.01
"""alpha of eq. 7: the share of the user's own mixture in that of a list, so that no genre is ever at zero."""


class Calibrated(Reranker):
    """Take the item with the highest lambda sum_{i in list} rel(i) - (1 - lambda) KL(p || q~), eq. 8.

    p is the mixture of genres of the user's training positives, and q that of the list, items of equal weight. Steck's
    lambda is the weight of the divergence, 1 - lambda here. Users whose items have no genres keep their order.

    Args:
        weight: lambda.
        genres: (I, G), 1 where an item has a genre.
        tastes: (U, G), p.
    """

    def __init__(self, weight: float, genres: Tensor, tastes: Tensor) -> None:
        self.weight, self.shares, self.tastes = weight, shares(genres), tastes

    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """As `Reranker.choose`."""
        relevance = self.weight * candidates.relevance()
        mixtures = self.shares[candidates.items]  # (B, C, G)
        tastes = self.tastes[candidates.users]  # (B, G)
        total = torch.zeros_like(tastes)
        length = 0

        def objective() -> Tensor:
            return relevance - (1 - self.weight) * divergence(
                tastes[:, None], (mixtures + total[:, None]) / (length + 1)
            )

        def take(at: Tensor) -> None:
            """Add the genres of the items at (B,) to those of the lists."""
            nonlocal length
            length += 1
            total.add_(mixtures.gather(1, at[:, None, None].expand(-1, 1, mixtures.shape[2])).squeeze(1))

        return greedy(candidates.there, k, objective, take)


def divergence(tastes: Tensor, mixture: Tensor) -> Tensor:
    """Return KL(p || (1 - alpha) q + alpha p) (...) of tastes p and mixtures q (..., G), eqs. 6 and 7; 0 log 0 is 0."""
    smooth = torch.add(mixture * (1 - SMOOTHING), tastes, alpha=SMOOTHING)
    tiny = torch.finfo(smooth.dtype).tiny
    entropy = torch.special.xlogy(tastes, tastes).sum(-1)
    return entropy - (tastes * smooth.clamp_(min=tiny).log_()).sum(-1)
