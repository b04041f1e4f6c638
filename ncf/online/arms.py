"""What an arm of an experiment amounts to, a mean with its error, and two arms held against each other.

Every method (means, ratios, adjusted means, clusters, strata) makes an `ArmMean` of each arm; the difference and the
relative effect of two of them are formed here, in one place, with the influence of every unit.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, fraction
from ncf.stats.estimate import Estimate

ATE, RELATIVE = "ATE", "relative effect"
_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of a mean, as a share of it


@dataclass(frozen=True, eq=False)
class ArmMean:
    """The mean of an arm.

    Attributes:
        value: in the unit of the metric.
        influence: (n,), how far each of the arm's units pulls the mean, with mean zero.
        variance: of `value`.
        degrees: degrees of freedom of that variance; infinite for a large-sample one.
    """

    value: float
    influence: Array
    variance: float
    degrees: float

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.influence)


def arm_mean(value: float, influence: Array, *, lost: int = 1, large_sample: bool = False) -> ArmMean:
    """Return the mean of an arm of independent units with influence (n,).

    The influence is scaled so that the variance, sum(influence²) / n², is the unbiased one, with n - lost degrees of
    freedom, infinite for `large_sample`. Raises StatisticsError for fewer than 1 + lost units.
    """
    n = len(influence)
    if n < 1 + lost:
        raise StatisticsError(f"arm: expected at least {1 + lost} units, got {n}")
    scaled = influence * np.sqrt(n / (n - lost))
    return ArmMean(float(value), scaled, float(scaled @ scaled) / n**2, np.inf if large_sample else float(n - lost))


def plain(values: Array) -> ArmMean:
    """Return the mean of independent units (n,). Raises StatisticsError for fewer than 2."""
    centre = mean(values) if len(values) else 0.0
    return arm_mean(centre, values - centre)


def mean(values: Array) -> float:
    """Return the mean of values (n,), n >= 1: exactly their value where all are the same.

    The sum of equal numbers rounds, and its last digit would be taken for an effect without any error.
    """
    return float(values[0] if values[0] == values[-1] and np.ptp(values) == 0 else values.mean())


def gap(treatment: float, control: float) -> float:
    """Return treatment - control, 0 where that is no more than the rounding of two means."""
    away = treatment - control
    return away if abs(away) > _ROUNDING * max(abs(treatment), abs(control)) else 0.0


def difference(
    treatment: ArmMean, control: ArmMean, treated: Array, *, method: str, level: float = 0.95,
    degrees: float | None = None, effective_n: float | None = None,
) -> Estimate:  # fmt: skip
    """Return treatment - control.

    Args:
        treatment: of the units where `treated` is true, in their order.
        control: of the others.
        treated: (N,) bool.
        method: as a table names it.
        level: nominal coverage of the interval.
        degrees: of t; None: those of Welch and Satterthwaite.
        effective_n: number of independent units that would tell as much; None: N.

    Raises StatisticsError unless the level is in (0, 1) and the arms are those of `treated`.
    """
    found = degrees if degrees is not None else _welch(treatment, control)
    error = float(np.sqrt(treatment.variance + control.variance))
    value = gap(treatment.value, control.value)
    half = _quantile(level, found) * error
    return Estimate(
        value, error, value - half, value + half, level, ATE, method, len(treated),
        float(len(treated)) if effective_n is None else effective_n, found, _joined(treatment, control, treated),
    )  # fmt: skip


def log_ratio(
    treatment: ArmMean, control: ArmMean, treated: Array, *, method: str, level: float = 0.95,
    degrees: float | None = None, effective_n: float | None = None,
) -> Estimate:  # fmt: skip
    """Return log(treatment / control) by the delta method; arguments as `difference`.

    Raises StatisticsError unless both means are positive, or as `difference`.
    """
    if min(treatment.value, control.value) <= 0:
        raise StatisticsError(
            f"relative effect: expected positive means in both arms, got {treatment.value:g} and {control.value:g}"
        )
    logs = [
        ArmMean(float(np.log(arm.value)), arm.influence / arm.value, arm.variance / arm.value**2, arm.degrees)
        for arm in (treatment, control)
    ]
    found = difference(logs[0], logs[1], treated, method=method, level=level, degrees=degrees, effective_n=effective_n)
    return replace(found, estimand="log ratio")


def relative(log: Estimate) -> Estimate:
    """Return treatment / control - 1 with the interval of the log ratio, which stays above -1 and need not be even.

    Its standard error and influence are those of the ratio, by the delta method.
    """
    ratio = float(np.exp(log.value))
    return replace(
        log, value=ratio - 1, standard_error=log.standard_error * ratio, low=float(np.expm1(log.low)),
        high=float(np.expm1(log.high)), estimand=RELATIVE,
        influence=None if log.influence is None else log.influence * ratio,
    )  # fmt: skip


def _joined(treatment: ArmMean, control: ArmMean, treated: Array) -> Array:
    """Return the influence (N,) of all units on the difference; an arm's units pull N / n times as hard."""
    total = len(treated)
    if treatment.n + control.n != total or int(treated.sum()) != treatment.n:
        raise StatisticsError(f"treated: expected {treatment.n} units of {treatment.n + control.n}, got {total}")
    influence = np.empty(total)
    influence[treated] = treatment.influence * (total / treatment.n)
    influence[~treated] = -control.influence * (total / control.n)
    return influence


def _quantile(level: float, degrees: float) -> float:
    tail = (1 - fraction(level, "level")) / 2
    return float(stats.norm.isf(tail) if np.isinf(degrees) else stats.t.isf(tail, degrees))


def _welch(treatment: ArmMean, control: ArmMean) -> float:
    """Return Welch and Satterthwaite's degrees of freedom; those of both arms together where nothing varies."""
    variances, degrees = (
        np.array([treatment.variance, control.variance]),
        np.array([treatment.degrees, control.degrees]),
    )
    if np.isinf(degrees).any():
        return float("inf")
    if not variances.any():
        return float(degrees.sum())
    shares = variances / variances.max()
    return float(shares.sum() ** 2 / (shares**2 / degrees).sum())
