"""Two-sided paired tests: exact Wilcoxon signed-rank, sign test, and the t test as a sensitivity analysis."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, differences, spread, table, whole

EXACT_UP_TO = 50
"""Number of non-zero differences up to which the Wilcoxon p is exact; beyond, a tie-corrected normal approximation."""


@dataclass(frozen=True)
class Test:
    """A two-sided test of no difference.

    Attributes:
        statistic: W (sum of the ranks of positive differences), the number of positive differences, or t.
        p: two-sided p-value in (0, 1]; 0 where it is below the smallest double.
        n: number of pairs used; rank and sign tests drop zero differences.
        method: the distribution behind p.
        direction: 1 if the statistic is above its expectation under no difference, -1 if below, 0 if equal. What a
            small p shows is a difference in this direction, which need not be that of the means.
    """

    __test__ = False  # not a pytest class

    statistic: float
    p: float
    n: int
    method: str
    direction: int = 0


def wilcoxon(treatment: Array, baseline: Array) -> Test:
    """Wilcoxon signed-rank test (Wilcoxon 1945) of (N,) against (N,); zero differences dropped, ties at mid-ranks.

    Exact for up to 50 non-zero differences. scipy's exact distribution assumes untied ranks; with ties, the exact
    distribution given the mid-ranks is counted here.

    Raises:
        StatisticsError: unequal lengths, fewer than 2 pairs, non-finite values, or all differences zero.
    """
    d = differences(treatment, baseline)
    d = d[d != 0]
    ranks = stats.rankdata(np.abs(d))
    statistic = float(ranks[d > 0].sum())
    direction = int(np.sign(round(4 * statistic) - len(d) * (len(d) + 1)))
    if len(d) > EXACT_UP_TO:
        p = float(stats.wilcoxon(d, method="asymptotic").pvalue)
        return Test(statistic, p, len(d), "asymptotic", direction)
    tied = len(np.unique(ranks)) < len(d)
    p = _exact_p(ranks, statistic) if tied else float(stats.wilcoxon(d, method="exact").pvalue)
    return Test(statistic, p, len(d), "exact", direction)


def wilcoxon_of_many(differences: Array) -> tuple[Array, Array]:
    """Return the two-sided p and the direction, (...) each, of the signed-rank test of each row of (..., N).

    For simulations: as `wilcoxon`, but the differences have to be continuous, without zeros and ties.

    Raises StatisticsError for fewer than 2 differences a row, or as `checks.table`.
    """
    d = table(differences, "differences")
    if d.ndim < 1 or d.shape[-1] < 2 or not d.size:
        raise StatisticsError(f"differences: expected at least 2 in each row, got shape {d.shape}")
    n = d.shape[-1]
    ranks = np.argsort(np.argsort(np.abs(d), axis=-1), axis=-1) + 1
    statistic = np.where(d > 0, ranks, 0).sum(-1)
    direction = np.sign(4 * statistic - n * (n + 1))
    if n > EXACT_UP_TO:
        z = (statistic - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return 2 * stats.norm.sf(np.abs(z)), direction
    lower = np.cumsum(signed_rank_distribution(n))
    tail = lower[np.minimum(statistic, n * (n + 1) // 2 - statistic)]  # symmetric
    return np.minimum(1.0, 2 * tail), direction


def signed_rank_distribution(n: int) -> Array:
    """Return P(W = w), w = 0 ... n (n + 1) / 2, of `n` untied differences under no difference; read only.

    Raises StatisticsError unless `n` is in [1, 50].
    """
    return _distribution(whole(n, "pairs", 1, EXACT_UP_TO))


@cache
def _distribution(n: int) -> Array:
    found = _patterns(np.arange(1, n + 1)) / 2.0**n
    found.flags.writeable = False  # shared by all callers
    return found


def _exact_p(ranks: Array, statistic: float) -> float:
    """Two-sided p of the sum of `ranks` over random signs, by counting all 2^n sign patterns (n <= 50: no overflow)."""
    patterns = _patterns(np.rint(2 * ranks).astype(np.int64))  # mid-ranks are halves
    observed = round(2 * statistic)
    tail = min(int(patterns[: observed + 1].sum()), int(patterns[observed:].sum()))
    return min(1.0, 2 * tail / 2 ** len(ranks))


def _patterns(ranks: Array) -> Array:
    """Count the sign patterns of whole `ranks` by the sum of the positive ones."""
    patterns = np.zeros(int(ranks.sum()) + 1, dtype=np.int64)
    patterns[0] = 1
    for rank in ranks:
        patterns[rank:] += patterns[:-rank].copy()
    return patterns


def sign_test(treatment: Array, baseline: Array) -> Test:
    """Sign test: exact binomial test that (N,) exceeds (N,) in half of the non-zero pairs.

    Raises:
        StatisticsError: as `wilcoxon`.
    """
    d = differences(treatment, baseline)
    positive, n = int((d > 0).sum()), int((d != 0).sum())
    p = float(stats.binomtest(positive, n).pvalue)
    return Test(float(positive), p, n, "exact", int(np.sign(2 * positive - n)))


def paired_t(treatment: Array, baseline: Array) -> Test:
    """Paired t test of (N,) against (N,); assumes normal differences, hence only a sensitivity analysis.

    Raises:
        StatisticsError: as `wilcoxon`, or the differences are all equal.
    """
    d = spread(differences(treatment, baseline))
    result = stats.ttest_1samp(d, 0.0)
    return Test(float(result.statistic), float(result.pvalue), len(d), "t", int(np.sign(result.statistic)))
