"""The best of many: how good the best cell of a grid looks when none of them differs from the baseline."""

import math
from dataclasses import dataclass

import numpy as np

from ncf.stats.checks import Array, StatisticsError, instance, table, whole


@dataclass(frozen=True)
class Best:
    """The best of m cells beside what the best of as many cells without any effect would show.

    Attributes:
        cell: position of the best.
        estimate: its mean difference, in the unit of the metric.
        expected: expected maximum of the m mean differences if none had an effect.
        error: Monte Carlo standard error of `expected`.
        cells: m.
        seeds: N.
    """

    cell: int
    estimate: float
    expected: float
    error: float
    cells: int
    seeds: int


def best_of(differences: Array, *, draws: int = 10_000, rng: np.random.Generator) -> Best:
    """Return the best cell of (seeds, m) paired differences beside the expected best of m cells without effect.

    The m means without effect are simulated as normal, with the covariance that the seeds show: cells that share a
    baseline, or neighbours of a grid, go up and down together, and their maximum is smaller than that of independent
    ones. The standard deviation of few seeds is too small on average; its known factor (0.886 at 3 seeds) is made up
    for. It is an expectation beside which to read the best, not a test of it.

    Args:
        differences: treatment - baseline of each seed and cell, N >= 3 seeds, m >= 1.
        draws: number of simulated grids.
        rng: draws them.

    Raises StatisticsError for another shape, fewer than 3 seeds, or values that are not finite.
    """
    d = table(differences, "grid")
    if d.ndim != 2 or d.shape[0] < 3 or d.shape[1] < 1:
        raise StatisticsError(f"grid: expected differences (seeds, cells) of at least 3 seeds, got shape {d.shape}")
    whole(draws, "draws", 100), instance(rng, np.random.Generator, "rng")
    seeds, means = len(d), d.mean(0)
    unbiased = math.sqrt(2 / (seeds - 1)) * math.exp(math.lgamma(seeds / 2) - math.lgamma((seeds - 1) / 2))
    weights = rng.normal(size=(draws, seeds)) / (math.sqrt(seeds * (seeds - 1)) * unbiased)
    highest = (weights @ (d - means)).max(1)  # (draws,)
    error = float(highest.std(ddof=1)) / math.sqrt(draws)
    cell = int(means.argmax())
    return Best(cell, float(means[cell]), float(highest.mean()), error, d.shape[1], seeds)
