"""What a design can conclude: smallest attainable p, power, seeds needed, smallest detectable effect.

Power is that of the two-sided exact Wilcoxon signed-rank test of normal differences. Below 20 pairs it is simulated
(`ncf.stats.small_power`). From 20 on, it is that of the paired t test on N x 3/pi pairs (the noncentral F of t^2): 3/pi
= 0.955 is the asymptotic relative efficiency of the test for normal differences (Hodges and Lehmann 1956); it is then
within 0.015 of the simulated power. If 2/2^N exceeds the level, the power is 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from ncf.stats.checks import Array, StatisticsError, fraction, number, positive, sample, spread, whole
from ncf.stats.small_power import SMALL, simulated_power

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
    whole(seeds, "seeds", 1), whole(comparisons, "comparisons", 1), fraction(alpha, "alpha")
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
    """Return the smallest two-sided p of the exact Wilcoxon signed-rank (and sign) test on `seeds` pairs.

    Raises StatisticsError for fewer than one seed.
    """
    return min(1.0, 2.0 ** (1 - whole(seeds, "seeds", 1)))


def power(
    effect: float, sd: float, seeds: int, level: float, efficiency: float = WILCOXON_EFFICIENCY, simulate: bool = True
) -> float:
    """Return the probability in [0, 1] that `seeds` pairs detect a mean difference `effect` at two-sided `level`.

    Args:
        effect: true mean difference, in the unit of the metric.
        sd: standard deviation of the paired differences, same unit, positive.
        seeds: N >= 2.
        level: the corrected level, in (0, 1).
        efficiency: 3/pi for Wilcoxon, 1 for the paired t test (which has no smallest p and is never simulated).
        simulate: below 20 seeds, simulate the Wilcoxon test (Monte Carlo error at most 0.0035) instead of
            approximating it, which is up to 0.17 too high at 8 pairs.

    Raises StatisticsError for values outside these ranges.
    """
    number(effect, "effect"), positive(sd, "sd"), whole(seeds, "seeds", 2), fraction(level, "level")
    if number(efficiency, "efficiency", 0.1, 1) < 1 and smallest_p(seeds) > level:
        return 0.0
    if efficiency < 1 and seeds < SMALL and simulate:
        return simulated_power(effect, sd, seeds, level).value
    n = seeds * efficiency
    critical = stats.t.isf(level / 2, n - 1)
    # |t| > critical is t^2 = F(1, n - 1) > critical^2, which needs no far tail, where digits would be lost.
    noncentrality = n * min(abs(effect) / sd, 1e100) ** 2
    if noncentrality < 1e-14:
        return level  # scipy 1.17's ncf.sf is wrong at a noncentrality of 0
    if noncentrality > 1e8:  # scipy's series no longer converges; only the noise of the spread is left
        return float(stats.chi2.cdf((n - 1) * noncentrality / critical**2, n - 1))
    return float(stats.ncf.sf(critical**2, 1, n - 1, noncentrality))


def seeds_needed(
    effect: float,
    sd: float,
    level: float,
    target: float,
    efficiency: float = WILCOXON_EFFICIENCY,
    simulate: bool = True,
) -> int:
    """Return the fewest seeds that detect `effect` with power `target`; arguments and errors as in `power`.

    Raises StatisticsError also for a target outside (0, 1), or if 100,000 seeds are not enough.
    """
    fraction(target, "target power")
    needed = _needed_by_formula(effect, sd, level, target, efficiency)
    if simulate and efficiency < 1 and needed < 2 * SMALL:  # the formula is a few seeds off: look around it

        def enough(seeds: int) -> bool:
            return power(effect, sd, seeds, level, efficiency) >= target

        while not enough(needed):
            needed += 1
        while needed > 2 and enough(needed - 1):
            needed -= 1
    return needed


def _needed_by_formula(effect: float, sd: float, level: float, target: float, efficiency: float) -> int:
    low, high = 1, 2
    while power(effect, sd, high, level, efficiency, simulate=False) < target:
        low, high = high, high * 2
        if high > _MOST_SEEDS:
            raise StatisticsError(f"design: {_MOST_SEEDS:,} seeds cannot detect an effect of {effect:g} with sd {sd:g}")
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(effect, sd, middle, level, efficiency, simulate=False) >= target
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable_effect(
    sd: float,
    seeds: int,
    level: float,
    target: float,
    efficiency: float = WILCOXON_EFFICIENCY,
    simulate: bool = True,
) -> float:
    """Return the smallest mean difference detected with power `target`, in the unit of `sd`; inf if there is none.

    Errors as in `power`; raises StatisticsError also for a target that is not in (level, 1).
    """

    def missing(effect: float) -> float:
        return power(effect * sd, sd, seeds, level, efficiency, simulate) - target

    sd = positive(sd, "sd")
    if fraction(target, "target power") <= fraction(level, "level"):
        raise StatisticsError(f"target power: expected more than the level {level:g}, got {target:g}")
    if missing(0.0) == -target:  # no effect is ever seen
        return math.inf
    high = 1.0
    while missing(high) < 0:
        high *= 2
    return float(optimize.brentq(missing, 0.0, high, xtol=1e-9)) * sd


def detectable_from(differences: Array, level: float, target: float) -> float:
    """Return the mean difference that as many pairs with the spread of these would detect with power `target`.

    What the finished runs could have shown, whatever they did show: to be given beside what was planned. The spread is
    that observed; the mean of the differences plays no part.

    Args:
        differences: (N,) paired differences, N >= 2.
        level: the corrected level.
        target: the power wanted.

    Raises StatisticsError for non-finite values, no spread, or as `detectable_effect`.
    """
    d = spread(sample(differences, name="differences"))
    return detectable_effect(float(np.std(d, ddof=1)), len(d), level, target)


def spread_limit(differences: Array, confidence: float) -> float:
    """Return the upper `confidence` limit of the standard deviation of a pilot's paired differences (N,).

    Raises StatisticsError for fewer than 2 differences, non-finite values, or no spread; or as `upper_spread`.
    """
    d = spread(sample(differences, name="pilot differences"))
    return upper_spread(float(np.std(d, ddof=1)), len(d), confidence)


def upper_spread(sd: float, pairs: int, confidence: float) -> float:
    """Return the upper `confidence` limit of the standard deviation behind `sd`, which a pilot of `pairs` gave.

    A pilot underestimates the standard deviation half of the time; planning with this limit attains the planned power
    with probability `confidence` (Browne 1995, who advises 0.8). Assumes normal differences.

    Raises StatisticsError for sd <= 0, fewer than 2 pairs, or a confidence outside (0, 1).
    """
    degrees = whole(pairs, "pilot pairs", 2) - 1
    quantile = stats.chi2.ppf(1 - fraction(confidence, "confidence"), degrees)
    return positive(sd, "sd") * math.sqrt(degrees / max(quantile, 1e-30))
