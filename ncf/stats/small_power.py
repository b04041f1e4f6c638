"""Power of the exact Wilcoxon signed-rank test on few pairs, simulated once for all effects.

W, the sum of the positive ranks, is the number of Walsh averages (d_i + d_j) / 2, i <= j, that are positive (Tukey
1949). A shift of all differences shifts them all. Each simulated sample therefore has one smallest shift from which on
it is significant: minus its c-th largest Walsh average, c the critical value of W. Their distribution is the whole
power curve.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ncf.core.rng import numpy_generator
from ncf.stats.checks import Array, fraction, number, positive, whole
from ncf.stats.paired import signed_rank_distribution

SMALL = 20
"""Number of pairs from which on `ncf.stats.power.power` approximates."""
_DRAWS, _BLOCK = 20_000, 2_000


@dataclass(frozen=True)
class Simulated:
    """A simulated probability with its Monte Carlo standard error."""

    value: float
    error: float


def simulated_power(effect: float, sd: float, seeds: int, level: float) -> Simulated:
    """Return the power of the exact two-sided Wilcoxon test of normal differences, from 40,000 simulated studies.

    Args:
        effect: true mean difference, in the unit of the metric.
        sd: standard deviation of the paired differences, same unit, positive.
        seeds: N pairs, 2 to 50.
        level: two-sided level, in (0, 1).

    Raises StatisticsError for values outside these ranges.
    """
    number(effect, "effect"), positive(sd, "sd"), whole(seeds, "seeds", 2, 50), fraction(level, "level")
    critical = critical_sum(seeds, level)
    if critical is None:
        return Simulated(0.0, 0.0)
    if effect == 0:
        return Simulated(2 * float(signed_rank_distribution(seeds)[critical:].sum()), 0.0)
    shifts = _significant_from(seeds, critical)
    standardised = abs(effect) / sd
    right, wrong = (np.searchsorted(shifts, way) / len(shifts) for way in (standardised, -standardised))
    value = float(right + wrong)
    return Simulated(value, float(np.sqrt(value * (1 - value) / _DRAWS)))  # mirrored samples may count as one


def critical_sum(seeds: int, level: float) -> int | None:
    """Return the smallest W that is significant, two-sided, on `seeds` pairs; None if none is.

    Raises StatisticsError unless seeds is in [1, 50] and level in (0, 1).
    """
    upper = np.cumsum(signed_rank_distribution(seeds)[::-1])[::-1]  # P(W >= w)
    found = np.flatnonzero(2 * upper <= fraction(level, "level"))
    return int(found[0]) if len(found) else None


@lru_cache(maxsize=256)
def _significant_from(seeds: int, critical: int) -> Array:
    """The shift, in standard deviations, from which on each simulated sample is significant upwards: ascending."""
    rng = numpy_generator(0, f"power/{seeds}")
    return np.sort(np.concatenate([_thresholds(rng.normal(size=(_BLOCK, seeds)), critical)
                                   for _ in range(_DRAWS // _BLOCK)]))  # fmt: skip


def _thresholds(z: Array, critical: int) -> Array:
    """Thresholds of samples (draws, N) and of their mirror images: (2 draws,)."""
    first, second = np.triu_indices(z.shape[1])
    walsh = (z[:, first] + z[:, second]) / 2
    count = walsh.shape[1]
    ordered = np.partition(walsh, [critical - 1, count - critical], axis=1)
    return np.concatenate([-ordered[:, count - critical], ordered[:, critical - 1]])
