"""Determinantal point process: the greedy search for its most probable list (Chen, Zhang and Zhou 2018)."""

import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates
from ncf.retrieval.greedy import Reranker, greedy
from ncf.retrieval.similarity import Similarity

RIDGE = 1e-4
"""Added to the diagonal of the similarities: two items that are the same still have a volume, if a small one."""


class DPP(Reranker):
    """Take the item that adds most to lambda sum_{i in list} rel(i) + (1 - lambda) log det S_list.

    S holds the similarities of the list's items, with 1 + `RIDGE` on the diagonal; its determinant is the squared
    volume that their vectors span. It is eq. 12 with theta = lambda. The Cholesky factor of S_list grows by a row a
    step (algorithm 1), in float64.
    """

    def __init__(self, weight: float, similarity: Similarity) -> None:
        self.weight, self.similarity = weight, similarity

    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """As `Reranker.choose`."""
        relevance = self.weight * candidates.relevance().double()
        near = self.similarity.among(candidates.items)
        left = torch.full(relevance.shape, 1 + RIDGE, dtype=torch.float64)  # d_i^2: what i adds to the volume
        rows: list[Tensor] = []  # of the factor, (B, C) each

        def objective() -> Tensor:
            # Rounding of the similarities may take more than there was.
            return torch.add(relevance, left.clamp(min=RIDGE / 10).log_(), alpha=1 - self.weight)

        def take(at: Tensor) -> None:
            """Take what the items at (B,) add out of what is left, a step of the Cholesky factor (eq. 8 to 10)."""
            at = at[:, None]
            row = near(at[:, 0]).double()
            for known in rows:
                row.addcmul_(known, known.gather(1, at), value=-1)
            row.div_(left.gather(1, at).clamp_(min=RIDGE / 10).sqrt_())
            left.addcmul_(row, row, value=-1)
            rows.append(row)

        return greedy(candidates.there, k, objective, take)
