"""The metrics by name: each maps the rank of every held-out positive to one value.

A metric is one class and one line in METRICS. Tied candidates share the ranks `above + 1` to `above + tied`. With
`ties="average"` a metric is its expectation over a uniformly random order of the ties, so that a constant scorer gets
exactly HR@k = k / candidates; "optimistic" and "pessimistic" rank the positive first and last among them. McSherry and
Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied scores".
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from ncf.evaluation.ranking import Ranks

Ties = Literal["average", "optimistic", "pessimistic"]


class Metric(ABC):
    """The value of a rank, averaged over the ranks that a positive shares with its ties.

    Attributes:
        cut: whether the metric has a cut-off k, so that only the first k ranks have a value.
    """

    cut: bool = True

    @abstractmethod
    def gains(self, places: int) -> Tensor:
        """Return the values of ranks 1 to `places`: (places,) float64. With a cut-off, `places` is k and the rest 0."""

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """Return the metric of each positive, (N,) or, if stacked, (S, N) float64; k is None without a cut-off."""
        return _expected(self.gains(int(ranks.candidates.max()) if k is None else k), ranks, ties)


class Hit(Metric):
    """HR@k: 1 if the positive is among the first k, else 0. With one relevant item per user it equals recall@k."""

    def gains(self, places: int) -> Tensor:
        """1 everywhere."""
        return torch.ones(places, dtype=torch.float64)


class Precision(Hit):
    """Precision@k: with one relevant item per user, HR@k / k."""

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """See `Metric`."""
        assert k is not None
        return super().__call__(ranks, k, ties) / k


class NDCG(Metric):
    """NDCG@k: 1 / log2(rank + 1) among the first k, else 0.

    With one relevant item per user the ideal DCG is 1 (He et al. 2017, section 4.1).
    """

    def gains(self, places: int) -> Tensor:
        """1 / log2(rank + 1)."""
        return 1 / torch.log2(_first_ranks(places) + 1)


class AveragePrecision(Metric):
    """AP@k, whose mean is MAP@k: with one relevant item per user, 1 / rank among the first k, else 0."""

    def gains(self, places: int) -> Tensor:
        """1 / rank."""
        return 1 / _first_ranks(places)


class ReciprocalRank(AveragePrecision):
    """MRR: 1 / rank, without a cut-off."""

    cut = False


class AUC(Metric):
    """Area under the ROC curve: the share of other candidates that rank below the positive.

    Ties count half, whatever `ties` says (Mann and Whitney 1947). NaN if there are no other candidates.
    """

    cut = False

    def gains(self, places: int) -> Tensor:
        """1 at the first rank, falling linearly to 0 at the last."""
        return (places - _first_ranks(places)) / (places - 1)

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """See `Metric`; each positive is compared with its own number of candidates."""
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
    """Map each column, such as "ndcg@10" or "mrr", to its metric and cut-off, metric by metric."""
    metrics = {name: METRICS[name] for name in names}
    return {
        name if k is None else f"{name}@{k}": (metric, k)
        for name, metric in metrics.items()
        for k in (cutoffs if metric.cut else [None])
    }


def _first_ranks(n: int) -> Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)


def _expected(gains: Tensor, ranks: Ranks, ties: Ties) -> Tensor:
    """Average `gains` (P,), the values of ranks 1 to P and 0 beyond, over the ranks that the positive may take."""
    first, span = _span(ranks, ties)
    total = torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])  # total[n]: the first n ranks
    last = len(gains)
    return (total[(first + span).clamp(max=last)] - total[first.clamp(max=last)]) / span


def _span(ranks: Ranks, ties: Ties) -> tuple[Tensor, Tensor]:
    """Return how many ranks precede those that the positive may take, and how many it may take."""
    if ties == "average":
        return ranks.above, ranks.tied
    one = torch.ones_like(ranks.tied)
    return (ranks.above, one) if ties == "optimistic" else (ranks.above + ranks.tied - 1, one)
