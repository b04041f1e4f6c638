"""A t test over repetitions whose training data overlap, such as folds, resamples or blocks of one data set.

Repetitions that train on mostly the same data are correlated, so the variance of their mean is more than s^2 / K. With
each holding out a share of the data, Nadeau and Bengio ("Inference for the generalization error", Machine Learning
52, 2003) take the correlation to be that share, n_test / (n_test + n_train), which gives (1/K + n_test / n_train) s^2.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, aligned, fraction, number, table


@dataclass(frozen=True)
class Overlapping:
    """The mean difference over K overlapping repetitions.

    Attributes:
        difference: mean of treatment - baseline.
        relative: mean(treatment) / mean(baseline) - 1.
        low, high: of the relative change: those changes that the test does not reject (Fieller 1954).
        level: their nominal coverage.
        error: standard error of the difference, corrected for the overlap.
        p: two-sided, against no difference.
        p_equivalent: of the two one-sided tests that the change lies within the margin.
        repetitions: K.
    """

    difference: float
    relative: float
    low: float
    high: float
    level: float
    error: float
    p: float
    p_equivalent: float
    repetitions: int

    @property
    def direction(self) -> int:
        """1, -1 or 0: the sign of the difference."""
        return int(np.sign(self.difference))


def overlapping(treatment: Array, baseline: Array, *, share: float, margin: float, level: float) -> Overlapping:
    """Compare two methods over K repetitions, each evaluated on both.

    Args:
        treatment: (K,) metric of each repetition, K >= 3; pandas objects by label.
        baseline: (K,) likewise, with a mean that is clearly positive.
        share: n_test / n_train of a repetition; 0 gives the ordinary paired t test.
        margin: smallest relative change of interest, in (0, 1).
        level: nominal coverage of the interval.

    Raises:
        StatisticsError: values that are not finite, fewer than 3 repetitions, no spread, a baseline that may be 0, or
            settings out of range.
    """
    t, b = (
        table(side, name) for side, name in zip(aligned(treatment, baseline, "repetitions"), ("treatment", "baseline"))
    )
    if t.ndim != 1 or t.shape != b.shape or len(t) < 3:
        raise StatisticsError(f"repetitions: expected two vectors of 3 or more, got shapes {t.shape} and {b.shape}")
    d, factor = t - b, _factor(len(t), share)
    error = float(np.sqrt(factor * d.var(ddof=1)))
    if error <= 1e-12 * np.abs(t).max():
        raise StatisticsError("repetitions: their differences have no spread")
    p, p_equivalent = (float(found) for found in overlapping_p(t, b, share, margin))
    low, high = _fieller(d, b, factor, stats.t.isf((1 - fraction(level, "level")) / 2, len(d) - 1))
    return Overlapping(float(d.mean()), float(d.mean() / b.mean()), low, high, level, error, p, p_equivalent, len(d))


def overlapping_p(treatment: Array, baseline: Array, share: float, margin: float) -> tuple[Array, Array]:
    """Return the p against no difference and that of equivalence, (...) each, of metrics (..., K).

    Raises StatisticsError for unequal shapes, fewer than 3 repetitions, or settings out of range.
    """
    t, b, margin = table(treatment, "treatment"), table(baseline, "baseline"), fraction(margin, "margin")
    if t.shape != b.shape or not t.ndim or t.shape[-1] < 3:
        raise StatisticsError(f"repetitions: expected equal shapes (..., K >= 3), got {t.shape} and {b.shape}")
    degrees, factor = t.shape[-1] - 1, _factor(t.shape[-1], share)
    against_none, low, high = (_statistic(t - (1 + shift) * b, factor) for shift in (0.0, -margin, margin))
    p = 2 * stats.t.sf(np.abs(against_none), degrees)
    return p, np.maximum(stats.t.sf(low, degrees), stats.t.cdf(high, degrees))


def _factor(repetitions: int, share: float) -> float:
    return 1 / repetitions + number(share, "share", 0, 1e6)


def _statistic(d: Array, factor: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # no spread: certain of any difference, and of none
        return np.nan_to_num(d.mean(-1) / np.sqrt(factor * d.var(-1, ddof=1)), nan=0.0, posinf=1e9, neginf=-1e9)


def _fieller(d: Array, b: Array, factor: float, critical: float) -> tuple[float, float]:
    """The relative changes r at which |mean(d - r b)| is at most `critical` standard errors."""
    (dd, db), (_, bb) = critical**2 * factor * np.cov(d, b)
    quadratic = b.mean() ** 2 - bb
    if b.mean() <= 0 or quadratic <= 0:
        raise StatisticsError(f"repetitions: expected a baseline whose mean is clearly positive, got {b.mean():g}")
    middle = (d.mean() * b.mean() - db) / quadratic
    half = np.sqrt(max(middle**2 - (d.mean() ** 2 - dd) / quadratic, 0.0))
    return float(middle - half), float(middle + half)
