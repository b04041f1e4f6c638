"""Two-sided paired tests: exact Wilcoxon signed-rank, sign test, and the t test as a sensitivity analysis."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, differences, spread

EXACT_UP_TO = 50
"""Number of non-zero differences up to which the Wilcoxon p is exact; beyond, a tie-corrected normal approximation."""


@dataclass(frozen=True)
class Test:
    """A two-sided test of no difference.

    Attributes:
        statistic: W (sum of the ranks of positive differences), the number of positive differences, or t.
        p: two-sided p-value in (0, 1].
        n: number of pairs used; rank and sign tests drop zero differences.
        method: the distribution behind p.
    """

    __test__ = False  # not a pytest class

    statistic: float
    p: float
    n: int
    method: str


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
    if len(d) > EXACT_UP_TO:
        return Test(statistic, float(stats.wilcoxon(d, method="asymptotic").pvalue), len(d), "asymptotic")
    tied = len(np.unique(ranks)) < len(d)
    p = _exact_p(ranks, statistic) if tied else float(stats.wilcoxon(d, method="exact").pvalue)
    return Test(statistic, p, len(d), "exact")


def _exact_p(ranks: Array, statistic: float) -> float:
    """Two-sided p of the sum of `ranks` over random signs, by counting all 2^n sign patterns (n <= 50: no overflow)."""
    doubled = np.rint(2 * ranks).astype(np.int64)  # mid-ranks are halves
    patterns = np.zeros(int(doubled.sum()) + 1, dtype=np.int64)  # patterns[s]: number of sign patterns with sum s / 2
    patterns[0] = 1
    for rank in doubled:
        patterns[rank:] += patterns[:-rank].copy()
    observed = round(2 * statistic)
    tail = min(int(patterns[: observed + 1].sum()), int(patterns[observed:].sum()))
    return min(1.0, 2 * tail / 2 ** len(ranks))


def sign_test(treatment: Array, baseline: Array) -> Test:
    """Sign test: exact binomial test that (N,) exceeds (N,) in half of the non-zero pairs.

    Raises:
        StatisticsError: as `wilcoxon`.
    """
    d = differences(treatment, baseline)
    positive, n = int((d > 0).sum()), int((d != 0).sum())
    return Test(float(positive), float(stats.binomtest(positive, n).pvalue), n, "exact")


def paired_t(treatment: Array, baseline: Array) -> Test:
    """Paired t test of (N,) against (N,); assumes normal differences, hence only a sensitivity analysis.

    Raises:
        StatisticsError: as `wilcoxon`, or the differences are all equal.
    """
    d = spread(differences(treatment, baseline))
    result = stats.ttest_1samp(d, 0.0)
    return Test(float(result.statistic), float(result.pvalue), len(d), "t")
