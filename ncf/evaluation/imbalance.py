"""Who is served: precision, recall and F1 of predicted positives by user and by item.

A prediction is a pair of a user and an item that the user has not seen; `rule` says which pairs a model predicts. Every
number is of one entity, a user or an item, and only then averaged: the F1 of a median is not the median of F1. Entities
without held-out positives have no recall, and are left out; those without predictions have no precision, which
counts as 0, or is left out as well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError, TrainingError
from ncf.evaluation.ranking import Scorer, check_scores, chunk_size
from ncf.evaluation.top import top
from ncf.models.non_gradient import positives_matrix

Rule = Callable[[Tensor], Tensor]
"""Scores (B, I), -inf for seen items, to predictions (B, I) bool."""

Part = Literal["valid", "test"]
METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Counts:
    """Pairs by entity, (N,) int64 each, N users or items.

    Attributes:
        hits: predicted pairs that are held-out positives.
        predicted: predicted pairs.
        relevant: held-out positives.
    """

    hits: np.ndarray
    predicted: np.ndarray
    relevant: np.ndarray

    def of(self, chosen: np.ndarray) -> "Counts":
        """Return those of the entities `chosen`, (N,) bool or indices."""
        return Counts(self.hits[chosen], self.predicted[chosen], self.relevant[chosen])

    def precision(self, undefined: float = 0.0) -> np.ndarray:
        """(N,) float64: hits / predicted, and `undefined` without a prediction."""
        return _ratio(self.hits, self.predicted, undefined)

    def recall(self, undefined: float = 0.0) -> np.ndarray:
        """(N,) float64: hits / relevant, and `undefined` without a held-out positive."""
        return _ratio(self.hits, self.relevant, undefined)

    def f1(self, undefined: float = 0.0) -> np.ndarray:
        """(N,) float64: 2 hits / (predicted + relevant), and `undefined` with neither (van Rijsbergen 1979)."""
        return _ratio(2 * self.hits, self.predicted + self.relevant, undefined)

    def values(self, metric: str, undefined: float = 0.0) -> np.ndarray:
        """(N,) float64 of one of `METRICS`."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}[metric](undefined)

    def micro(self, metric: str) -> float:
        """Return the metric of all pairs together; 0 where it is undefined."""
        return float(Counts(*(column.sum(keepdims=True) for column in vars(self).values())).values(metric)[0])


@dataclass(frozen=True)
class Summary:
    """A metric over entities.

    Attributes:
        entities: their number.
        mean: undefined ones count as 0.
        median: likewise.
        micro: of all pairs together.
        zeros: share of entities at 0, undefined ones included.
        undefined: number of entities without a prediction, if the metric is precision.
        mean_defined: mean over the others; NaN if there are none.
        median_defined: likewise.
    """

    entities: int
    mean: float
    median: float
    micro: float
    zeros: float
    undefined: int
    mean_defined: float
    median_defined: float


def summary(counts: Counts, metric: str) -> Summary:
    """Summarise a metric over the entities of `counts`, at least one."""
    values, known = counts.values(metric), counts.values(metric, np.nan)
    known = known[~np.isnan(known)]
    return Summary(
        entities=len(values),
        mean=float(values.mean()),
        median=float(np.median(values)),
        micro=counts.micro(metric),
        zeros=float((values == 0).mean()),
        undefined=len(values) - len(known),
        mean_defined=float(known.mean()) if len(known) else float("nan"),
        median_defined=float(np.median(known)) if len(known) else float("nan"),
    )


@dataclass(frozen=True)
class TopN:
    """Predict each user's `n` items with the highest scores; of equal ones the lower index first."""

    n: int

    def __call__(self, scores: Tensor) -> Tensor:
        """Scores (B, I) -> (B, I) bool."""
        values, items = top(scores, min(self.n, scores.shape[1]))
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, items, values > -torch.inf)


@dataclass(frozen=True)
class AtLeast:
    """Predict every pair with a score of at least `threshold`, one for all users."""

    threshold: float

    def __call__(self, scores: Tensor) -> Tensor:
        """Scores (B, I) -> (B, I) bool."""
        return (scores >= self.threshold) & (scores > -torch.inf)


