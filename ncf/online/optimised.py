"""Optimised interleaving: the distribution over lists whose expected credit is zero when clicks are random."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize

from ncf.online.interleaving import Interleaved, _checked
from ncf.stats.checks import Array, StatisticsError, one_of, whole

Credit = Literal["linear", "inverse", "binary"]
_MOST_LISTS = 4096


@dataclass(frozen=True)
class Design:
    """The lists that may be shown for one pair of rankings, how often, and what a click on each item is worth.

    Attributes:
        lists: (N, k), the lists.
        probabilities: (N,).
        credit: (N, k), what a click is worth to the second ranking, minus what it is worth to the first.
        unbiased: whether clicks at random, however they fall with position, prefer neither ranking.
    """

    lists: Array
    probabilities: Array
    credit: Array
    unbiased: bool

    def draw(self, sessions: int, rng: np.random.Generator) -> Interleaved:
        """Return lists for this many sessions. Raises StatisticsError unless it is a whole number above 0."""
        rows = rng.choice(len(self.lists), whole(sessions, "sessions", 1), p=self.probabilities)
        second = self.credit[rows]
        return Interleaved(self.lists[rows], np.stack([-second / 2, second / 2], -1), "optimised")


def optimised(a: Array, b: Array, k: int, *, credit: Credit = "linear") -> Design:
    """Return the optimised design for one pair of rankings (L,).

    Lists are those that take at each position the best item left of either ranking. Their probabilities make the
    expected credit zero at every position, and, where that leaves a choice, the expected squared credit under clicks
    that fall as 1 / position as large as possible (Radlinski and Craswell 2013, sections 4.1 to 4.4, with another
    measure of sensitivity). Where no probabilities are unbiased, those of the smallest total bias are taken, and
    `unbiased` is false.

    Args:
        a: the first ranking.
        b: the second, which positive credit speaks for.
        k: length of the lists.
        credit: "linear", rank in a - rank in b; "inverse", 1 / rank in b - 1 / rank in a; "binary", their sign.

    Raises StatisticsError for rankings that do not fit together, or that allow more than 4,096 lists.
    """
    stacked = _checked([np.atleast_2d(a), np.atleast_2d(b)])[:, 0]
    lists = _allowed(stacked, whole(k, "k", 1))
    worth = _credits(lists, stacked, one_of(credit, "credit", ["linear", "inverse", "binary"]))
    positions = worth.T  # (k, N)
    sensitivity = (positions**2 / np.arange(1, worth.shape[1] + 1)[:, None]).sum(0)
    equal = np.ones((1, len(lists)))
    found = optimize.linprog(
        -sensitivity, A_eq=np.vstack([equal, positions]), b_eq=np.r_[1.0, np.zeros(len(positions))], bounds=(0, 1)
    )
    if found.success:
        return Design(lists, _proper(found.x), worth, True)
    return Design(lists, _least_biased(positions, equal), worth, False)


def _allowed(rankings: Array, k: int) -> Array:
    """Return every list (N, k) that takes at each position the best item left of either ranking."""
    heads: list[tuple[int, ...]] = [()]
    for _ in range(k):
        grown = dict.fromkeys(
            (*head, item)
            for head in heads
            for ranking in rankings
            for item in itertools.islice((i for i in ranking.tolist() if i >= 0 and i not in head), 1)
        )
        if len(grown) > _MOST_LISTS:
            raise StatisticsError(f"optimised interleaving: expected at most {_MOST_LISTS:,} lists, got more; lower k")
        if not grown:
            break
        heads = list(grown)
    return np.array(heads)


def _credits(lists: Array, rankings: Array, credit: str) -> Array:
    length = rankings.shape[1]
    ranks = np.stack([
        np.array([[_rank(ranking, item, length) for item in row] for row in lists.tolist()], float)
        for ranking in rankings
    ])  # fmt: skip
    if credit == "inverse":
        return np.asarray(1 / ranks[1] - 1 / ranks[0])
    linear = ranks[0] - ranks[1]
    return np.asarray(linear if credit == "linear" else np.sign(linear))


def _rank(ranking: Array, item: int, length: int) -> int:
    at = np.flatnonzero(ranking == item)
    return int(at[0]) + 1 if len(at) else length + 1


def _least_biased(positions: Array, equal: Array) -> Array:
    """Return probabilities of the smallest sum of absolute biases over positions: a linear program with slacks."""
    k, n = positions.shape
    cost = np.r_[np.zeros(n), np.ones(2 * k)]
    constraints = np.vstack([
        np.hstack([equal, np.zeros((1, 2 * k))]),
        np.hstack([positions, np.eye(k), -np.eye(k)]),
    ])  # fmt: skip
    found = optimize.linprog(cost, A_eq=constraints, b_eq=np.r_[1.0, np.zeros(k)], bounds=(0, None))
    return _proper(found.x[:n])


def _proper(probabilities: Array) -> Array:
    kept = np.maximum(probabilities, 0)
    return np.asarray(kept / kept.sum())
