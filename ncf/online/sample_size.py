"""Before an experiment: how many units and days it takes, and what effect a given number of units can detect.

Sizes are those of the smaller, or each, of two arms, unrounded where a function says so: formulas are compared with
each other and with other programs in the digits that rounding would hide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import optimize, stats

from ncf.online import sequential
from ncf.stats.checks import StatisticsError, fraction, number, one_of, positive, whole

Formula = Literal["pooled", "unpooled", "arcsine"]
FORMULAS: tuple[Formula, ...] = ("pooled", "unpooled", "arcsine")
_MOST = 1e12  # units an arm


@dataclass(frozen=True)
class Design:
    """What an experiment takes.

    Attributes:
        effect: absolute effect to detect.
        relative: the same as a share of the baseline.
        arms: number of arms, the control among them.
        n_per_arm: units in each arm.
        n: units in all arms.
        days: days to collect them, rounded up; None where no units a day were given.
        alpha: two-sided level of each comparison, corrected for the number of treatments.
        power: of each comparison.
        factors: what multiplied the number of units, by name: "clusters", "covariate", "looks".
        detectable: smallest effect that `n_per_arm` detects.
    """

    effect: float
    relative: float | None
    arms: int
    n_per_arm: int
    n: int
    days: int | None
    alpha: float
    power: float
    factors: dict[str, float]
    detectable: float


def proportions_n(
    base: float, effect: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5,
    formula: Formula = "pooled",
) -> float:  # fmt: skip
    """Return the units of the treatment arm (unrounded) that detect base -> base + effect.

    Args:
        base: the control's rate.
        effect: absolute, not zero.
        alpha: two-sided level.
        power: desired probability of rejection.
        share: of all units that are treated; the control has n (1 - share) / share.
        formula: "pooled" for the pooled z and score tests (Fleiss 1981), "unpooled" for Wald's, "arcsine" for
            Cohen's h.

    Raises StatisticsError for rates outside (0, 1), an effect of zero, or settings out of range.
    """
    base, other = fraction(base, "base"), fraction(base + number(effect, "effect"), "base + effect")
    if other == base:
        raise StatisticsError("effect: expected one that is not zero")
    one_of(formula, "formula", FORMULAS)
    za, zb = _quantiles(alpha, power)
    r = (1 - fraction(share, "share")) / share
    if formula == "arcsine":
        h = 2 * (math.asin(math.sqrt(other)) - math.asin(math.sqrt(base)))
        return _arcsine_n(abs(h), alpha, power, r)
    spread = math.sqrt(other * (1 - other) + base * (1 - base) / r)
    if formula == "unpooled":
        return ((za + zb) * spread / (other - base)) ** 2
    pooled = (other + r * base) / (1 + r)
    return ((za * math.sqrt(pooled * (1 - pooled) * (1 + 1 / r)) + zb * spread) / (other - base)) ** 2


def means_n(effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5) -> float:
    """Return the units of the treatment arm (unrounded) with which the t test detects `effect`.

    Exactly, by the noncentral t distribution with equal spread in both arms; arguments and errors as `proportions_n`.

    Args:
        effect: absolute, not zero.
        sd: standard deviation of the metric over units.
        alpha: two-sided level.
        power: desired probability of rejection.
        share: of all units that are treated.
    """
    d = abs(number(effect, "effect")) / positive(sd, "sd")
    if d == 0:
        raise StatisticsError("effect: expected one that is not zero")
    _quantiles(alpha, power)
    r = (1 - fraction(share, "share")) / share

    def missing(n: float) -> float:
        return means_power(d, 1.0, n, alpha=alpha, share=share) - power

    low = max(2.0, 2.0 / r)
    if missing(low) >= 0:
        return low
    guess = sum(_quantiles(alpha, power)) ** 2 / d**2 * (1 + 1 / r) + 4
    if guess > _MOST:
        raise StatisticsError(f"design: expected at most {_MOST:g} units an arm, needs {guess:.3g}")
    return float(optimize.brentq(missing, low, 2 * guess, xtol=1e-9, rtol=1e-13))


def means_power(effect: float, sd: float, n: float, *, alpha: float = 0.05, share: float = 0.5) -> float:
    """Return the power of the two-sided t test with n treated units; arguments and errors as `means_n`."""
    r = (1 - fraction(share, "share")) / share
    degrees = n * (1 + r) - 2
    away = abs(number(effect, "effect")) / positive(sd, "sd") * math.sqrt(n / (1 + 1 / r))
    critical = stats.t.isf(fraction(alpha, "alpha") / 2, degrees)
    if away == 0:
        return alpha
    if away > 1e4:  # the series no longer converges; only the noise of the spread is left
        return float(stats.chi2.cdf(degrees * (away / critical) ** 2, degrees))
    return float(stats.ncf.sf(critical**2, 1, degrees, away**2))


def detectable_proportion(
    base: float, n: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5, formula: Formula = "pooled"
) -> float:
    """Return the smallest increase of a rate that n treated units detect; arguments and errors as `proportions_n`.

    Raises StatisticsError also where no increase below 1 - base is detected.
    """
    positive(n, "n")
    most = 1 - fraction(base, "base")

    def excess(log_effect: float) -> float:
        effect = min(math.exp(log_effect), most * (1 - 1e-12))
        return math.log(proportions_n(base, effect, alpha=alpha, power=power, share=share, formula=formula) / n)

    low, high = math.log(most * 1e-9), math.log(most * (1 - 1e-12))
    if excess(high) > 0:
        raise StatisticsError(f"design: {n:g} units an arm detect no increase of a rate of {base:g} at all")
    return float(math.exp(optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14)))


def detectable_mean(sd: float, n: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5) -> float:
    """Return the smallest effect that n >= 2 treated units detect; arguments and errors as `means_n`."""
    positive(sd, "sd"), number(n, "n", 2, _MOST)
    start = sum(_quantiles(alpha, power)) * math.sqrt((1 + share / (1 - fraction(share, "share"))) / n)

    def missing(effect: float) -> float:
        return means_power(effect, 1.0, n, alpha=alpha, share=share) - power

    high = start
    while missing(high) < 0:
        high *= 2
    return float(sd * optimize.brentq(missing, start / 10, high, xtol=1e-14, rtol=1e-12))


def looks_factor(
    looks: int | Sequence[float], *, kind: str = "obrien_fleming", alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return how many times more units a test with planned looks takes than one look at the end, for the same power.

    1.03 for five looks by O'Brien and Fleming, 1.23 by Pocock, at alpha 0.05 and power 0.8 (Jennison and Turnbull 2000,
    tables 2.2 and 2.4). `looks` are as in `sequential.bounds`; raises StatisticsError as that does.
    """
    za, zb = _quantiles(alpha, power)
    limits = sequential.bounds(looks, alpha=alpha, kind=kind)
    return (sequential.drift_for(limits, looks, power) / (za + zb)) ** 2


