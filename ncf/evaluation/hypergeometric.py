"""The relation between full ranks and ranks among sampled items.

If `a` of the n other candidates rank above a positive and m of the n are drawn without replacement, the number of drawn
ones above it is hypergeometric (n, a, m). Krichene and Rendle 2020, "On sampled metrics for item recommendation".
"""

from functools import cache, lru_cache

import numpy as np
from scipy.special import gammaln

SAMPLED = 99
"""Number of negatives in the published protocol (He et al. 2017)."""

Array = np.ndarray


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
