"""Two arms of units: means (Welch), ratios of two totals (the delta method), means adjusted by a covariate (CUPED)."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ncf.online.arms import ArmMean, arm_mean, difference, log_ratio, mean, plain, relative
from ncf.stats.checks import Array, StatisticsError, one_of, sample, table
from ncf.stats.estimate import Estimate

Theta = Literal["pooled", "within", "arms"]
THETAS: tuple[Theta, ...] = ("pooled", "within", "arms")


@dataclass(frozen=True, eq=False)
class Effect:
    """An effect of one arm against another.

    Attributes:
        treatment: mean of the treated, or their ratio; adjusted if the method adjusts.
        control: likewise.
        absolute: treatment - control.
        log_ratio: log(treatment / control), which equivalence within a relative margin is tested on; None where a mean
            is not positive.
    """

    treatment: float
    control: float
    absolute: Estimate
    log_ratio: Estimate | None

    @property
    def relative(self) -> Estimate | None:
        """treatment / control - 1 with its interval; None where a mean is not positive."""
        return None if self.log_ratio is None else relative(self.log_ratio)

    def noting(self, *warnings: str, **details: float) -> "Effect":
        """Return the effect whose absolute estimate has further warnings and details."""
        return replace(self, absolute=self.absolute.noting(*warnings, **details))


def effect_of(
    treatment: ArmMean, control: ArmMean, treated: Array, *, method: str, level: float = 0.95,
    degrees: float | None = None, effective_n: float | None = None,
) -> Effect:  # fmt: skip
    """Return the absolute and the relative effect of two arm means; arguments and errors as `arms.difference`."""
    options: dict[str, Any] = {"method": method, "level": level, "degrees": degrees, "effective_n": effective_n}
    positive = min(treatment.value, control.value) > 0
    return Effect(
        treatment.value, control.value, difference(treatment, control, treated, **options),
        log_ratio(treatment, control, treated, **options) if positive else None,
    )  # fmt: skip


def welch(values: Array, treated: Array, *, level: float = 0.95) -> Effect:
    """Return the difference of two means with Welch's error, which allows arms of different spread (Welch 1947).

    Args:
        values: (N,), the metric of each unit.
        treated: (N,) bool, or 0 and 1.
        level: nominal coverage of the interval.

    Raises StatisticsError for values that are not finite, lengths that differ, or an arm of fewer than 2 units.
    """
    values, treated = units(values, treated)
    return effect_of(plain(values[treated]), plain(values[~treated]), treated, method="Welch", level=level)


def ratio(numerator: Array, denominator: Array, treated: Array, *, level: float = 0.95) -> Effect:
    """Return the difference of two ratios of totals, such as clicks over sessions where users are randomised.

    The sessions of a user are not independent; the delta method takes its error from the users (Deng, Knoblich and Lu
    2018), and its interval is normal.

    Args:
        numerator: (N,), per unit, such as clicks.
        denominator: (N,), such as sessions, none negative.
        treated: (N,) bool, or 0 and 1.
        level: nominal coverage of the interval.

    Returns:
        The effect; detail, if there are any: `zero_denominators`, units whose denominator is 0.

    Raises:
        StatisticsError: a negative denominator, an arm whose denominators are all zero, a unit with a numerator but no
            denominator, or as `welch`.
    """
    top, treated = units(numerator, treated, "numerator")
    bottom = _denominator(top, units(denominator, treated, "denominator")[0])
    linear = _linearised(top, bottom, treated)
    arms = [arm_mean(*linear[arm], large_sample=True) for arm in (True, False)]
    found = effect_of(arms[0], arms[1], treated, method="delta", level=level)
    return found.noting(zero_denominators=zeros) if (zeros := int((bottom == 0).sum())) else found


def cuped(
    values: Array, covariates: Array, treated: Array, *, denominator: Array | None = None, theta: Theta = "pooled",
    level: float = 0.95,
) -> Effect:  # fmt: skip
    """Return the difference of means adjusted by what was known before the experiment (CUPED; Deng et al. 2013).

    Args:
        values: (N,), the metric of each unit, or the numerator of a ratio.
        covariates: (N,) or (N, C), from before the experiment: nothing that the treatment may have moved.
        treated: (N,) bool, or 0 and 1.
        denominator: (N,) of a ratio metric, which is linearised first; None for a mean.
        theta: the slope is that of all units ("pooled"), of deviations from arm means ("within", as in the analysis of
            covariance), or each arm's own ("arms", Lin 2013).
        level: nominal coverage of the interval.

    Returns:
        The effect; its detail `variance_ratio` is the squared error over that without adjustment, about 1 - r² of the
        covariates' correlation r with the metric.

    Raises StatisticsError as `welch` or `ratio`, for covariates that do not vary, or an unknown `theta`.
    """
    one_of(theta, "theta", THETAS)
    if denominator is None:
        values, treated = units(values, treated)
        before, large = welch(values, treated, level=level), False
    else:
        before, large = ratio(values, denominator, treated, level=level), True
        top, treated = units(values, treated, "numerator")
        linear = _linearised(top, np.asarray(denominator, np.float64), treated)
        values = np.empty(len(treated))
        for arm, (centre, influence) in linear.items():
            values[treated == arm] = centre + influence
    moved = adjusted(values, covariates, treated, theta=theta)
    arms = [arm_mean(mean(own), own - mean(own), large_sample=large) for own in (moved[treated], moved[~treated])]
    name = "CUPED" if denominator is None else "delta, CUPED"
    found = effect_of(arms[0], arms[1], treated, method=name, level=level)
    plain_error = before.absolute.standard_error
    shrunk = (found.absolute.standard_error / plain_error) ** 2 if plain_error else 1.0
    return found.noting(variance_ratio=shrunk)


def adjusted(values: Array, covariates: Array, treated: Array, *, theta: Theta = "pooled") -> Array:
    """Return the values (N,) less what the covariates foretell of their deviation from the mean of all units.

    Arguments and errors as `cuped`.
    """
    values, treated = units(values, treated)
    x = _covariates(covariates, len(values))
    x = x - x.mean(0)
    if theta == "arms":
        slopes = [_slopes(values[arm], x[arm]) for arm in (treated, ~treated)]
        return values - np.where(treated, x @ slopes[0], x @ slopes[1])
    if theta == "within":
        y, within = values.copy(), x.copy()
        for arm in (treated, ~treated):
            y[arm] -= y[arm].mean()
            within[arm] -= within[arm].mean(0)
        return values - x @ _slopes(y, within)
    return values - x @ _slopes(values, x)


def units(values: Array, treated: Array, name: str = "values") -> tuple[Array, Array]:
    """Return values (N,) as float64 and `treated` (N,) as bool.

    Raises StatisticsError for values that are not finite, other lengths, or an arm of fewer than 2 units.
    """
    checked = sample(values, 2, name)
    arms = np.asarray(treated)
    if arms.shape != checked.shape or not (arms.dtype == bool or np.isin(arms, (0, 1)).all()):
        raise StatisticsError(
            f"treated: expected 0 or 1 for each of {len(checked)} units, got {arms.dtype} {arms.shape}"
        )
    arms = arms.astype(bool)
    if min(int(arms.sum()), int((~arms).sum())) < 2:
        raise StatisticsError(f"arms: expected at least 2 units in each, got {int(arms.sum())} of {len(arms)} treated")
    return checked, arms


def _denominator(top: Array, bottom: Array) -> Array:
    if bottom.min() < 0:
        raise StatisticsError(f"denominator: expected no negative values, got {bottom.min():g}")
    if (lost := (bottom == 0) & (top != 0)).any():
        where = int(np.flatnonzero(lost)[0])
        raise StatisticsError(
            f"ratio: expected a denominator wherever there is a numerator, got {top[where]:g} over 0 at position "
            f"{where}; {int(lost.sum()):,} units are so"
        )
    return bottom


def _linearised(top: Array, bottom: Array, treated: Array) -> dict[bool, tuple[float, Array]]:
    """Return of the treated (True) and the others their ratio and the influence of each of their units on it."""
    found = {}
    for arm in (True, False):
        own, over = top[treated == arm], bottom[treated == arm]
        if not over.any():
            raise StatisticsError("ratio: expected a denominator above zero in each arm, got zeros only in one")
        rate = float(own.sum() / over.sum())
        found[arm] = (rate, (own - rate * over) / over.mean())
    return found


def _covariates(covariates: Array, n: int) -> Array:
    x = table(covariates, "covariates")
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) != n:
        raise StatisticsError(f"covariates: expected ({n},) or ({n}, C), got {np.shape(covariates)}")
    if (np.ptp(x, axis=0) == 0).any():
        raise StatisticsError("covariates: expected values that vary, got the same for every unit")
    return x


def _slopes(y: Array, x: Array) -> Array:
    """Return the slopes (C,) of least squares through the means; no slope where a covariate repeats another.

    Covariates are brought to one scale first: beside a time in nanoseconds a rate would count as nothing.
    """
    centred = x - x.mean(0)
    scale = np.abs(centred).max(0)
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(np.linalg.lstsq(centred / scale, y - mean(y), rcond=None)[0] / scale)
