"""How far apart paired runs of one and the same loss are, and what pairing by seed saves: from results.csv alone.

The intervals are for pairs of normal values: of the root mean square by chi-squared, if the differences have no mean;
of the correlation by Fisher's z (Fisher 1921), an approximation; and of the saving by F, because it is the intraclass
correlation of consistency of two measurements (McGraw and Wong 1996, ICC(C,1)).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from experiments.noise_floor import runs
from ncf.stats.checks import Array, StatisticsError, fraction, number, pairs
from ncf.stats.intervals import Interval
from ncf.study.verdict import arm_values

NORMAL = "normal pairs"


@dataclass(frozen=True)
class Floor:
    """The noise floor in one metric.

    Attributes:
        metric: its name.
        values: of both runs of each pair, (N, 2): BCE, half of BCE.
        rms: root mean square of the relative differences, (half - BCE) / BCE, of a pair.
        correlation: between the two runs of a seed.
        saved: share of the variance of a difference that pairing by seed saves.
    """

    metric: str
    values: Array
    rms: Interval
    correlation: Interval
    saved: Interval

    @property
    def relative(self) -> Array:
        """The relative differences, (N,)."""
        return self.values[:, 1] / self.values[:, 0] - 1

    def within(self, seeds: int) -> float:
        """Return the distance from zero beyond which the mean difference of `seeds` pairs lies in 5% of studies."""
        return float(stats.norm.ppf(0.975)) * self.rms.estimate / math.sqrt(seeds)


def floors(results: pd.DataFrame) -> list[Floor]:
    """Return the floor in each metric, from every registered pair.

    Raises:
        StatisticsError: as `arm_values`, or a registered seed lacks a run.
    """
    registration = runs.registration()
    level, seeds = registration.interval_level, list(registration.seeds_at(10))
    found = []
    for metric in runs.METRICS:
        arms = [arm_values(results, registration.arms[arm], 10, metric) for arm in ("bce", "half_bce")]
        missing = [seed for seed in seeds if any(seed not in arm.index for arm in arms)]
        if missing:
            raise StatisticsError(f"{metric}: {len(missing)} of {len(seeds)} pairs are not complete")
        bce, half = (arm[seeds].to_numpy() for arm in arms)
        found.append(
            Floor(
                metric, np.stack([bce, half], 1), root_mean_square(half / bce - 1, level),
                correlation(bce, half, level), saving(bce, half, level),
            )
        )  # fmt: skip
    return found


def root_mean_square(values: Array, level: float) -> Interval:
    """Root mean square of `values` (N,), N >= 2, whose mean is zero: N rms^2 / sigma^2 is chi-squared with N degrees.

    Raises StatisticsError on fewer than two values or a level outside (0, 1).
    """
    values, tail = pairs(values, np.zeros_like(values))[0], (1 - fraction(level, "level")) / 2
    rms, n = float(np.sqrt(np.mean(values**2))), len(values)
    low, high = (rms * math.sqrt(n / stats.chi2.ppf(q, n)) for q in (1 - tail, tail))
    return Interval(rms, low, high, level, f"chi-squared, {NORMAL}")


def correlation(one: Array, other: Array, level: float) -> Interval:
    """Pearson's correlation of (N,) and (N,), N >= 4, by Fisher's z.

    Raises StatisticsError on fewer than four pairs, or one without spread.
    """
    one, other = pairs(one, other, least=4)
    half = float(stats.norm.ppf(1 - (1 - fraction(level, "level")) / 2)) / math.sqrt(len(one) - 3)
    r = number(float(stats.pearsonr(one, other).statistic), "correlation", -1, 1)
    low, high = (math.tanh(math.atanh(r) + side * half) for side in (-1, 1))
    return Interval(r, low, high, level, f"Fisher's z, {NORMAL}")


def saving(one: Array, other: Array, level: float) -> Interval:
    """Share of the variance of a difference that pairing saves: 2 cov / (var + var) of (N,) and (N,), N >= 3.

    It is ICC(C,1) = (F - 1) / (F + 1), F the mean square between pairs over that within, with N - 1 degrees each.

    Raises StatisticsError on fewer than three pairs, or pairs that all differ by the same.
    """
    one, other = pairs(one, other, least=3)
    between, within = float(np.var(one + other, ddof=1)), float(np.var(one - other, ddof=1))
    if within == 0:
        raise StatisticsError("saving: expected pairs that differ, all differences are the same")
    quantile = float(stats.f.ppf(1 - (1 - fraction(level, "level")) / 2, len(one) - 1, len(one) - 1))
    ratio = between / within
    value, low, high = ((f - 1) / (f + 1) for f in (ratio, ratio / quantile, ratio * quantile))
    return Interval(value, low, high, level, f"F, {NORMAL}")
