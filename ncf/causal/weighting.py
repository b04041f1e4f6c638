"""Inverse-probability weighting, for the whole population, the treated, the untreated, or where the arms overlap."""

from collections.abc import Callable

import numpy as np

from ncf.causal.propensity import Scores, arm_sizes
from ncf.causal.units import Units
from ncf.stats.checks import Array, StatisticsError, one_of, sample
from ncf.stats.estimate import Estimate, estimate

Weighing = Callable[[Array], tuple[Array, Array, Array, Array]]
# estimand -> weights of treated and of untreated units by their score e, and the derivatives by log(e / (1 - e))
_WEIGHTS: dict[str, Weighing] = {
    "ATE": lambda e: (1 / e, 1 / (1 - e), -(1 - e) / e, e / (1 - e)),
    "ATT": lambda e: (np.ones_like(e), e / (1 - e), np.zeros_like(e), e / (1 - e)),
    "ATC": lambda e: ((1 - e) / e, np.ones_like(e), -(1 - e) / e, np.zeros_like(e)),
    "ATO": lambda e: (1 - e, e, -e * (1 - e), e * (1 - e)),
}
ESTIMANDS = tuple(_WEIGHTS)
"""ATE: of all; ATT: of the treated; ATC: of the untreated; ATO: of all, in proportion to e (1 - e) (Li et al. 2018)."""


def weights(treatment: Array, values: Array, estimand: str = "ATE", *, stabilised: bool = False) -> Array:
    """Return the weight (N,) of each unit.

    Args:
        treatment: (N,), 0 or 1.
        values: (N,), scores in (0, 1).
        estimand: one of ESTIMANDS.
        stabilised: times the share of the unit's arm: the sizes of weights change, no normalised estimate does.

    Raises StatisticsError for another estimand, or weights that are negative or not finite.
    """
    with np.errstate(over="ignore"):  # refused below
        one, zero, _, _ = _WEIGHTS[one_of(estimand, "estimand", ESTIMANDS)](values)
    found = np.where(treatment == 1, one, zero)
    if stabilised:
        found = found * np.where(treatment == 1, treatment.mean(), 1 - treatment.mean())
    return checked_weights(found)


def checked_weights(found: Array) -> Array:
    """Return weights (N,). Raises StatisticsError for one that is negative or not finite, by its position."""
    values = np.asarray(found, dtype=np.float64)
    if (bad := ~(np.isfinite(values) & (values >= 0))).any():
        where = int(np.flatnonzero(bad)[0])
        raise StatisticsError(f"weights: expected finite, none negative, got {values[where]:g} at position {where}")
    return sample(values, 2, "weights")


def ipw(
    units: Units, scores: Scores, *, estimand: str = "ATE", normalised: bool = True, level: float = 0.95
) -> Estimate:
    """Return the weighted difference of the arms; its error accounts for a logistic score that was estimated.

    Args:
        units: N units.
        scores: of them.
        estimand: one of ESTIMANDS.
        normalised: weights of an arm sum to one (Hajek); else they are divided by N (Horvitz and Thompson), so that
            the estimate depends on where the outcome's zero is.
        level: nominal coverage.

    Source: Hirano, Imbens and Ridder (2003); error: stacked moments, Lunceford and Davidian (2004).

    Raises StatisticsError for another estimand, or ATO without normalised weights.
    """
    d, y = units.treatment, units.outcome
    found = weights(d, scores.values, estimand)
    _, _, slope_one, slope_zero = _WEIGHTS[estimand](scores.values)
    slope = np.where(d == 1, slope_one, slope_zero)
    if not normalised:
        return _horvitz_thompson(units, scores, found, slope, estimand, level)
    value, influence, means, totals = _hajek(d, y, found)
    sign = 2 * d - 1
    gradient = sign * slope * (y - np.where(d == 1, *means)) / np.where(d == 1, *totals)
    influence = influence + scores.influence(gradient, d)
    return _described(value, influence, units, found, estimand, "IPW (Hajek)", level)


def weighted(units: Units, given: Array, *, estimand: str = "weighted", level: float = 0.95) -> Estimate:
    """Return the difference of the arms' weighted means for weights (N,) that are given, taken as known.

    Raises StatisticsError for weights that are negative, not finite, or zero in a whole arm.
    """
    found = checked_weights(given)
    if len(found) != len(units):
        raise StatisticsError(f"weights: expected {len(units)}, one for each unit, got {len(found)}")
    value, influence, _, _ = _hajek(units.treatment, units.outcome, found)
    return _described(value, influence, units, found, estimand, "weighted", level)


def _hajek(d: Array, y: Array, found: Array) -> tuple[float, Array, tuple[float, float], tuple[float, float]]:
    """Return the difference of weighted means, influence (N,), means and sums of weights of treated and untreated."""
    totals = float(found @ d), float(found @ (1 - d))
    if min(totals) <= 0:
        raise StatisticsError("weights: expected some above 0 in both arms")
    centre = y.mean()
    means = tuple(float(found @ (arm * (y - centre))) / t + centre for arm, t in zip((d, 1 - d), totals, strict=True))
    own, total = np.where(d == 1, *means), np.where(d == 1, *totals)
    influence = len(d) * (2 * d - 1) * found * (y - own) / total
    return means[0] - means[1], influence, (means[0], means[1]), totals


def _horvitz_thompson(
    units: Units, scores: Scores, found: Array, slope: Array, estimand: str, level: float
) -> Estimate:
    if estimand == "ATO":
        raise StatisticsError("ATO: expected normalised weights")
    d, y = units.treatment, units.outcome
    target = {"ATE": np.ones(len(d)), "ATT": d, "ATC": 1 - d}[estimand]
    signed = (2 * d - 1) * y
    value = float(found @ signed) / target.sum()
    influence = (found * signed - target * value) / target.mean()
    influence = influence + scores.influence(slope * signed / target.sum(), d)
    return _described(value, influence, units, found, estimand, "IPW (Horvitz-Thompson)", level)


def _described(
    value: float, influence: Array, units: Units, found: Array, estimand: str, method: str, level: float
) -> Estimate:
    d = units.treatment
    result = estimate(
        value, influence, estimand=estimand, method=method, level=level, clusters=units.clusters, lost=0,
        weights=found, degrees=None if units.clusters is not None else float("inf"),
    )  # fmt: skip
    treated, untreated = arm_sizes(d, found)
    return result.noting(
        effective_treated=treated, effective_untreated=untreated, largest_weight=float(found.max()),
        largest_share=float(max(found[d == arm].max() / found[d == arm].sum() for arm in (0, 1))),
    )  # fmt: skip
