"""Equivalence by two one-sided tests (TOST), which can conclude that there is no relevant effect."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, fraction, pairs, spread


@dataclass(frozen=True)
class Equivalence:
    """Outcome of TOST: `p` is the larger of both p-values; p <= alpha concludes |relative change| < margin.

    Attributes:
        margin: the smallest relative change of interest.
        p_low: against "the change is -margin or less".
        p_high: against "the change is +margin or more".
    """

    margin: float
    p_low: float
    p_high: float

    @property
    def p(self) -> float:
        return max(self.p_low, self.p_high)


def equivalence(treatment: Array, baseline: Array, margin: float) -> Equivalence:
    """TOST (Schuirmann 1987) that mean(treatment) / mean(baseline) lies between 1 - margin and 1 + margin.

    Uses paired t tests on treatment - (1 -+ margin) baseline (Sasabuchi's form), which account for the baseline's own
    noise and need no estimated mean to convert the margin to the unit of the metric.

    Args:
        treatment: (N,) metric of each run, N >= 2.
        baseline: (N,), paired by position, with a positive mean.
        margin: smallest relative change of interest, in (0, 1).

    Raises:
        StatisticsError: as `pairs`; or a margin outside (0, 1), a baseline mean that is not positive, or no spread.
    """
    treatment, baseline = pairs(treatment, baseline)
    margin = fraction(margin, "equivalence margin")
    if baseline.mean() <= 0:
        raise StatisticsError(f"equivalence: expected a baseline with a positive mean, got {baseline.mean():g}")
    above, below = (treatment - (1 + side * margin) * baseline for side in (-1, 1))
    if min(np.ptp(one) / max(np.abs(one).max(), 1e-300) for one in (above, below)) <= 1e-12:
        apart = float((treatment - baseline).mean())
        raise StatisticsError(f"equivalence: all {len(baseline)} pairs differ by {apart:g}; they have no spread")
    low = stats.ttest_1samp(spread(above), 0.0, alternative="greater").pvalue
    high = stats.ttest_1samp(spread(below), 0.0, alternative="less").pvalue
    return Equivalence(margin, float(low), float(high))
