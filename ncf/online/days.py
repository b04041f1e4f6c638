"""An experiment day by day: the effect of each day, whether it grows or wears off, and the effect up to each day."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.online.arms import gap
from ncf.online.health import Check, p_text
from ncf.online.units import Log, Rows
from ncf.stats.checks import Array, StatisticsError

NOVELTY = 0.01
"""p of the trend of the daily effect below which it is called a novelty (or learning) effect."""


@dataclass(frozen=True)
class Day:
    """The effect of one day, or up to one.

    Attributes:
        day: days since the first.
        label: as the data write it.
        control: mean, or ratio, of the control.
        effect: treatment - control.
        error: its standard error; 0 where nothing varies.
        n: units that had come in by then.
    """

    day: int
    label: str
    control: float
    effect: float
    error: float
    n: int

    def ends(self, level: float) -> tuple[float, float]:
        """Return the normal interval of this day alone."""
        half = float(stats.norm.isf((1 - level) / 2)) * self.error
        return self.effect - half, self.effect + half


@dataclass(frozen=True)
class ByDay:
    """An experiment by day.

    Attributes:
        daily: the effect of each day on the units that had come in.
        running: the effect up to each day.
        slope: change of the daily effect a day, by least squares, whose error counts that the days share units.
        slope_error: its standard error.
        p: two-sided, of no trend; None with fewer than 3 days.
    """

    daily: tuple[Day, ...]
    running: tuple[Day, ...]
    slope: float
    slope_error: float
    p: float | None

    def check(self, metric: str) -> Check | None:
        """Return the novelty check; None with fewer than 3 days."""
        if self.p is None:
            return None
        details = {"slope": self.slope, "slope_error": self.slope_error, "p": self.p}
        if self.p < NOVELTY:
            mean = float(np.mean([day.effect for day in self.daily]))
            word = "wears off (novelty)" if mean * self.slope < 0 else "grows (learning, or a reaction that spreads)"
            says = (f"the effect on {metric} {word}: {self.slope:+.3g} a day (p {p_text(self.p)}); its mean over "
                    "these days is not what would last")  # fmt: skip
            return Check(f"{metric} by day", "warning", says, details)
        return Check(
            f"{metric} by day", "ok", f"no trend of the effect on {metric} by day (p {p_text(self.p)})", details
        )


def by_day(
    log: Log, arm: Array, treatment: int, numerator: str, denominator: str | None = None, rows: Rows = "sum",
    clusters: Array | None = None,
) -> ByDay:  # fmt: skip
    """Return the effect of one arm by day.

    Args:
        log: rows with their day.
        arm: (N,), of each unit, 0 for the control.
        treatment: the arm that is compared with it.
        numerator: column of the metric.
        denominator: of a ratio metric.
        rows: how the rows of a unit are put together.
        clusters: (N,), codes of the clusters that were randomised as a whole; None: units were.

    Raises StatisticsError if an arm has fewer than two units on every day.
    """
    arms = _Arms(arm, treatment, clusters)
    days = sorted(log.labels)
    centred = np.array(days, np.float64) - np.mean(days)
    weights = centred / (centred @ centred) if len(days) > 1 else np.zeros(len(days))
    daily, running, pulls = [], [], np.zeros(arms.n)
    for weight, day, step in zip(weights, days, _steps(log, arms, numerator, denominator, rows), strict=True):
        found = arms.compared(step.today, step.here, day, log.labels[day], weight, pulls)
        total = arms.compared(step.so_far, step.entered, day, log.labels[day])
        daily += [found] if found else []
        running += [total] if total else []
    if not running:
        raise StatisticsError("days: expected two units of each arm on one day at least")
    if len(daily) < len(days) or len(days) < 3:
        return ByDay(tuple(daily), tuple(running), 0.0, 0.0, None)
    slope = float(weights @ np.array([day.effect for day in daily]))
    own = pulls if arms.clusters is None else np.bincount(arms.clusters, pulls)
    error = float(np.sqrt(own @ own))
    p = float(2 * stats.norm.sf(abs(slope) / error)) if error > 0 else 1.0
    return ByDay(tuple(daily), tuple(running), slope, error, p)


Values = tuple[Array, Array | None]
"""Numerator (n,), and denominator (n,) of a ratio."""


@dataclass(frozen=True, eq=False)
class _Step:
    """The values of a day and of all days so far, and which units they are of; None where they are of all."""

    today: Values
    so_far: Values
    here: Array | None
    entered: Array | None


class _Arms:
    """The units of two arms in an order of their own, the control's first, so that an arm is a slice."""

    def __init__(self, arm: Array, treatment: int, clusters: Array | None) -> None:
        order = np.concatenate([np.flatnonzero(arm == 0), np.flatnonzero(arm == treatment)])
        self.n, first = len(order), int((arm == 0).sum())
        self.place = np.full(len(arm), -1, np.int32)
        self.place[order] = np.arange(self.n, dtype=np.int32)
        self.all = self.n == len(arm)
        self.clusters = None if clusters is None else clusters[order]
        self._slices = (slice(0, first), slice(first, self.n))

    def compared(
        self, values: Values, entered: Array | None, day: int, label: str, weight: float = 0.0,
        pulls: Array | None = None,
    ) -> Day | None:  # fmt: skip
        """Return the effect among the units that have entered, None where an arm has fewer than two of them.

        To `pulls` (n,) is added `weight` times the influence of each unit on the effect.
        """
        rates, variance, total = [], 0.0, 0
        for arm in self._slices:
            own = None if entered is None else entered[arm]
            found = _rate(values[0][arm], None if values[1] is None else values[1][arm], own)
            if found is None:
                return None
            rate, pull, n = found
            whole = pull / n
            summed = whole if self.clusters is None else np.bincount(self.clusters[arm], whole)
            groups = n if self.clusters is None else len(np.unique(self.clusters[arm]))
            if groups < 2:
                return None
            if pulls is not None:
                pulls[arm] += weight * whole
            variance += float(summed @ summed) * groups / (groups - 1)
            rates.append(rate)
            total += n
        return Day(day, label, rates[0], gap(rates[1], rates[0]), float(np.sqrt(variance)), total)


