"""A paired comparison: all tests, effect sizes and intervals of a treatment against a baseline."""

from dataclasses import dataclass

import numpy as np

from ncf.stats.checks import Array, StatisticsError, fraction, instance, pairs, rounded_difference, spread, whole
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
    """Compute all tests, effects and intervals of treatment (N,) against baseline (N,), N >= 3.

    Where all differences are zero, no test can be made: p is 1 and no interval is given, but the two are equivalent,
    with an equivalence p of 0.

    Args:
        treatment: a metric of each run.
        baseline: the same metric of the run with the same seed; by position, or two pandas Series by their labels.
        margin: smallest relative change of interest, for equivalence.
        level: nominal coverage of the intervals; `ncf.stats.multiplicity.corrected_level` gives that of several.
        resamples: number of bootstrap resamples.
        rng: draws them.

    Raises:
        StatisticsError: unequal lengths or labels, fewer than 3 pairs, non-finite values, differences that are all
            equal but not zero, a baseline whose mean is not positive, or a setting out of range.
    """
    fraction(margin, "margin"), fraction(level, "level"), whole(resamples, "resamples", 100)
    instance(rng, np.random.Generator, "rng")
    treatment, baseline = pairs(treatment, baseline, least=3)
    if baseline.mean() <= 0:
        raise StatisticsError(f"comparison: expected a baseline with a positive mean, got {baseline.mean():g}")
    if not rounded_difference(treatment, baseline).any():
        return _identical(treatment, baseline, margin, level)
    spread(rounded_difference(treatment, baseline))
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


def _identical(treatment: Array, baseline: Array, margin: float, level: float) -> Comparison:
    """The comparison of arms whose every pair is the same."""
    none = Test(0.0, 1.0, 0, "no pair differs")
    nothing = Interval(0.0, 0.0, 0.0, level, "none", f"all {len(treatment)} differences are zero")
    means = float(treatment.mean()), float(baseline.mean())
    effects = dict.fromkeys(EFFECTS, nothing)
    return Comparison(len(treatment), *means, none, none, none, effects, Equivalence(margin, 0.0, 0.0))
