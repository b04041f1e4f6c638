"""The metrics by name: each maps the ranks of held-out positives to one value a positive, whose mean is reported.

A metric is one class and one line in METRICS. Tied candidates share the ranks `above + 1` to `above + tied`. With
`ties="average"` a metric is its expectation over a uniformly random order of the ties, so that a constant scorer gets
exactly HR@k = k / candidates; "optimistic" and "pessimistic" rank the positive first and last among them. McSherry and
Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied scores".

A user with several held-out positives (R of them) has one ranked list with all of them in it, and one value a metric,
which is the mean over the user's rows. So a row's value is the positive's share of a sum (NDCG, MAP, recall,
precision, AUC), or the user's value itself (hit, MRR: those depend on the first positive alone).
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from ncf.evaluation.hypergeometric import first_of_several
from ncf.evaluation.ranking import Ranks, Together

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
        gains = self.gains(int(ranks.candidates.max()) if k is None else k)
        first, span = _span(ranks, ties)
        own = _expected(gains, first, span)
        return own if ranks.together is None else self.several(own, gains, first, span, ranks.together)

    def several(self, own: Tensor, gains: Tensor, first: Tensor, span: Tensor, together: Together) -> Tensor:
        """Return values (..., N) whose mean over the rows of a user is the user's, where users have several positives.

        By default it is the mean of what each positive alone would have.

        Args:
            own: (..., N) float64, expected gain of each positive.
            gains: (P,) float64, the values of ranks 1 to P; beyond, they are 0.
            first: (..., N) int64, number of ranks before those that the positive may take.
            span: (..., N) int64, number of ranks that it may take, all of them equally likely.
            together: which of the user's positives are before and beside it.
        """
        return own


class Recall(Metric):
    """Recall@k: the share of the user's positives that are among the first k."""

    def gains(self, places: int) -> Tensor:
        """1 everywhere."""
        return torch.ones(places, dtype=torch.float64)


class Precision(Recall):
    """Precision@k: the share of the first k that are positives of the user."""

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """See `Metric`."""
        assert k is not None
        return super().__call__(ranks, k, ties) / k

    def several(self, own: Tensor, gains: Tensor, first: Tensor, span: Tensor, together: Together) -> Tensor:
        """(..., N): R times what the positive alone would have, so that the mean is the sum."""
        return own * together.counts


class FirstPositive(Metric):
    """A metric of the rank of the user's first positive."""

    def several(self, own: Tensor, gains: Tensor, first: Tensor, span: Tensor, together: Together) -> Tensor:
        """(..., N): the expected gain of the first of the user's positives that share the best score."""
        first, span, level = (column.gather(-1, together.first) for column in (first, span, together.level))
        values = _expected(gains, first, torch.where(level == span, 1, span))  # if no other is tied, the first is first
        spread = (level > 1) & (level < span)
        values[spread] = first_of_several(first[spread], span[spread], level[spread], gains)
        return values


class Hit(FirstPositive):
    """HR@k: 1 if a positive of the user is among the first k, else 0. With one positive it equals recall@k."""

    def gains(self, places: int) -> Tensor:
        """1 everywhere."""
        return torch.ones(places, dtype=torch.float64)


class ReciprocalRank(FirstPositive):
    """MRR: 1 / rank of the user's first positive, without a cut-off."""

    cut = False

    def gains(self, places: int) -> Tensor:
        """1 / rank."""
        return 1 / _first_ranks(places)


class ReciprocalRanks(Metric):
    """MRR over all held-out positives of the user: the mean of 1 / rank over them, not of the first alone.

    What Spotlight's `mrr_score` computes (Kula 2017); at most (1 + 1/2 + ... + 1/R) / R with R positives.
    """

    cut = False

    def gains(self, places: int) -> Tensor:
        """1 / rank."""
        return 1 / _first_ranks(places)


