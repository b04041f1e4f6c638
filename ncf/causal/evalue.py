"""E-values: how strongly an unmeasured confounder would have to act to explain an effect away.

The risk ratio by which it would have to raise both the treatment and the outcome, beyond the measured confounders
(VanderWeele and Ding 2017).
"""

from dataclasses import dataclass

import numpy as np

from ncf.stats.checks import number, positive


@dataclass(frozen=True)
class EValue:
    """E-values of an effect and of the limit of its interval that is nearer to no effect.

    Attributes:
        ratio: the risk ratio, or what stands in for it.
        estimate: of the effect, 1 at least.
        limit: of the limit; 1 if the interval holds no effect.
    """

    ratio: float
    estimate: float
    limit: float


def risk_ratio(ratio: float, low: float | None = None, high: float | None = None) -> EValue:
    """Return the E-value of a risk ratio with its interval. Raises StatisticsError for what is not positive."""
    ratio = positive(ratio, "risk ratio")
    ends = [positive(end, "limit") for end in (low, high) if end is not None]
    if ends and not min(ends) <= ratio <= max(ends):
        ends = [ratio, *ends]
    crosses = bool(ends) and min(ends) <= 1 <= max(ends)
    nearest = 1.0 if crosses or not ends else min(ends) if ratio > 1 else max(ends)
    return EValue(ratio, _e(ratio), _e(nearest) if ends else float("nan"))


def odds_ratio(ratio: float, low: float | None = None, high: float | None = None, *, rare: bool = False) -> EValue:
    """Return the E-value of an odds ratio with its interval, at its square root unless the outcome is rare (< 15%).

    Raises StatisticsError for what is not positive.
    """
    power = 1.0 if rare else 0.5
    return risk_ratio(*(None if r is None else positive(r, "odds ratio") ** power for r in (ratio, low, high)))  # type: ignore[arg-type]


def standardised(difference: float, standard_error: float | None = None, z: float = 1.96) -> EValue:
    """Return the E-value of a standardised mean difference, at the risk ratio exp(.91 d) (Chinn 2000).

    Args:
        difference: effect over the outcome's standard deviation.
        standard_error: of it, for the limits exp(.91 (d ± z standard errors)).
        z: quantile of the interval.

    Raises StatisticsError for what is no number, or a negative error.
    """
    d = number(difference, "difference")
    if standard_error is None:
        return risk_ratio(_from_difference(d))
    half = number(z, "z", 0) * number(standard_error, "standard_error", 0)
    return risk_ratio(*(_from_difference(d + side * half) for side in (0, -1, 1)))


def _from_difference(d: float) -> float:
    """Return the risk ratio; beyond exp(+-200), which nothing explains away, that bound."""
    return float(np.exp(np.clip(0.91 * d, -200, 200)))


def _e(ratio: float) -> float:
    above = max(ratio, 1 / ratio)
    return float(above + np.sqrt(above * (above - 1)))
