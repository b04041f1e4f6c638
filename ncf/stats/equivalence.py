"""Equivalence by two one-sided tests, so that "no effect worth having" can be concluded and not only not rejected."""

from dataclasses import dataclass

from scipy import stats

from ncf.stats.checks import Array, StatisticsError, pairs, spread


@dataclass(frozen=True)
class Equivalence:
    """Outcome of TOST: `p` is the larger of the two, and p <= alpha concludes |relative change| < margin.

    Attributes:
        margin: the smallest relative change of interest.
        p_low: against "the change is -margin or worse".
        p_high: against "the change is +margin or better".
    """

    margin: float
    p_low: float
    p_high: float

    @property
    def p(self) -> float:
        return max(self.p_low, self.p_high)


def equivalence(treatment: Array, baseline: Array, margin: float) -> Equivalence:
    """TOST (Schuirmann 1987) that mean(treatment) / mean(baseline) lies within 1 - margin and 1 + margin.

    Paired t tests on treatment - (1 -+ margin) baseline (Sasabuchi's form), so the baseline's own noise counts and
    the margin need not be turned into the metric's unit with an estimated mean.

    Args:
        treatment: (n,) metric of each run, n >= 2.
        baseline: (n,), paired by position, with a positive mean.
        margin: smallest relative change of interest, in (0, 1).

    Raises:
        StatisticsError: bad pairs, a margin outside (0, 1), a baseline mean not positive, or no spread.
    """
    treatment, baseline = pairs(treatment, baseline)
    if not 0 < margin < 1:
        raise StatisticsError(f"equivalence margin: expected a relative change in (0, 1), got {margin}")
    if baseline.mean() <= 0:
        raise StatisticsError(f"equivalence: expected a baseline with a positive mean, got {baseline.mean():g}")
    low = stats.ttest_1samp(spread(treatment - (1 - margin) * baseline), 0.0, alternative="greater").pvalue
    high = stats.ttest_1samp(spread(treatment - (1 + margin) * baseline), 0.0, alternative="less").pvalue
    return Equivalence(margin, float(low), float(high))