class NDCG(Metric):
    """NDCG@k: the sum of 1 / log2(rank + 1) over the user's positives among the first k, over the largest there can be.

    The ideal DCG has min(k, R) terms: 1 with one positive a user (He et al. 2017, section 4.1).
    """

    def gains(self, places: int) -> Tensor:
        """1 / log2(rank + 1)."""
        return 1 / torch.log2(_first_ranks(places) + 1)

    def several(self, own: Tensor, gains: Tensor, first: Tensor, span: Tensor, together: Together) -> Tensor:
        """(..., N): the positive's share of the DCG, times R."""
        return own * (together.counts / _running(gains)[together.counts.clamp(max=len(gains))])


class AveragePrecision(Metric):
    """AP@k, whose mean is MAP@k: the sum of the precisions at the ranks of the user's positives among the first k.

    It is divided by min(k, R), so that a perfect list has 1. With one positive a user it is 1 / rank among the first k.
    """

    def gains(self, places: int) -> Tensor:
        """1 / rank."""
        return 1 / _first_ranks(places)

    def several(self, own: Tensor, gains: Tensor, first: Tensor, span: Tensor, together: Together) -> Tensor:
        """The expected precision at the positive's rank, times R / min(k, R).

        At place j of its `span`, all `before` are above it, and each other of its `level` with probability
        (j - 1) / (span - 1): the sum over j of (1 + before + (level - 1) (j - 1) / (span - 1)) / (first + j).
        """
        places = (len(gains) - first).clamp(min=0).minimum(span)  # of its ranks, those within the cut-off
        inverse = own * span  # the sum over j of 1 / (first + j)
        beside = (together.level - 1).double() / (span - 1).clamp(min=1)  # integers would divide to float32
        total = (1 + together.before) * inverse + beside * (places - (first + 1) * inverse)
        return total / span * together.counts / together.counts.clamp(max=len(gains))


class AUC(Metric):
    """Area under the ROC curve: the share of pairs of a positive and another candidate with the positive above.

    Ties count half, whatever `ties` says (Mann and Whitney 1947). NaN if all candidates are positives of the user.
    """

    cut = False

    def gains(self, places: int) -> Tensor:
        """1 at the first rank, falling linearly to 0 at the last."""
        return (places - _first_ranks(places)) / (places - 1)

    def __call__(self, ranks: Ranks, k: int | None, ties: Ties) -> Tensor:
        """See `Metric`; each positive is compared with its own number of candidates, the user's positives left out."""
        if ranks.together is None:
            return (ranks.candidates - ranks.average) / (ranks.candidates - 1)
        others = ranks.candidates - ranks.together.counts
        above, tied = ranks.above - ranks.together.before, ranks.tied - ranks.together.level
        return (others - above - tied.double() / 2) / others


METRICS: dict[str, Metric] = {
    "hit": Hit(),
    "ndcg": NDCG(),
    "mrr": ReciprocalRank(),
    "mrr_all": ReciprocalRanks(),
    "precision": Precision(),
    "recall": Recall(),
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


def _running(gains: Tensor) -> Tensor:
    """Return the sums of the first 0, 1, ..., P gains: (P + 1,)."""
    return torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])


def _expected(gains: Tensor, first: Tensor, span: Tensor) -> Tensor:
    """Average `gains` (P,), the values of ranks 1 to P and 0 beyond, over the `span` ranks after the `first`."""
    total, last = _running(gains), len(gains)
    return (total[(first + span).clamp(max=last)] - total[first.clamp(max=last)]) / span


def _span(ranks: Ranks, ties: Ties) -> tuple[Tensor, Tensor]:
    """Return how many ranks precede those that the positive may take, and how many it may take.

    Positives of one user that share a score take the first or the last of its ranks in any order.
    """
    if ties == "average":
        return ranks.above, ranks.tied
    level = torch.ones_like(ranks.tied) if ranks.together is None else ranks.together.level
    return (ranks.above, level) if ties == "optimistic" else (ranks.above + ranks.tied - level, level)
