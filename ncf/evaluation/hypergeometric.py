"""Draws without replacement: the first of several tied positives, and ranks among sampled items.

Positives in a random order of their ties stand where a draw without replacement puts them. And if `a` of the n other
candidates rank above a positive and m of the n are drawn without replacement, the number of drawn ones above it is
hypergeometric (n, a, m). Krichene and Rendle 2020, "On sampled metrics for item recommendation".
"""

from functools import cache, lru_cache

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

SAMPLED = 99
"""Number of negatives in the published protocol (He et al. 2017)."""

_AT_ONCE = 2**22  # elements of the largest table of `first_of_several`

Array = np.ndarray


def first_of_several(before: Tensor, tied: Tensor, positives: Tensor, gains: Tensor) -> Tensor:
    """Return the expected gain of the first of several positives among their ties, in uniformly random order.

    Args:
        before: (M,) int64, ranks before those of the tied.
        tied: (M,) int64, candidates that share the score.
        positives: (M,) int64, those of them that are positives, from 1 to `tied`.
        gains: (P,) float64, the values of ranks 1 to P; beyond, they are 0.
    """
    cases, which = torch.stack([before, tied, positives], dim=1).unique(dim=0, return_inverse=True)
    values = torch.zeros(len(cases), dtype=torch.float64)
    places = min(len(gains), int(tied.max())) if len(tied) else 0
    step = max(1, _AT_ONCE // max(1, places))
    for rows in (slice(start, start + step) for start in range(0, len(cases), step)):
        before, tied, positives = cases[rows, :, None].unbind(1)
        values[rows] = _first_of_several(before, tied, positives, gains, places)
    return values[which]


def _first_of_several(before: Tensor, tied: Tensor, positives: Tensor, gains: Tensor, places: int) -> Tensor:
    """The same for columns (M, 1): place j is the first positive's if none is at 1 to j - 1, and then at j."""
    left = (tied - torch.arange(places)).clamp(min=1).double()  # (M, places) candidates left for place j and later
    taken = (positives / left).clamp(max=1)  # beyond the last place that the first positive may take, nothing is left
    none_yet = torch.cat([torch.ones_like(left[:, :1]), (1 - taken).cumprod(1)[:, :-1]], dim=1)
    padded = torch.cat([gains, torch.zeros(1, dtype=torch.float64)])
    return (none_yet * taken * padded[(before + torch.arange(places)).clamp(max=len(gains))]).sum(1)


def probabilities(others: int, drawn: int, most: int) -> Array:
    """Return P(x of `drawn` rank above | n of `others` do), 0 <= n <= others, x < `most`: (others + 1, most) float64.

    This uses one table of log factorials; scipy.stats.hypergeom gives the same but takes a hundred times as long.
    """
    log_factorial = gammaln(np.arange(others + 1) + 1.0)

    def log_choose(n: Array, k: Array) -> Array:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        return np.where(possible, log_factorial[n] - log_factorial[k] - log_factorial[n - k], -np.inf)

    above, x = np.arange(others + 1)[:, None], np.arange(most)
    total = log_factorial[others] - log_factorial[drawn] - log_factorial[others - drawn]
    return np.exp(log_choose(above, x) + log_choose(others - above, drawn - x) - total)


def expected_metrics(above: Array, tied: Array, candidates: Array, cutoff: int) -> dict[str, Array]:
    """Return expected HR and NDCG at `cutoff` of each positive among 99 sampled negatives, (N,) float64 each.

    Args:
        above: (N,) candidates scored strictly above the positive.
        tied: (N,) candidates with its score, itself included, in uniformly random order.
        candidates: (N,) size of the candidate set, the positive included; if fewer than 99 others exist, all are drawn.
        cutoff: the k of HR@k and NDCG@k.
    """
    hit, ndcg = np.empty(len(above)), np.empty(len(above))
    for size in np.unique(candidates).tolist():
        rows = np.flatnonzero(candidates == size)
        first, last = above[rows], above[rows] + tied[rows]
        for values, total in zip((hit, ndcg), _running_totals(size, cutoff)):
            values[rows] = (total[last] - total[first]) / tied[rows]
    return {f"hit@{cutoff}": hit, f"ndcg@{cutoff}": ndcg}


@lru_cache(maxsize=4096)
def _running_totals(candidates: int, cutoff: int) -> tuple[Array, Array]:
    """Return cumulative sums of expected HR and NDCG over the first n full ranks, n = 0 to `candidates`."""
    chance = probabilities(candidates - 1, min(SAMPLED, candidates - 1), cutoff)  # (candidates, cutoff)
    gains = np.ones(cutoff), 1 / np.log2(np.arange(cutoff) + 2)
    hit, ndcg = (np.concatenate([[0.0], np.cumsum(chance @ gain)]) for gain in gains)
    return hit, ndcg


@cache
def correction_weights(candidates: int, negatives: int, gamma: float) -> Array:
    """Return W (R, 1 + negatives), R = candidates: metrics (..., R) by full rank @ W are estimates by sampled rank.

    The bias-variance trade-off of Krichene and Rendle 2020, section 5.3: f = ((1 - gamma) A'A + gamma diag(c))^-1 A' b
    with A_rs the probability of sampled rank s given full rank r, and all full ranks equally likely a priori.
    """
    a = probabilities(candidates - 1, negatives, negatives + 1) / np.sqrt(candidates)
    c = a.sum(0) / np.sqrt(candidates)
    system = (1 - gamma) * a.T @ a + gamma * np.diag(c)
    return np.asarray(np.linalg.solve(system, a.T).T / np.sqrt(candidates))
