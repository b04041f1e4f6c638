"""Full ranks and ranks among sampled items: how one follows from the other.

A positive with `a` of its n other candidates above it meets m of them, drawn without replacement. How many of these lie
above it is hypergeometric (n, a, m). Krichene and Rendle 2020, "On item recommendation with sampled metrics".
"""

from functools import cache, lru_cache

import numpy as np
from scipy.special import gammaln

SAMPLED = 99
"""Negatives of the published protocol (He et al. 2017)."""

Array = np.ndarray


def probabilities(others: int, drawn: int, most: int) -> Array:
    """P(x of the `drawn` lie above) where 0 to `others` candidates do, for x < `most`: (others + 1, most) float64.

    From one table of log factorials; scipy.stats.hypergeom gives the same and takes a hundred times as long.
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
    chance = probabilities(candidates - 1, min(SAMPLED, candidates - 1), cutoff)  # (candidates, cutoff)
    gains = np.ones(cutoff), 1 / np.log2(np.arange(cutoff) + 2)
    hit, ndcg = (np.concatenate([[0.0], np.cumsum(chance @ gain)]) for gain in gains)
    return hit, ndcg


@cache
def correction_weights(candidates: int, negatives: int, gamma: float) -> Array:
    """(R, 1 + negatives), R = candidates: metrics (..., R) of the full rank times this estimate them at a sampled one.

    The bias-variance trade-off of Krichene and Rendle 2020, section 5.3: f = ((1 - gamma) A'A + gamma diag(c))^-1 A' b
    with A_rs the probability of the sampled rank s at the full rank r, full ranks taken as equally likely beforehand.
    """
    a = probabilities(candidates - 1, negatives, negatives + 1) / np.sqrt(candidates)
    c = a.sum(0) / np.sqrt(candidates)
    system = (1 - gamma) * a.T @ a + gamma * np.diag(c)
    return np.asarray(np.linalg.solve(system, a.T).T / np.sqrt(candidates))
