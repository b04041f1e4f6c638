"""Ranks to per-user values: HR@K, NDCG@K (log base 2) and MRR for one held-out positive a user.

Tied candidates share the places `above + 1` to `above + tied`. Under `ties="average"` a value is its expectation
over a uniformly random order of the tied, so a constant scorer gets exactly HR@K = K / candidates; "optimistic" and
"pessimistic" put the positive first and last among them. McSherry and Najork 2008, "Computing information retrieval
performance measures efficiently in the presence of tied scores".
"""

from typing import Literal

import torch
from torch import Tensor

from ncf.evaluation.ranking import Ranks

Ties = Literal["average", "optimistic", "pessimistic"]


def hit(ranks: Ranks, k: int, ties: Ties) -> Tensor:
    """HR@k of each positive, (N,) float64 in [0, 1]: is it among the first k? (leading dimensions of `ranks` stay)."""
    return _expected(torch.ones(k, dtype=torch.float64), ranks, ties)


def ndcg(ranks: Ranks, k: int, ties: Ties) -> Tensor:
    """NDCG@k of each positive, (N,) float64 in [0, 1]: 1 / log2(rank + 1) among the first k, else 0.

    With one relevant item the ideal DCG is 1 (He et al. 2017, section 4.1).
    """
    return _expected(1 / torch.log2(_places(k) + 1), ranks, ties)


def mrr(ranks: Ranks, ties: Ties) -> Tensor:
    """Reciprocal rank of each positive, (N,) float64 in (0, 1]: 1 / rank, without a cut-off."""
    return _expected(1 / _places(int(ranks.candidates.max())), ranks, ties)


def _places(n: int) -> Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)


def _expected(gain: Tensor, ranks: Ranks, ties: Ties) -> Tensor:
    """Mean of `gain` (P,), the value of places 1 to P and 0 beyond, over the places that the positive may take."""
    first, span = _span(ranks, ties)
    total = torch.cat([torch.zeros(1, dtype=torch.float64), gain.cumsum(0)])  # total[n]: the first n places
    last = len(gain)
    return (total[(first + span).clamp(max=last)] - total[first.clamp(max=last)]) / span


def _span(ranks: Ranks, ties: Ties) -> tuple[Tensor, Tensor]:
    """How many places come before those that the positive may take, and how many these are."""
    if ties == "average":
        return ranks.above, ranks.tied
    alone = torch.ones_like(ranks.tied)
    return (ranks.above, alone) if ties == "optimistic" else (ranks.above + ranks.tied - 1, alone)
