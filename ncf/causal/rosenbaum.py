"""Rosenbaum's bounds: how far hidden bias could move the p-value of matched pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from ncf.stats.checks import Array, StatisticsError, number, sample

_LARGEST = 1e6
_MOST_EXACT = 100  # pairs


def bounds(differences: Array, gammas: Sequence[float] = (1, 1.25, 1.5, 2, 3, 4)) -> pd.DataFrame:
    """Return bounds of the one-sided p-value of Wilcoxon's signed-rank test in the direction of the effect.

    With a gamma of 2, one unit of a pair may be twice as likely, by its odds, to be treated as the other although their
    confounders are equal.

    Args:
        differences: (M,), treated less untreated outcome of matched pairs; zeros are left out.
        gammas: each 1 at least.

    Returns:
        Columns gamma, p_low, p_high; exact for up to 100 pairs, then by the normal approximation.

    Raises:
        StatisticsError: a gamma below 1, or no difference but zero.

    Source: Rosenbaum (2002), section 4.3.
    """
    ranks, positive = _signed_ranks(differences)
    rows = [
        {"gamma": g, "p_low": _p(ranks, positive, 1 / g), "p_high": _p(ranks, positive, g)}
        for g in (number(g, "gamma", 1) for g in gammas)
    ]
    return pd.DataFrame(rows)


def breaking_point(differences: Array, alpha: float = 0.05) -> float:
    """Return the largest gamma at which the upper bound of the one-sided p-value is at most `alpha`; 1 if none is.

    Raises StatisticsError as `bounds`.
    """
    ranks, positive = _signed_ranks(differences)
    if _p(ranks, positive, 1.0) > alpha:
        return 1.0
    if _p(ranks, positive, _LARGEST) <= alpha:
        return float("inf")
    log = brentq(lambda log: _p(ranks, positive, float(np.exp(log))) - alpha, 0, np.log(_LARGEST))
    return float(np.exp(log))


def _signed_ranks(differences: Array) -> tuple[Array, float]:
    """Return the ranks (M',) of the sizes of what is not zero, and the sum of those in the direction of the effect."""
    d = sample(differences, 1, "differences")
    d = d[d != 0]
    if not len(d):
        raise StatisticsError("Rosenbaum bounds: expected a difference that is not zero, found none")
    ranks = stats.rankdata(_levels(np.abs(d)))
    up = float(ranks[d > 0].sum())
    return ranks, max(up, float(ranks.sum()) - up)


def _levels(sizes: Array) -> Array:
    """Return (M,) numbers in the order of the sizes, alike for those that only rounding tells apart.

    Differences of 0.3 - 0.2 and 0.2 - 0.1 are a tie, whatever the unit and the zero of the outcome.
    """
    order = np.argsort(sizes)
    steps = np.diff(sizes[order], prepend=0.0) > 1e-12 * sizes.max()
    found = np.empty(len(sizes))
    found[order] = np.cumsum(steps)
    return found


def _p(ranks: Array, positive: float, gamma: float) -> float:
    """Return the chance of at least `positive` if each difference is positive with odds gamma, independently."""
    share = gamma / (1 + gamma)
    if len(ranks) <= _MOST_EXACT:
        return _exact(ranks, positive, share)
    mean, variance = share * ranks.sum(), share * (1 - share) * float(ranks @ ranks)
    return float(stats.norm.sf((positive - mean) / np.sqrt(variance)))


def _exact(ranks: Array, positive: float, share: float) -> float:
    """Return that chance by adding up one rank after the other; ranks of ties are halves, so they count double."""
    steps = np.rint(2 * ranks).astype(int)
    chance = np.zeros(steps.sum() + 1)
    chance[0] = 1.0
    for step in steps:
        moved = share * chance[:-step]
        chance *= 1 - share
        chance[step:] += moved
    return float(min(1.0, chance[round(2 * positive) :].sum()))