def design(
    *, baseline: float, effect: float | None = None, relative: float | None = None, sd: float | None = None,
    n: int | None = None, arms: int = 2, alpha: float = 0.05, power: float = 0.8, per_day: float | None = None,
    icc: float | None = None, cluster_size: float | None = None, correlation: float | None = None,
    looks: int | Sequence[float] = 1, bounds: str = "obrien_fleming", corrected: bool = True,
) -> Design:  # fmt: skip
    """Return how many units and days an experiment takes, or, given `n`, what effect it can detect.

    Args:
        baseline: the control's rate, or its mean where `sd` is given.
        effect: absolute effect to detect; or
        relative: as a share of the baseline. Neither, with `n`: the smallest detectable is sought.
        sd: standard deviation of the metric over units; None for a rate.
        n: units in all arms together, instead of an effect.
        arms: number of arms of equal size, the control among them.
        alpha: two-sided level of all comparisons together.
        power: of each comparison.
        per_day: new units a day, over all arms.
        icc: intra-cluster correlation, where clusters are randomised; with
        cluster_size: units a cluster. The units are multiplied by 1 + (size - 1) icc.
        correlation: of a covariate from before the experiment with the metric: the variance is multiplied by
            1 - correlation² (CUPED).
        looks: the number of equally spaced looks at the data, the last among them, or fractions of the units at which
            they are taken, up to 1.
        bounds: of the looks, a kind of `ncf.online.sequential`.
        corrected: divide alpha by the number of treatments (Bonferroni, which Holm never needs more than).

    Raises StatisticsError for settings out of range, both or none of effect and n, or an effect that cannot be reached.
    """
    whole(arms, "arms", 2, 1000), fraction(power, "power")
    level = fraction(alpha, "alpha") / (arms - 1 if corrected else 1)
    factors = _factors(icc, cluster_size, correlation, looks, one_of(bounds, "bounds", sequential.KINDS), level, power)
    factor = math.prod(factors.values())
    given = [f"{name}=" for name, it in (("effect", effect), ("relative", relative), ("n", n)) if it is not None]
    if len(given) != 1:
        raise StatisticsError(
            f"design: expected one of effect=, relative= and n=, "
            f"got {'both ' + ' and '.join(given) if given else 'none'}"
        )
    baseline = number(baseline, "baseline")
    if sd is None and not 0 < baseline < 1:
        raise StatisticsError(f"baseline: expected a rate between 0 and 1, or sd= beside a mean, got {baseline:g}")
    if relative is not None:
        effect = number(relative, "relative") * baseline
    if n is None:
        assert effect is not None
        alone = (means_n(effect, sd, alpha=level, power=power) if sd is not None
                 else proportions_n(baseline, effect, alpha=level, power=power))  # fmt: skip
        each = max(2, math.ceil(alone * factor - 1e-9))
    else:
        each = whole(n, "n", 2 * arms, 10**12) // arms
    found = _detectable(baseline, sd, max(each / factor, 2.0), level, power)
    return Design(
        found if effect is None else effect, None if not baseline else (found if effect is None else effect) / baseline,
        arms, each, each * arms, None if per_day is None else days(each * arms, per_day), level, power, factors, found,
    )  # fmt: skip


