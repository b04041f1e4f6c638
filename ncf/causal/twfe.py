"""Two-way fixed effects: one effect for all units and periods, and its event study; errors clustered by unit."""

from dataclasses import dataclass

import numpy as np

from ncf.causal.bands import sup_t
from ncf.causal.linear import cleared, largest
from ncf.causal.panel import Panel, TwoWay
from ncf.stats.checks import Array, StatisticsError, whole
from ncf.stats.estimate import Estimate, estimate

STAGGERED = (
    "units were treated at different times: where effects differ or grow, two-way fixed effects weigh them oddly, some "
    "of them negatively; see the shares of the decomposition, and group_time or imputation"
)
FEW_UNITS = 20
_WHO_NOT_WHEN = (
    ": it has to begin in some units while others are untreated; a column that is the same in all periods of a unit "
    "says who, not since when"
)


@dataclass(frozen=True, eq=False)
class EventStudy:
    """Effects by time since treatment.

    Attributes:
        times: (K,), periods since the first treated one; negative before it.
        estimates: K of them.
        critical: what standard errors are multiplied by so that the K intervals cover together.
        reference: the time whose effect is 0 by construction; None if there is none.
    """

    times: Array
    estimates: list[Estimate]
    critical: float
    reference: int | None

    @property
    def bands(self) -> list[tuple[float, float]]:
        """The simultaneous intervals."""
        return [(e.value - self.critical * e.standard_error, e.value + self.critical * e.standard_error)
                for e in self.estimates]  # fmt: skip


def twfe(panel: Panel, *, level: float = 0.95) -> Estimate:
    """Return the coefficient of treatment beside effects of units and of periods.

    By the within transformation: treatment and outcome less the effects of units and periods, one regressed on the
    other. Errors are clustered by unit, CR1 with the period effects counted among the parameters and the unit effects,
    nested in the clusters, not (as pyfixest and fixest do); t with N - 1 degrees of freedom.

    Raises StatisticsError if treatment is explained by units and periods alone, or for a level out of range.
    """
    left = TwoWay(panel.weights).residuals(np.stack([panel.treated.astype(float), panel.outcome], -1))
    values, influence = _regressed(panel, left[..., :1], left[..., 1], ["treatment"])
    found = estimate(
        float(values[0]), influence[:, 0], estimand="weighted average of effects", method="TWFE", level=level
    )
    notes = [STAGGERED] if len(np.unique(panel.first[panel.first < len(panel.periods)])) > 1 else []
    return found.noting(*notes, *_few(panel, staggered=bool(notes)))


def _few(panel: Panel, staggered: bool) -> list[str]:
    """Return a warning if few units change, or if those who do have few others, or all at once, to be held against."""
    changing = int((panel.treated.any(1) & (panel.observed & ~panel.treated).any(1)).sum())
    rest = len(panel.units) - changing
    for count, what in ((changing, "treated"), (rest, "comparison")):
        if count == 1 and (what == "treated" or not staggered):
            return [f"one {what} unit: clustered errors mean nothing; judge by the randomisation p"]
    if min(changing, len(panel.units) if staggered else rest) < FEW_UNITS:
        return [f"{changing} treated of {len(panel.units)} units: clustered errors need about {FEW_UNITS} of each"]
    return []


def event_study(
    panel: Panel, *, reference: int = -1, level: float = 0.95, draws: int = 999, rng: np.random.Generator
) -> EventStudy:
    """Return the coefficients of all times since treatment but `reference`, beside effects of units and periods.

    Bands are simultaneous, by the largest |t| of `draws` multiplier draws over units (Montiel Olea and Plagborg-Moller
    2019). With staggered treatment and effects that differ, coefficients of one time take in those of others (Sun and
    Abraham 2021): compare `group_time`.

    Raises StatisticsError if treatment switches off, the reference does not occur, or as `twfe`.
    """
    refuse_switching_off(panel)
    since = np.arange(len(panel.periods)) - panel.first[:, None]
    ever = (panel.first < len(panel.periods))[:, None] & panel.observed
    times = np.unique(since[ever])
    if reference not in times:
        raise StatisticsError(
            f"reference: expected a time that occurs, {times.min()} to {times.max()}, got {reference}"
        )
    times = times[times != reference]
    columns = (since[..., None] == times) & ever[..., None]
    left = TwoWay(panel.weights).residuals(np.concatenate([columns.astype(float), panel.outcome[..., None]], -1))
    names = [f"time {time:+d}" for time in times]
    values, influence = _regressed(panel, left[..., :-1], left[..., -1], names)
    found = [
        estimate(float(value), own, estimand="ATT", method=f"TWFE {name}", level=level)
        for value, own, name in zip(values, influence.T, names, strict=True)
    ]
    return EventStudy(times, found, sup_t(influence, level=level, draws=draws, rng=rng), reference)


def placebo(panel: Panel, *, ahead: int = 1, level: float = 0.95) -> Estimate:
    """Return the effect of a treatment that never was: the true groups, `ahead` periods before the true one began.

    Observations under the true treatment are left out. It is near 0 if the groups moved alike before.

    Raises StatisticsError if treatment switches off, or no unit has `ahead` untreated periods and one more.
    """
    refuse_switching_off(panel)
    ahead = whole(ahead, "ahead", 1)
    never = len(panel.periods)
    early = np.where(panel.first < never, np.maximum(panel.first - ahead, 0), never)
    kept = panel.starting(early).keeping(~panel.treated)
    both = kept.treated.any(1) & (kept.observed & ~kept.treated).any(1)
    if not both.any():
        raise StatisticsError(f"placebo: expected units with more than {ahead} periods before treatment, found none")
    return twfe(kept, level=level)


def refuse_switching_off(panel: Panel) -> None:
    """Raise StatisticsError if a unit's treatment ends, naming the unit."""
    after = (np.arange(len(panel.periods)) >= panel.first[:, None]) & panel.observed
    wrong = (panel.treated != after).any(1)
    if wrong.any():
        raise StatisticsError(
            f"treatment: expected one that stays on, but it ends for {panel.units[wrong][0]}; see that periods sort in "
            "time (as text, w10 comes before w2); for treatment that does end, ask for estimators=twfe alone"
        )


def _regressed(panel: Panel, x: Array, y: Array, names: list[str]) -> tuple[Array, Array]:
    """Return the coefficients (K,) of y (N, T) on x (N, T, K), and the influence of units (N, K)."""
    w, n = panel.weights, len(panel.units)
    cross = np.einsum("it,itk,itl->kl", w, x, x)
    scale = np.sqrt(np.diag(cross))
    raw = np.sqrt(w.sum())
    if (scale < 1e-9 * raw).any() or np.linalg.matrix_rank(cross / np.outer(scale, scale), tol=1e-9) < len(names):
        weak = names[int(np.argmin(scale))]
        advice = _WHO_NOT_WHEN if names == ["treatment"] else "; units that are never treated would tell them apart"
        raise StatisticsError(f"{weak}: expected something that units and periods alone do not explain{advice}")
    values = np.linalg.solve(cross, np.einsum("it,itk,it->k", w, x, y))
    rest = cleared(y - x @ values, largest(y))
    scores = cleared(*(np.einsum("it,itk,it->ik", w, a, b) for a, b in ((x, rest), (np.abs(x), np.abs(rest)))))
    count, parameters = int(panel.observed.sum()), len(names) + len(panel.periods)
    adjusted = np.sqrt((count - 1) / (count - parameters))
    return values, np.asarray(n * adjusted * scores @ np.linalg.inv(cross))
