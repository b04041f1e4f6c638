"""What a design can conclude: smallest attainable p, power, seeds needed, smallest detectable effect.

Power is that of the two-sided paired t test on N x 3/pi pairs (the noncentral F of t^2). 3/pi = 0.955 is the asymptotic
relative efficiency of the Wilcoxon signed-rank test for normal differences (Hodges and Lehmann 1956). The discreteness
of its p is taken into account exactly: if 2/2^N exceeds the level, the power is 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from ncf.stats.checks import Array, StatisticsError, sample, spread

WILCOXON_EFFICIENCY = 3 / math.pi
_MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Reach:
    """Whether a number of seeds can reach significance at all.

    Attributes:
        seeds: N pairs.
        comparisons: m, the size of the family.
        smallest_p: 2 / 2^N, the Wilcoxon p if all differences have the same sign.
        level: alpha / m, the bound on the smallest p of the family under Holm and Bonferroni.
    """

    seeds: int
    comparisons: int
    smallest_p: float
    level: float

    @property
    def conclusive(self) -> bool:
        return self.smallest_p <= self.level


def reach(seeds: int, comparisons: int, alpha: float) -> Reach:
    """Return what `seeds` pairs can reach in a family of `comparisons` tests at family-wise error `alpha`.

    Raises StatisticsError for fewer than one seed or comparison, or an alpha outside (0, 1).
    """
    if seeds < 1 or comparisons < 1 or not 0 < alpha < 1:
        raise StatisticsError(
            f"design: expected seeds >= 1, comparisons >= 1 and alpha in (0, 1), got {seeds}, {comparisons}, {alpha}"
        )
    return Reach(seeds, comparisons, smallest_p(seeds), alpha / comparisons)


def require_conclusive(seeds: int, comparisons: int, alpha: float) -> Reach:
    """Return `reach`, or refuse a design that cannot conclude anything, whatever the data.

    Raises StatisticsError naming the smallest p, the level, and the fewest seeds that could conclude.
    """
    design = reach(seeds, comparisons, alpha)
    if not design.conclusive:
        fewest = math.ceil(1 - math.log2(design.level))
        raise StatisticsError(
            f"design: {seeds} seeds cannot conclude under {comparisons} comparisons at {alpha:g}: the smallest "
            f"two-sided Wilcoxon p is {design.smallest_p:.4g} and the corrected level {design.level:.4g}; "
            f"expected at least {fewest} seeds"
        )
    return design


def smallest_p(seeds: int) -> float:
    """Return the smallest two-sided p of the exact Wilcoxon signed-rank (and sign) test on `seeds` pairs."""
    return min(1.0, 2.0 ** (1 - seeds))


def power(effect: float, sd: float, seeds: int, level: float, efficiency: float = WILCOXON_EFFICIENCY) -> float:
    """Return the probability in [0, 1] that `seeds` pairs detect a mean difference `effect` at two-sided `level`.

    Args:
        effect: true mean difference, in the unit of the metric.
        sd: standard deviation of the paired differences, same unit, positive.
        seeds: N >= 2.
        level: the corrected level, in (0, 1).
        efficiency: 3/pi for Wilcoxon, 1 for the paired t test (which has no smallest p).

    Raises StatisticsError for values outside these ranges.
    """
    if sd <= 0 or seeds < 2 or not 0 < level < 1:
        raise StatisticsError(f"power: expected sd > 0, seeds >= 2, level in (0, 1), got {sd}, {seeds}, {level}")
    if efficiency < 1 and smallest_p(seeds) > level:
        return 0.0
    if effect == 0:
        return level  # scipy 1.17's ncf.sf is wrong at a noncentrality of 0
    n = seeds * efficiency
    critical = stats.t.isf(level / 2, n - 1)
    # |t| > critical is t^2 = F(1, n - 1) > critical^2, which needs no far tail, where digits would be lost.
    return float(stats.ncf.sf(critical**2, 1, n - 1, n * (effect / sd) ** 2))


def seeds_needed(effect: float, sd: float, level: float, target: float, efficiency: float = WILCOXON_EFFICIENCY) -> int:
    """Return the fewest seeds that detect `effect` with power `target`; arguments and errors as in `power`.

    Raises StatisticsError also if 100,000 seeds are not enough.
    """
    low, high = 1, 2
    while power(effect, sd, high, level, efficiency) < target:
        low, high = high, high * 2
        if high > _MOST_SEEDS:
            raise StatisticsError(f"design: {_MOST_SEEDS:,} seeds cannot detect an effect of {effect:g} with sd {sd:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, sd, middle, level, efficiency) >= target else (middle, high)
    return high


def detectable_effect(
    sd: float, seeds: int, level: float, target: float, efficiency: float = WILCOXON_EFFICIENCY
) -> float:
    """Return the smallest mean difference detected with power `target`, in the unit of `sd`; inf if there is none.

    Errors as in `power`.
    """
    if efficiency < 1 and smallest_p(seeds) > level:
        return math.inf
    high = sd
    while power(high, sd, seeds, level, efficiency) < target:
        high *= 2
    return float(optimize.brentq(lambda e: power(e, sd, seeds, level, efficiency) - target, 0.0, high, xtol=1e-9 * sd))


def spread_limit(differences: Array, confidence: float) -> float:
    """Return the upper `confidence` limit of the standard deviation of a pilot's paired differences (N,).

    A pilot underestimates the standard deviation half of the time; planning with this limit attains the planned power
    with probability `confidence` (Browne 1995, who advises 0.8). Assumes normal differences.

    Raises StatisticsError for fewer than 2 differences, non-finite values, or no spread.
    """
    d = spread(sample(differences, name="pilot differences"))
    degrees = len(d) - 1
    return float(np.std(d, ddof=1) * math.sqrt(degrees / stats.chi2.ppf(1 - confidence, degrees)))
