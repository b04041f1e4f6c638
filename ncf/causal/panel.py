"""Panels: an outcome of N units in T periods, who was treated when, and what unit and period effects leave of it."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from ncf.causal.linear import cleared
from ncf.data.frame import binary, numbers
from ncf.errors import DataError
from ncf.stats.checks import Array, StatisticsError

_SORTED = re.compile(r"\d{4}(-?(\d\d?|[QWqw]\d\d?)([-T :.]?\d+)*(Z|[+-]\d\d:?\d\d)?)?")  # as text, the year first


@dataclass(frozen=True, eq=False)
class Panel:
    """N units in T periods.

    Attributes:
        outcome: (N, T) float64; 0 where not observed.
        treated: (N, T) bool; false where not observed.
        weights: (N, T) float64, by which observations count; 0 where not observed.
        units: (N,), their names.
        periods: (T,), their names in order.
    """

    outcome: Array
    treated: Array
    weights: Array
    units: Array
    periods: Array

    @property
    def observed(self) -> Array:
        """Whether a unit was observed in a period, (N, T)."""
        return self.weights > 0

    @property
    def balanced(self) -> bool:
        """Whether every unit was observed in every period."""
        return bool(self.observed.all())

    @cached_property
    def first(self) -> Array:
        """The position (N,) of the first treated period of each unit, T if it never was."""
        return np.where(self.treated.any(1), self.treated.argmax(1), len(self.periods))

    @property
    def absorbing(self) -> bool:
        """Whether a unit that is treated remains so."""
        after = np.arange(len(self.periods)) >= self.first[:, None]
        return bool((self.treated == (after & self.observed)).all())

    @property
    def cohorts(self) -> Array:
        """The positions (G,) of first treated periods of units that were treated, but not from the start."""
        ever = self.first[(self.first > 0) & (self.first < len(self.periods))]
        return np.unique(ever)

    def starting(self, first: Array) -> "Panel":
        """Return the panel with other first treated periods (N,), T for never."""
        after = np.arange(len(self.periods)) >= np.asarray(first)[:, None]
        return Panel(self.outcome, after & self.observed, self.weights, self.units, self.periods)

    def keeping(self, kept: Array) -> "Panel":
        """Return the panel with only the observations `kept` (N, T), without units or periods that have none."""
        weights = np.where(kept, self.weights, 0.0)
        rows, columns = weights.any(1), weights.any(0)
        cut = np.ix_(rows, columns)
        seen = weights[cut] > 0
        return Panel(
            np.where(seen, self.outcome[cut], 0.0), self.treated[cut] & seen, weights[cut], self.units[rows],
            self.periods[columns],
        )  # fmt: skip


def panel(
    frame: pd.DataFrame, *, unit: str, time: str, treated: str, outcome: str, weights: str | None = None,
    label: str = "data",
) -> Panel:  # fmt: skip
    """Return the panel of a frame with a row for each unit and period, which may lack some.

    Args:
        frame: without missing values.
        unit: column with the unit.
        time: column with the period: numbers, dates, or text that sorts by time, such as 2024-01-31 or 2024-Q1.
        treated: column of 0 and 1.
        outcome: column of numbers.
        weights: column of positive numbers by which rows count; None: all alike.
        label: what errors call the frame.

    Raises:
        DataError: a unit twice in a period, periods that are text in no order of time, a value of the wrong kind, fewer
            than two units or periods, nobody treated, or no observation that is not treated.
    """
    rows, units = pd.factorize(frame[unit])
    columns, periods = pd.factorize(frame[time], sort=True)
    _refuse_unordered(periods, time, label)
    if len(units) < 2 or len(periods) < 2:
        raise DataError(f"{label}: expected two units and two periods or more, found {len(units)} and {len(periods)}")
    cell = rows * len(periods) + columns
    if len(np.unique(cell)) < len(cell):
        row = int(np.flatnonzero(pd.Series(cell).duplicated())[0])
        raise DataError(
            f"{label}, row {row + 1}: expected each {unit} once a {time}, found {frame[unit].iloc[row]} in "
            f"{frame[time].iloc[row]} again"
        )
    counts = np.ones(len(frame)) if weights is None else numbers(frame, weights, label)
    if (bad := counts <= 0).any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{label}, row {row + 1}: expected {weights} above 0, found {counts[row]:g}")
    on = binary(frame, treated, label)
    if not on.any() or on.all():
        raise DataError(f"{label}: expected {treated} of 0 and of 1, found {int(on[0])} in all {len(on):,} rows")

    def matrix(values: Array) -> Any:
        filled = np.zeros((len(units), len(periods)))
        filled[rows, columns] = values
        return filled

    return Panel(matrix(numbers(frame, outcome, label)), matrix(on) > 0, matrix(counts), np.asarray(units),
                 np.asarray(periods))  # fmt: skip


def _refuse_unordered(periods: Any, time: str, label: str) -> None:
    """Raise DataError for text such as "week 10", which sorts before "week 2", or "02/01/2024"."""
    if isinstance(periods, pd.CategoricalIndex) and periods.ordered:
        return
    names = [name for name in periods if isinstance(name, str)]
    shapes = {re.sub(r"\d", "0", name) for name in names}
    if wrong := next((name for name in names if not _SORTED.fullmatch(name)), names[0] if len(shapes) > 1 else None):
        raise DataError(
            f"{label}: expected {time} as numbers, or dates such as 2024-01-31 or 2024-Q1, all of one form, found "
            f"{wrong!r:.40}: text sorts by its letters, not by time"
        )


class TwoWay:
    """Effects of units and periods, fitted by weighted least squares: exactly, by eliminating the units.

    What is left are the normal equations of the T period effects, whose matrix is a graph Laplacian: periods are linked
    by the units that were observed in both.

    Args:
        weights: (N, T), 0 where an observation takes no part in the fit.

    Raises:
        StatisticsError: a unit or a period has no observation that takes part.
    """

    def __init__(self, weights: Array) -> None:
        self._weights = weights
        self._of_unit, of_period = weights.sum(1), weights.sum(0)
        if not self._of_unit.all() or not of_period.all():
            what = "unit" if not self._of_unit.all() else "period"
            raise StatisticsError(f"two-way effects: expected an observation to fit in every {what}")
        self._shares = weights / self._of_unit[:, None]
        laplacian = np.diag(of_period) - weights.T @ self._shares
        self._inverse = np.linalg.pinv(laplacian, rcond=1e-12, hermitian=True)

    @property
    def parts(self) -> Array:
        """The part (T,) that each period belongs to, 0 where all are linked: effects compare within a part alone."""
        seen = (self._weights > 0).astype(float)
        return np.asarray(connected_components(seen.T @ seen > 0, directed=False)[1])

    def effects(self, values: Array) -> tuple[Array, Array]:
        """Return the effects of units (N,) and periods (T,), or (N, K) and (T, K) of K values (N, T, K) each."""
        return self._solve(
            np.einsum("it,it...->i...", self._weights, values), np.einsum("it,it...->t...", self._weights, values)
        )

    def residuals(self, values: Array) -> Array:
        """Return what the effects leave of `values` (N, T) or (N, T, K), also where no observation took part.

        It is 0 where it is no more than a rounding error: what is explained exactly must not look like an effect.
        """
        units, periods = self.effects(values)
        return cleared(values - units[:, None] - periods[None], np.abs(values).max((0, 1)))

    def dual(self, of_units: Array, of_periods: Array) -> Array:
        """Return the weights (N, T) on the observations that give the sum of effects with these coefficients.

        sum(coefficients x effects) = sum(dual x values), for coefficients of units (N,) and periods (T,).
        """
        units, periods = self._solve(of_units, of_periods)
        return np.asarray(self._weights * (units[:, None] + periods[None]))

    def _solve(self, of_units: Array, of_periods: Array) -> tuple[Array, Array]:
        """Solve the normal equations for right-hand sides (N, ...) and (T, ...)."""
        periods = np.tensordot(self._inverse, of_periods - np.tensordot(self._shares.T, of_units, 1), 1)
        per_unit = of_units - np.tensordot(self._weights, periods, 1)
        return (per_unit.T / self._of_unit).T, periods
