"""Maximal marginal relevance (Carbonell and Goldstein 1998)."""

import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.greedy import Reranker, greedy
from ncf.retrieval.similarity import Similarity


class MMR(Reranker):
    """Take the item with the highest lambda rel(i) - (1 - lambda) max_{j in list} sim(i, j)."""

    def __init__(self, weight: float, similarity: Similarity) -> None:
        self.weight, self.similarity = weight, similarity

    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """As `Reranker.choose`."""
        relevance = self.weight * candidates.relevance()
        near = self.similarity.among(candidates.items)
        nearest: list[Tensor] = []  # (B, C), the highest similarity to an item of the list; empty before the first

        def objective() -> Tensor:
            return torch.sub(relevance, nearest[0], alpha=1 - self.weight) if nearest else relevance

        def take(at: Tensor) -> None:
            """Note the similarities to the items at (B,)."""
            if nearest:
                torch.maximum(nearest[0], near(at), out=nearest[0])
            else:
                nearest.append(near(at))

        return greedy(candidates.there, k, objective, take)
