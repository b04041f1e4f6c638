"""An experiment day by day: the effect of each day, whether it grows or wears off, and the effect up to each day."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from ncf.online.health import Check
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
            says = (f"the effect on {metric} {word}: {self.slope:+.3g} a day (p {self.p:.1g}); its mean over "
                    "these days is not what would last")  # fmt: skip
            return Check(f"{metric} by day", "warning", says, details)
        return Check(f"{metric} by day", "ok", f"no trend of the effect on {metric} by day (p {self.p:.2g})", details)


def by_day(
    log: Log, treated: Array, chosen: Array, numerator: str, denominator: str | None = None, rows: Rows = "sum",
    clusters: Array | None = None,
) -> ByDay:  # fmt: skip
    """Return the effect by day.

    Args:
        log: rows with their day.
        treated: (N,) bool, of all units.
        chosen: (N,) bool, units of the two arms compared.
        numerator: column of the metric.
        denominator: of a ratio metric.
        rows: how the rows of a unit are put together.
        clusters: (N,), codes of the clusters that were randomised as a whole; None: units were.

    Raises StatisticsError if an arm has fewer than two units on every day.
    """
    n = len(treated)
    days = sorted(log.labels)
    centred = np.array(days, np.float64) - np.mean(days)
    weights = centred / (centred @ centred) if len(days) > 1 else np.zeros(len(days))
    daily, running, pulls = [], [], np.zeros(n)
    for weight, day, (entered, today, so_far) in zip(weights, days, _steps(log, n, numerator, denominator, rows)):
        found, influence = _compared(today, treated, chosen & entered[0], day, log.labels[day], clusters)
        total, _ = _compared(so_far, treated, chosen & entered[1], day, log.labels[day], clusters)
        if found is not None:
            daily.append(found)
            pulls += weight * influence
        if total is not None:
            running.append(total)
    if not running:
        raise StatisticsError("days: expected two units of each arm on one day at least")
    if len(daily) < len(days) or len(days) < 3:
        return ByDay(tuple(daily), tuple(running), 0.0, 0.0, None)
    slope = float(weights @ np.array([day.effect for day in daily]))
    own = pulls if clusters is None else np.bincount(clusters, pulls)
    error = float(np.sqrt(own @ own))
    p = float(2 * stats.norm.sf(abs(slope) / error)) if error > 0 else 1.0
    return ByDay(tuple(daily), tuple(running), slope, error, p)


Values = tuple[Array, Array | None]


def _steps(
    log: Log, n: int, numerator: str, denominator: str | None, rows: Rows
) -> Iterator[tuple[tuple[Array, Array], Values, Values]]:
    """Yield day by day which units count (N,), today and so far, and their values (N,), today's and those so far."""
    order = np.argsort(log.day, kind="stable")  # a radix sort of small integers
    ends = np.searchsorted(log.day[order], [*sorted(log.labels), np.iinfo(np.int16).max])
    here = np.zeros(n, bool)
    sums: dict[str, Array] = {}
    counts = np.zeros(n)
    columns = [column for column in (numerator, denominator) if column]
    for start, end in pairwise(ends):
        own = order[start:end]
        units = log.unit[own]
        seen = np.bincount(units, minlength=n)
        here = here | (seen > 0)
        counts += seen
        today: dict[str, Array] = {}
        for column in columns:
            today[column] = _added(units, log.values[column][own], n, rows)
            before = sums.get(column)
            if before is None:
                sums[column] = today[column].copy()
            elif rows == "max":
                np.maximum(before, today[column], out=before)
            else:
                before += today[column]
        if rows in ("mean", "one"):  # of the units that are there today; a sum or maximum of the others is 0
            present = seen > 0
            yield (
                (present, here),
                _pair({c: v / np.maximum(seen, 1) for c, v in today.items()}, columns),
                _pair({c: v / np.maximum(counts, 1) for c, v in sums.items()}, columns),
            )
        else:
            yield (here, here), _pair(today, columns), _pair(sums, columns)


def _added(units: Array, values: Array, n: int, rows: Rows) -> Array:
    if rows != "max":
        return np.bincount(units, values, n)
    found = np.zeros(n)  # of a unit that is not there today
    np.maximum.at(found, units, values)
    return found


def _pair(values: dict[str, Array], columns: list[str]) -> Values:
    return values[columns[0]], values[columns[1]] if len(columns) > 1 else None


def _compared(
    values: Values, treated: Array, entered: Array, day: int, label: str, clusters: Array | None
) -> tuple[Day | None, Array]:
    """Return the effect among the units that have entered, and the influence (N,) of each unit within its arm."""
    top, bottom = values
    influence = np.zeros(len(treated))
    rates, variance, total = [], 0.0, 0
    for arm in (entered & treated, entered & ~treated):
        n = int(arm.sum())
        own = top[arm]
        if n < 2 or (bottom is not None and not bottom[arm].any()):
            return None, influence
        if bottom is None:
            rate = own.mean()
            pull = own - rate
        else:
            over = bottom[arm]
            rate = own.sum() / over.sum()
            pull = (own - rate * over) / over.mean()
        rates.append(float(rate))
        own = pull if clusters is None else np.bincount(clusters[arm], pull)
        groups = n if clusters is None else int((np.bincount(clusters[arm]) > 0).sum())
        if groups < 2:
            return None, influence
        variance += float(own @ own) / n**2 * groups / (groups - 1)
        influence[arm] = pull / n
        total += n
    return Day(day, label, rates[1], rates[0] - rates[1], float(np.sqrt(variance)), total), influence
