"""Effects by imputation: how the treated differ from what unit and period effects say of the untreated."""

import numpy as np

from ncf.causal.linear import cleared, largest
from ncf.causal.panel import Panel, TwoWay
from ncf.causal.twfe import refuse_switching_off
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.estimate import Estimate, estimate


def imputation(panel: Panel, *, level: float = 0.95) -> Estimate:
    """Return the mean effect over all treated observations (Borusyak, Jaravel and Spiess 2024).

    Efficient if effects of units and periods are all that there is without treatment. Errors are clustered by unit and
    conservative: the deviations of treated observations are taken from the mean effect of their cohort in their period
    (their equation 8), so that effects which differ within it widen the interval.

    Raises:
        StatisticsError: treatment ends; a unit or a period has no untreated observation, or periods that are linked by
            no untreated unit; or a level out of range.
    """
    refuse_switching_off(panel)
    fitted = np.where(panel.treated, 0.0, panel.weights)
    for what, seen, names in (("unit", fitted.any(1), panel.units), ("period", fitted.any(0), panel.periods)):
        if not seen.all():
            raise StatisticsError(
                f"imputation: expected untreated observations of every {what}, found none of {names[~seen][0]}; "
                f"leave out every such {what}, or ask for other estimators"
            )
    effects = TwoWay(fitted)
    _refuse_unlinked(panel, effects.parts)
    gaps = effects.residuals(panel.outcome)
    aim = np.where(panel.treated, panel.weights, 0.0)
    aim = aim / aim.sum()
    value = float((aim * gaps).sum())
    pull = aim - effects.dual(aim.sum(1), aim.sum(0))
    deviations = cleared(gaps - _typical(panel, gaps, aim), largest(panel.outcome))
    rest = np.where(panel.observed, deviations, 0.0)
    influence = len(panel.units) * cleared((pull * rest).sum(1), np.abs(pull * rest).sum(1))
    return estimate(value, influence, estimand="ATT", method="imputation", level=level, lost=0, degrees=float("inf"))


def _refuse_unlinked(panel: Panel, parts: Array) -> None:
    """Raise StatisticsError for a treated observation in a period that its unit's untreated ones say nothing about."""
    if not parts.any():
        return
    where = [np.unique(parts[row]) for row in panel.observed & ~panel.treated]
    for unit, (own, treated) in enumerate(zip(where, panel.treated, strict=True)):
        if (out := np.flatnonzero(treated & ~np.isin(parts, own))).size:
            raise StatisticsError(
                f"imputation: expected untreated units that link period {panel.periods[out[0]]} to the untreated "
                f"periods of unit {panel.units[unit]}, found none"
            )


def _typical(panel: Panel, gaps: Array, aim: Array) -> Array:
    """Return the mean effect (N, T) of each treated observation's cohort in its period, weighted; 0 for others."""
    groups, member = np.unique(panel.first, return_inverse=True)
    sums, totals = (np.zeros((len(groups), len(panel.periods))) for _ in range(2))
    np.add.at(sums, member, aim * gaps)
    np.add.at(totals, member, aim)
    means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    return np.where(panel.treated, means[member], 0.0)