def _rate(top: Array, bottom: Array | None, entered: Array | None) -> tuple[float, Array, int] | None:
    """Return an arm's mean or ratio, the pull (n,) of its units, 0 of those not there, and how many are there."""
    n = len(top) if entered is None else int(entered.sum())
    if n < 2:
        return None
    if bottom is None:
        rate = float(top.sum()) / n
        pull = top - rate
    else:
        under = float(bottom.sum())
        if not under:
            return None
        rate = float(top.sum()) / under
        pull = (top - rate * bottom) * (n / under)
    if entered is not None:
        pull[~entered] = 0.0
    return rate, pull, n


def _steps(log: Log, arms: _Arms, numerator: str, denominator: str | None, rows: Rows) -> Iterator[_Step]:
    """Yield the values of each day."""
    columns = [column for column in (numerator, denominator) if column]
    sums = {column: np.zeros(arms.n) for column in columns}
    counts, entered, everyone = np.zeros(arms.n), np.zeros(arms.n, bool), False
    for own in log.by_day():
        units = arms.place[log.unit[own]]
        kept = slice(None) if arms.all else units >= 0
        units = units[kept]
        seen = np.bincount(units, minlength=arms.n)
        here = seen > 0
        everyone = everyone or bool((entered := entered | here).all())
        today = {column: _added(units, log.values[column][own][kept], arms.n, rows) for column in columns}
        for column, values in today.items():
            (np.maximum if rows == "max" else np.add)(sums[column], values, out=sums[column])
        so_far = sums
        if rows == "mean":
            counts += seen
            today = {column: values / np.maximum(seen, 1) for column, values in today.items()}
            so_far = {column: values / np.maximum(counts, 1) for column, values in sums.items()}
        alone = rows in ("mean", "one")  # of the units that are there today; a sum or maximum of the others is 0
        others = None if everyone else entered
        yield _Step(_pair(today, columns), _pair(so_far, columns), here if alone else others, others)


def _added(units: Array, values: Array, n: int, rows: Rows) -> Array:
    if rows != "max":
        return np.bincount(units, values, n)
    found = np.zeros(n)  # of a unit that is not there today
    np.maximum.at(found, units, values.astype(np.float64))
    return found


def _pair(values: dict[str, Array], columns: list[str]) -> Values:
    return values[columns[0]], values[columns[1]] if len(columns) > 1 else None
