"""Regression adjustment: standardisation, and its doubly robust form with one fit to all units (AIPW)."""

import numpy as np

from ncf.causal.linear import Linear, cleared, largest
from ncf.causal.propensity import Scores
from ncf.causal.units import Units
from ncf.causal.weighting import weights
from ncf.stats.checks import Array, one_of
from ncf.stats.estimate import Estimate, estimate

TARGETS = ("ATE", "ATT", "ATC")


def target(treatment: Array, estimand: str) -> Array:
    """Return (N,), 1 for units whose average effect is estimated, else 0. Raises StatisticsError for no TARGETS."""
    one_of(estimand, "estimand", TARGETS)
    return {"ATE": np.ones(len(treatment)), "ATT": treatment, "ATC": 1 - treatment}[estimand]


def standardise(units: Units, *, estimand: str = "ATE", level: float = 0.95) -> Estimate:
    """Return the mean difference of what a linear regression in each arm predicts for the target's units.

    The error accounts for the coefficients, and for the target's units being a sample.

    Raises StatisticsError for an estimand that is none of TARGETS.
    """
    d = units.treatment
    among = target(d, estimand)
    fits = {arm: _fitted(units, arm) for arm in (1, 0)}
    effect = cleared(fits[1][1] - fits[0][1], largest(units.outcome))
    value = float(effect @ among) / among.sum()
    influence = among / among.mean() * (effect - value)
    for arm, (fit, predicted) in fits.items():
        influence += (2 * arm - 1) * _coefficients(units, fit, predicted, arm, among / among.sum())
    return _estimate(value, influence, units, estimand, "standardisation", level)


def aipw(units: Units, scores: Scores, *, estimand: str = "ATE", level: float = 0.95) -> Estimate:
    """Return the augmented IPW estimate with a linear outcome regression in each arm, fitted to all units.

    It is consistent if either the scores or the regressions are right. The error accounts for the estimation of both
    (stacked moments), so it holds if one of the two is wrong.

    Source: Robins, Rotnitzky and Zhao (1994).

    Raises StatisticsError for an estimand that is none of TARGETS.
    """
    d, y, e = units.treatment, units.outcome, scores.values
    among = target(d, estimand)
    found = weights(d, e, estimand)
    fits = {arm: _fitted(units, arm) for arm in (1, 0)}
    residual = cleared(y - np.where(d == 1, fits[1][1], fits[0][1]), largest(y))
    effect = cleared(fits[1][1] - fits[0][1], largest(y))
    sign, total = 2 * d - 1, among.sum()
    value = float(among @ effect + (found * sign) @ residual) / total
    influence = (among * (effect - value) + found * sign * residual) / among.mean()
    slope = np.where(d == 1, *_slopes(e, estimand))
    influence += scores.influence(slope * sign * residual / total, d)
    for arm, (fit, predicted) in fits.items():
        gradient = (2 * arm - 1) * (among - np.where(d == arm, found, 0)) / total
        influence += _coefficients(units, fit, predicted, arm, gradient)
    return _estimate(value, influence, units, estimand, "AIPW", level)


def implied_weights(units: Units, estimand: str = "ATE") -> Array:
    """Return the weights (N,) of outcomes in `standardise`; some may be negative.

    They sum to one in each arm, and balance the confounders exactly (Chattopadhyay and Zubizarreta 2022).
    """
    among = target(units.treatment, estimand)
    found = np.empty(len(units))
    for arm in (1, 0):
        own = units.treatment == arm
        fit, _ = _fitted(units, arm)
        goal = fit.standardised(units.confounders).T @ among / among.sum()
        found[own] = fit.standardised(units.confounders[own]) @ (fit.inverse @ goal)
    return found


def _slopes(e: Array, estimand: str) -> tuple[Array, Array]:
    """Return the derivatives of the weights of treated and untreated by log(e / (1 - e))."""
    odds, none = e / (1 - e), np.zeros_like(e)
    return {"ATE": (-1 / odds, odds), "ATT": (none, odds), "ATC": (-1 / odds, none)}[estimand]


def _fitted(units: Units, arm: int) -> tuple[Linear, Array]:
    """Return a regression on the units of an arm, and its prediction (N,) of all."""
    own = units.treatment == arm
    fit = Linear().fit(units.confounders[own], units.outcome[own])
    return fit, fit.predict(units.confounders)


def _coefficients(units: Units, fit: Linear, predicted: Array, arm: int, gradient: Array) -> Array:
    """Return what estimating a regression adds to the influence (N,) of an estimate.

    Args:
        units: N units.
        fit: a regression on the units of an arm.
        predicted: (N,), its predictions.
        arm: 0 or 1.
        gradient: (N,), derivative of the estimate by each unit's prediction.
    """
    z = fit.standardised(units.confounders)
    direction = fit.inverse @ (z.T @ gradient)
    residual = cleared(units.outcome - predicted, largest(units.outcome))
    return len(units) * (z @ direction) * (units.treatment == arm) * residual


def _estimate(value: float, influence: Array, units: Units, estimand: str, method: str, level: float) -> Estimate:
    return estimate(
        value, influence, estimand=estimand, method=method, level=level, clusters=units.clusters, lost=0,
        degrees=None if units.clusters is not None else float("inf"),
    )  # fmt: skip