def days(n: float, per_day: float) -> int:
    """Return the days in which n units come in, rounded up. Raises StatisticsError unless both are positive."""
    return math.ceil(positive(n, "n") / positive(per_day, "per_day"))


def _detectable(baseline: float, sd: float | None, n: float, level: float, power: float) -> float:
    if sd is not None:
        return detectable_mean(sd, n, alpha=level, power=power)
    return detectable_proportion(baseline, n, alpha=level, power=power)


def _factors(
    icc: float | None, size: float | None, correlation: float | None, looks: int | Sequence[float],
    bounds: str, alpha: float, power: float,
) -> dict[str, float]:  # fmt: skip
    if (icc is None) != (size is None):
        raise StatisticsError("design: expected icc= and cluster_size= together, got one of them")
    factors = {}
    if icc is not None and size is not None:
        factors["clusters"] = 1 + (number(size, "cluster_size", 1) - 1) * number(icc, "icc", 0, 1)
    if correlation is not None:
        factors["covariate"] = 1 - number(correlation, "correlation", -0.999999, 0.999999) ** 2
    if len(sequential.fractions(looks)) > 1:
        factors["looks"] = looks_factor(looks, kind=bounds, alpha=alpha, power=power)
    return factors


def _quantiles(alpha: float, power: float) -> tuple[float, float]:
    alpha, power = fraction(alpha, "alpha"), fraction(power, "power")
    if power <= alpha:
        raise StatisticsError(f"power: expected more than alpha ({alpha:g}), got {power:g}")
    return float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))


def _arcsine_n(h: float, alpha: float, power: float, r: float) -> float:
    """Return the units with which the two-sided normal test of Cohen's h has the power, the far tail counted in."""
    critical = stats.norm.isf(alpha / 2)

    def missing(away: float) -> float:
        return float(stats.norm.sf(critical - away) + stats.norm.cdf(-critical - away)) - power

    away = optimize.brentq(missing, 1e-9, 60, xtol=1e-13, rtol=1e-14)
    return float((away / h) ** 2 * (1 + 1 / r))
