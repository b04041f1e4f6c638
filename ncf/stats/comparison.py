"""A paired comparison: all tests, effect sizes and intervals of a treatment against a baseline."""

from dataclasses import dataclass

import numpy as np

from ncf.stats.checks import Array, StatisticsError, differences
from ncf.stats.effects import EFFECTS
from ncf.stats.equivalence import Equivalence, equivalence
from ncf.stats.intervals import Interval, bootstrap
from ncf.stats.paired import Test, paired_t, sign_test, wilcoxon


@dataclass(frozen=True)
class Comparison:
    """A treatment against a baseline over N paired runs; p-values are two-sided and uncorrected.

    Attributes:
        seeds: N.
        treatment_mean: in the unit of the metric.
        baseline_mean: likewise.
        wilcoxon: the primary test.
        sign: the sign test.
        t: the paired t test.
        effects: "mean_difference", "relative_change", "cohen_dz", "rank_biserial", "cliff_delta" -> interval.
        equivalence: TOST against the smallest relative change of interest.
    """

    seeds: int
    treatment_mean: float
    baseline_mean: float
    wilcoxon: Test
    sign: Test
    t: Test
    effects: dict[str, Interval]
    equivalence: Equivalence


def compare(
    treatment: Array, baseline: Array, *, margin: float, level: float, resamples: int, rng: np.random.Generator
) -> Comparison:
    """Compute all tests, effects and intervals of treatment (N,) against baseline (N,), paired by position, N >= 3.

    Args:
        treatment: a metric of each run.
        baseline: the same metric of the run with the same seed.
        margin: smallest relative change of interest, for equivalence.
        level: nominal coverage of the intervals.
        resamples: number of bootstrap resamples.
        rng: draws them.

    Raises:
        StatisticsError: unequal lengths, fewer than 3 pairs, non-finite values, all differences zero or equal, or a
            baseline whose mean is not positive.
    """
    differences(treatment, baseline, least=3)
    treatment, baseline = np.asarray(treatment, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if baseline.mean() <= 0:
        raise StatisticsError(f"comparison: expected a baseline with a positive mean, got {baseline.mean():g}")
    return Comparison(
        seeds=len(treatment),
        treatment_mean=float(treatment.mean()),
        baseline_mean=float(baseline.mean()),
        wilcoxon=wilcoxon(treatment, baseline),
        sign=sign_test(treatment, baseline),
        t=paired_t(treatment, baseline),
        effects={
            name: bootstrap(effect, treatment, baseline, level=level, resamples=resamples, rng=rng)
            for name, effect in EFFECTS.items()
        },
        equivalence=equivalence(treatment, baseline, margin),
    )
