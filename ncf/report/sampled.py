"""Ranking among 99 sampled negatives, computed exactly from full ranks: its expectation over the draw of negatives.

A positive with `a` of its n other candidates above it meets m negatives drawn without replacement; how many of those
lie above it is hypergeometric (n, a, m). Krichene and Rendle 2020, "On sampled metrics for item recommendation".
"""

from functools import lru_cache

import numpy as np
from scipy.special import gammaln

SAMPLED = 99

Array = np.ndarray


def expected_metrics(above: Array, tied: Array, candidates: Array, cutoff: int) -> dict[str, Array]:
    """Expected HR@`cutoff` and NDCG@`cutoff` of each positive among 99 sampled negatives, (N,) float64 each.

    Args:
        above: (N,) candidates scored strictly above the positive.
        tied: (N,) candidates with its score, itself included; its place among them is uniformly random.
        candidates: (N,) size of the candidate set, the positive included; with fewer than 99 others all are drawn.
        cutoff: K.
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
    """Sums over the first n places in the full ranking, n = 0 to `candidates`, of expected HR and NDCG."""
    chance = _hypergeometric(candidates - 1, min(SAMPLED, candidates - 1), cutoff)  # (candidates, cutoff)
    gains = np.ones(cutoff), 1 / np.log2(np.arange(cutoff) + 2)
    hit, ndcg = (np.concatenate([[0.0], np.cumsum(chance @ gain)]) for gain in gains)
    return hit, ndcg


def _hypergeometric(others: int, drawn: int, cutoff: int) -> Array:
    """P(x of the `drawn` lie above) for 0 to `others` items above, x < `cutoff`: (others + 1, cutoff).

    From one table of log factorials; scipy.stats.hypergeom gives the same and takes a hundred times as long.
    """
    log_factorial = gammaln(np.arange(others + 1) + 1.0)

    def log_choose(n: Array, k: Array) -> Array:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        return np.where(possible, log_factorial[n] - log_factorial[k] - log_factorial[n - k], -np.inf)

    above, x = np.arange(others + 1)[:, None], np.arange(cutoff)
    total = log_factorial[others] - log_factorial[drawn] - log_factorial[others - drawn]
    return np.exp(log_choose(above, x) + log_choose(others - above, drawn - x) - total)
