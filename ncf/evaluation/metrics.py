"""The metrics by name: from the rank of each held-out positive to one value a positive.

A metric is one class and one line in METRICS. Tied candidates share the places `above + 1` to `above + tied`. Under
`ties="average"` a value is its expectation over a uniformly random order of the tied, so a constant scorer gets exactly
HR@K = K / candidates; "optimistic" and "pessimistic" put the positive first and last among them. McSherry and Najork
2008, "Computing information retrieval performance measures efficiently in the presence of tied scores".
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from ncf.evaluation.ranking import Ranks

Ties = Literal["average", "optimistic", "pessimistic"]


class Metric(ABC):
    """What a place in the ranking is worth; its value is expected over the places that a positive may take.

    Attributes:
        cut: whether it looks at the first k places only.
    """

    cut: bool = True

    @abstractmethod
    def gains(self, places: int) -> Tensor:
        """The value of places 1 to `places`: (places,) float64. Under a cut-off, `places` is k and the rest is 0."""

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """The metric of each positive, (N,) float64 (leading dimensions of `ranks` stay); k is None without a cut."""
        return _expected(self.gains(int(ranks.candidates.max()) if k is None else k), ranks, ties)


class Hit(Metric):
    """HR@k: 1 if the positive is among the first k, else 0. With one relevant item a user it is recall@k too."""

    def gains(self, places: int) -> Tensor:
        """1 everywhere."""
        return torch.ones(places, dtype=torch.float64)


class Precision(Hit):
    """Precision@k: with one relevant item a user, HR@k / k."""

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """As of `Metric`."""
        assert k is not None
        return super().__call__(ranks, k, ties) / k


class NDCG(Metric):
    """NDCG@k: 1 / log2(rank + 1) among the first k, else 0.

    With one relevant item the ideal DCG is 1 (He et al. 2017, section 4.1).
    """

    def gains(self, places: int) -> Tensor:
        """1 / log2(place + 1)."""
        return 1 / torch.log2(_places(places) + 1)


class AveragePrecision(Metric):
    """AP@k, whose mean is MAP@k: with one relevant item a user, 1 / rank among the first k, else 0."""

    def gains(self, places: int) -> Tensor:
        """1 / place."""
        return 1 / _places(places)


class ReciprocalRank(AveragePrecision):
    """MRR: 1 / rank, without a cut-off."""

    cut = False


class AUC(Metric):
    """Area under the ROC curve: the share of other candidates below the positive.

    A tied one counts half, whatever `ties` says (Mann and Whitney 1947). NaN without other candidates.
    """

    cut = False

    def gains(self, places: int) -> Tensor:
        """1 at the first place, falling evenly to 0 at the last."""
        return (places - _places(places)) / (places - 1)

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """As of `Metric`, each positive among its own number of candidates."""
        return (ranks.candidates - ranks.average) / (ranks.candidates - 1)


METRICS: dict[str, Metric] = {
    "hit": Hit(),
    "ndcg": NDCG(),
    "mrr": ReciprocalRank(),
    "precision": Precision(),
    "recall": Hit(),
    "map": AveragePrecision(),
    "auc": AUC(),
}


def columns(names: list[str], cutoffs: list[int]) -> dict[str, tuple[Metric, int | None]]:
    """Column, such as "ndcg@10" or "mrr", -> its metric and cut-off; metric by metric, each at every cut-off."""
    metrics = {name: METRICS[name] for name in names}
    return {
        name if k is None else f"{name}@{k}": (metric, k)
        for name, metric in metrics.items()
        for k in (cutoffs if metric.cut else [None])
    }


def _places(n: int) -> Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)


def _expected(gains: Tensor, ranks: Ranks, ties: Ties) -> Tensor:
    """Mean of `gains` (P,), the value of places 1 to P and 0 beyond, over the places that the positive may take."""
    first, span = _span(ranks, ties)
    total = torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])  # total[n]: the first n places
    last = len(gains)
    return (total[(first + span).clamp(max=last)] - total[first.clamp(max=last)]) / span


def _span(ranks: Ranks, ties: Ties) -> tuple[Tensor, Tensor]:
    """How many places come before those that the positive may take, and how many these are."""
    if ties == "average":
        return ranks.above, ranks.tied
    alone = torch.ones_like(ranks.tied)
    return (ranks.above, alone) if ties == "optimistic" else (ranks.above + ranks.tied - 1, alone)