class HeldOut:
    """The held-out positives of a part of a split, and what its users have seen before it.

    Raises:
        DataError: no user has several of them.
    """

    def __init__(self, split: Split, part: Part) -> None:
        held_out, seen = (split.valid, [split.train]) if part == "valid" else (split.test, [split.train, split.valid])
        self.num_users, self.num_items = split.num_users, split.num_items
        sizes = np.bincount(held_out.users, minlength=split.num_users)
        if not (sizes > 1).any():
            raise DataError(
                f"{split.name}: expected users with several held-out positives, found at most {int(sizes.max())} each; "
                "split=ratio and split=random hold out a share"
            )
        self.users = np.flatnonzero(sizes)
        self.relevant = self._rows(held_out)
        self.seen = sum((self._rows(pairs) for pairs in seen[1:]), self._rows(seen[0]))

    def _rows(self, pairs: Pairs) -> sparse.csr_matrix:
        """Return (U', I) ones at `pairs` of the users."""
        return positives_matrix(pairs, self.num_users, self.num_items)[self.users]

    def chunks(self, score: Scorer, memory_mb: float = 64) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield rows, scores (B, I) with -inf for seen items, and held-out positives (B, I) bool, chunk by chunk.

        Raises TrainingError for scores that are NaN or of the wrong shape.
        """
        step = chunk_size(self.num_items, memory_mb)
        for start in range(0, len(self.users), step):
            rows = slice(start, min(start + step, len(self.users)))
            with torch.no_grad():
                scores = score(torch.from_numpy(self.users[rows])).cpu().clone()
            check_scores(scores, rows.stop - rows.start, self.num_items)
            if scores.isnan().any():
                raise TrainingError("score: expected no NaN, got one")
            scores[tuple(map(torch.from_numpy, self.seen[rows].nonzero()))] = -torch.inf
            yield rows, scores, torch.from_numpy(self.relevant[rows].toarray() > 0)


def count(score: Scorer, held_out: HeldOut, rule: Rule) -> dict[str, Counts]:
    """Return the pairs of each "user" (U,) and of each "item" (I,), over users with held-out positives."""
    by_user, by_item = np.zeros((3, held_out.num_users), np.int64), np.zeros((3, held_out.num_items), np.int64)
    for rows, scores, relevant in held_out.chunks(score):
        predicted = rule(scores)
        for place, pairs in enumerate((predicted & relevant, predicted, relevant)):
            by_user[place, held_out.users[rows]] = pairs.sum(1).numpy()
            by_item[place] += pairs.sum(0).numpy()
    return {"user": Counts(*by_user), "item": Counts(*by_item)}


def best_threshold(score: Scorer, held_out: HeldOut) -> float:
    """Return the score of a held-out positive from which on predictions have the highest micro F1; of several, the
    highest.

    No other value can be better: between two positives, a lower threshold adds wrong pairs only.

    Raises DataError if no held-out positive has a finite score.
    """
    scores = torch.cat([scores[relevant] for _, scores, relevant in held_out.chunks(score)])
    positives = scores[scores.isfinite()].sort().values
    if not len(positives):
        raise DataError("rule=threshold: expected finite scores of validation positives, found none")
    above = torch.zeros(len(positives) + 1, dtype=torch.int64)  # by how many of the positives a pair reaches
    for _, chunk, _ in held_out.chunks(score):
        above += torch.searchsorted(positives, chunk[chunk > -torch.inf], right=True).bincount(minlength=len(above))
    predicted = above.flip(0).cumsum(0).flip(0)[1:]  # pairs that reach each positive's score
    hits = len(positives) - torch.searchsorted(positives, positives)
    f1 = 2 * hits.double() / (predicted + len(scores))
    return float(positives[len(f1) - 1 - int(f1.flip(0).argmax())])


def refuse_unreached(score: Scorer, held_out: HeldOut, threshold: float) -> None:
    """Raise ConfigError if no validation score reaches `threshold`."""
    highest = max(float(scores.max()) for _, scores, _ in held_out.chunks(score))
    if not highest >= threshold:
        raise ConfigError(
            f"threshold: expected one that a validation score reaches, at most {highest:.6g}, got {threshold:g}"
        )


def tiers(sizes: np.ndarray) -> np.ndarray:
    """Return the tier (N,) int64 of entities by their training interactions `sizes` (N,): 0, 1 or 2 for the largest.

    Each tier holds a third of the interactions, not of the entities: 2 the largest entities that together have at most
    one third, 1 those that bring it to at most two thirds. Of equal sizes the lower index comes first.
    """
    order = np.argsort(-sizes, kind="stable")
    reached = 3 * sizes[order].cumsum()
    found = np.empty(len(sizes), np.int64)
    found[order] = (reached <= sizes.sum()).astype(np.int64) + (reached <= 2 * sizes.sum())
    return found


def _ratio(part: np.ndarray, whole: np.ndarray, undefined: float) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), undefined, np.float64), where=whole > 0)
