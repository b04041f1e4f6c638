"""Effects of each group of units in each period, and averages of them: Callaway and Sant'Anna (2021)."""

from dataclasses import dataclass

import numpy as np

from ncf.causal.bands import sup_t
from ncf.causal.linear import cleared, largest
from ncf.causal.panel import Panel
from ncf.causal.twfe import EventStudy, refuse_switching_off
from ncf.stats.checks import Array, StatisticsError, one_of
from ncf.stats.estimate import Estimate, estimate

CONTROLS = ("never", "not_yet")


@dataclass(frozen=True, eq=False)
class GroupTime:
    """The effect on each cohort in each period, against units that are not treated.

    Attributes:
        cohort: (M,), position of the cohort's first treated period.
        period: (M,), position of the period.
        values: (M,), ATT(g, t); before treatment, the change from the period before, which should be 0.
        influence: (N, M), of units.
        share: (C,), share of units in each of `cohorts`.
        cohorts: (C,), positions of first treated periods, in order.
        member: (N,), position in `cohorts`, -1 for units never treated.
    """

    cohort: Array
    period: Array
    values: Array
    influence: Array
    share: Array
    cohorts: Array
    member: Array

    def average(self, *, level: float = 0.95) -> Estimate:
        """Return the effect on the treated, all their treated periods alike: the mean over treated cells by size."""
        return self._mean(self.period >= self.cohort, "group-time average", level)

    def by_time(self, *, level: float = 0.95, draws: int = 999, rng: np.random.Generator) -> EventStudy:
        """Return effects by time since treatment, averaged over cohorts by size, with simultaneous bands."""
        since = self.period - self.cohort
        return self._study(since, "group-time, time", level, draws, rng)

    def by_cohort(self, *, level: float = 0.95, draws: int = 999, rng: np.random.Generator) -> EventStudy:
        """Return the effect on each cohort, averaged over its treated periods."""
        cohort = np.where(self.period >= self.cohort, self.cohort, -1)
        return self._study(cohort, "group-time, cohort", level, draws, rng, at_least=0)

    def by_period(self, *, level: float = 0.95, draws: int = 999, rng: np.random.Generator) -> EventStudy:
        """Return the effect in each period, averaged over the cohorts treated by then, by size."""
        period = np.where(self.period >= self.cohort, self.period, -1)
        return self._study(period, "group-time, period", level, draws, rng, at_least=0)

    def _study(
        self, label: Array, method: str, level: float, draws: int, rng: np.random.Generator, at_least: int | None = None
    ) -> EventStudy:
        times = np.unique(label if at_least is None else label[label >= at_least])
        found = [self._mean(label == time, f"{method} {time:+d}", level) for time in times]
        influence = np.stack([e.influence for e in found if e.influence is not None], 1)
        return EventStudy(times, found, sup_t(influence, level=level, draws=draws, rng=rng), None)

    def _mean(self, cells: Array, method: str, level: float) -> Estimate:
        """Average cells by the share of units in their cohort; shares are estimates too, and add their influence."""
        of_cell = np.searchsorted(self.cohorts, self.cohort[cells])
        raw = self.share[of_cell]
        total, weights = raw.sum(), raw / raw.sum()
        value = float(weights @ self.values[cells])
        apart, size = self.values[cells] - value, np.abs(self.values[cells])
        sums, sizes = (np.bincount(of_cell, each, minlength=len(self.cohorts)) for each in (apart, size))
        pull = cleared(sums, sizes) / total
        own = np.where(self.member >= 0, pull[self.member], 0.0) - pull @ self.share
        influence = self.influence[:, cells] @ weights + own
        return estimate(value, influence, estimand="ATT", method=method, level=level, lost=0, degrees=float("inf"))


def group_time(panel: Panel, *, control: str = "never") -> GroupTime:
    """Return ATT(g, t): how a cohort's outcome moved since before its treatment, less how the controls' did.

    From g - 1 to t for treated periods, from t - 1 to t before (varying base period), without covariates: equations 2.6
    and 2.7 with their influence functions, section 4.1. Assumes that cohort and controls would have moved in parallel,
    and that nobody acts on a treatment to come. Units treated from the start tell nothing and are left out.

    Args:
        panel: balanced; treatment stays on.
        control: "never", units that never were treated, or "not_yet", those that are not by period t (nor by g).

    Raises:
        StatisticsError: an unbalanced or weighted panel, treatment that ends, no cohort, or no control.
    """
    one_of(control, "control", CONTROLS)
    if not panel.balanced or np.ptp(panel.weights) > 0:
        raise StatisticsError("group-time effects: expected a balanced panel without weights")
    refuse_switching_off(panel)
    kept = panel.first > 0
    first, outcome, length = panel.first[kept], panel.outcome[kept], len(panel.periods)
    cohorts = np.unique(first[first < length])
    if not len(cohorts):
        raise StatisticsError("group-time effects: expected units that were treated later than the first period")
    if control == "never" and not (first == length).any():
        raise StatisticsError("group-time effects: expected units that were never treated; control=not_yet needs none")
    cells = [_cell(first, outcome, g, t, control, length) for g in cohorts for t in range(1, length)]
    known = [cell for cell in cells if cell is not None]
    if not any(t >= g for g, t, _, _ in known):
        raise StatisticsError("group-time effects: expected controls in some treated period, found none")
    influence = np.zeros((len(panel.units), len(known)))
    influence[kept] = np.stack([psi for *_, psi in known], 1)
    member = np.where(first < length, np.searchsorted(cohorts, np.minimum(first, cohorts[-1])), -1)
    everyone = np.full(len(panel.units), -1)
    everyone[kept] = member
    g, t, values = (np.array([cell[i] for cell in known]) for i in range(3))
    share = np.bincount(member[member >= 0], minlength=len(cohorts)) / len(panel.units)
    influence *= len(panel.units) / kept.sum()
    return GroupTime(g, t, values, influence, share, cohorts, everyone)


def _cell(
    first: Array, outcome: Array, g: int, t: int, control: str, length: int
) -> tuple[int, int, float, Array] | None:
    """Return cohort, period, effect and influence (N,) of one cell; None if it has no controls."""
    base = g - 1 if t >= g else t - 1
    own = first == g
    other = first == length if control == "never" else (first > t) & (first > base) & ~own
    if not other.any():
        return None
    change = outcome[:, t] - outcome[:, base]
    here, there = change[own].mean(), change[other].mean()
    n, size = len(first), largest(outcome[:, [t, base]])
    treated, untreated = (cleared(change - mean, size) for mean in (here, there))
    psi = np.where(own, n / own.sum() * treated, 0.0) - np.where(other, n / other.sum() * untreated, 0.0)
    return int(g), t, float(cleared(here - there, size)), psi
