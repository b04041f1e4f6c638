"""What an analysis of an experiment found, for people and for programs."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ncf.core.formats import plain
from ncf.online.bayes import Posterior
from ncf.online.days import ByDay, Day
from ncf.online.health import Check
from ncf.online.means import Effect
from ncf.online.plan import Plan, Settings
from ncf.online.sequential import Outcome
from ncf.stats.findings import Finding


@dataclass(frozen=True)
class Segment:
    """The effect among the units of one value of a column.

    Attributes:
        column: by which the units were divided.
        value: of the column.
        n: units.
        control: mean, or ratio, of the control.
        effect: treatment - control.
        low: lower end of its interval, not corrected.
        high: upper end.
        p_adjusted: two-sided, by Holm over the values of the column.
        p_differs: that the effect is the same for all values of the column (Cochran's Q).
    """

    column: str
    value: str
    n: int
    control: float
    effect: float
    low: float
    high: float
    p_adjusted: float
    p_differs: float


@dataclass(frozen=True, eq=False)
class Looks:
    """A group-sequential test, so far.

    Attributes:
        planned: days, or units, after which the data were to be looked at.
        bounds: (K,) of |z|; None at a look that can never stop.
        taken: the looks that were taken.
        z: (k,) at each of them; None where the data do not tell.
        outcome: what they say.
        level: nominal coverage of its interval; 1 - alpha of this comparison, a share of that of all treatments.
    """

    planned: tuple[int, ...]
    bounds: tuple[float | None, ...]
    taken: tuple[int, ...]
    z: tuple[float | None, ...]
    outcome: Outcome
    level: float

    @property
    def ended(self) -> bool:
        """Whether a bound was crossed, or the last look taken."""
        return self.outcome.p is not None

    @property
    def crossed(self) -> int | None:
        """The days after which a bound was crossed, where more looks were taken later; else None."""
        before_last = self.outcome.stopped and self.outcome.look < len(self.taken)
        return self.taken[self.outcome.look - 1] if before_last else None


@dataclass(frozen=True, eq=False)
class Compared:
    """One metric of one arm against the control.

    Attributes:
        metric: as it was asked for.
        arm: the treatment.
        effect: absolute and relative, with their intervals.
        p: two-sided, that there is no effect.
        p_adjusted: corrected over all metrics and treatments.
        p_equivalent: that the effect lies outside the region; None without one.
        finding: after correction.
        alone: before it.
        posterior: of a metric of 0 and 1; None of others.
        days: by day; None without days.
        looks: of the primary metric; None where no looks were planned.
        segments: by the values of each column that was asked for.
    """

    metric: str
    arm: str
    effect: Effect
    p: float
    p_adjusted: float
    p_equivalent: float | None
    finding: Finding
    alone: Finding
    posterior: Posterior | None = None
    days: ByDay | None = None
    looks: Looks | None = None
    segments: tuple[Segment, ...] = ()

    @property
    def ends(self) -> tuple[float, float]:
        """The interval of the absolute effect: that of the looks, where looks were planned."""
        if self.looks is not None:
            return self.looks.outcome.low, self.looks.outcome.high
        return self.effect.absolute.low, self.effect.absolute.high

    @property
    def shown_p(self) -> float | None:
        """`p`; None while planned looks go on, as a test that has not ended has none."""
        return None if self.looks is not None and not self.looks.ended else self.p

    @property
    def shown_p_adjusted(self) -> float | None:
        """`p_adjusted`; None likewise."""
        return None if self.shown_p is None else self.p_adjusted

    def row(self) -> dict[str, Any]:
        """Return every number of the effect by name."""
        e, relative, (low, high) = self.effect, self.effect.relative, self.ends
        return {
            "metric": self.metric, "arm": self.arm, "treatment": e.treatment, "control": e.control,
            "effect": e.absolute.value, "standard_error": e.absolute.standard_error, "low": low, "high": high,
            "relative": relative.value if relative else None, "relative_low": relative.low if relative else None,
            "relative_high": relative.high if relative else None, "p": self.shown_p,
            "p_adjusted": self.shown_p_adjusted, "p_equivalent": self.p_equivalent, "finding": self.finding,
            "finding_uncorrected": self.alone, "method": e.absolute.method, "estimand": e.absolute.estimand,
            "level": e.absolute.level if self.looks is None else self.looks.level, "degrees": e.absolute.degrees,
            "n": e.absolute.n, "effective_n": e.absolute.effective_n,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class ABTest:
    """What an analysis found.

    Attributes:
        data: what was analysed.
        settings: how.
        plan: the plan that it follows; None without one.
        sizes: arm -> units, the control first.
        checks: of its health.
        compared: every metric and treatment; empty where only the health was asked for.
        warnings: what a reader has to know, one sentence each.
    """

    data: str
    settings: Settings
    plan: Plan | None
    sizes: dict[str, int]
    checks: tuple[Check, ...]
    compared: tuple[Compared, ...]
    warnings: tuple[str, ...]

    @property
    def control(self) -> str:
        """Name of the control."""
        return next(iter(self.sizes))

    def table(self) -> pd.DataFrame:
        """Return a row for each metric and treatment with every number of its effect."""
        return pd.DataFrame([one.row() for one in self.compared])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON; None for what is not a finite number."""
        return plain(
            {
                "data": self.data,
                "plan": None if self.plan is None else {"sha256": self.plan.sha256, "question": self.plan.question},
                "settings": self.settings.model_dump(),
                "control": self.control,
                "units": self.sizes,
                "health": [asdict(check) for check in self.checks],
                "effects": [_record(one) for one in self.compared],
                "warnings": list(self.warnings),
            }
        )


def _record(one: Compared) -> dict[str, Any]:
    return one.row() | {
        "details": one.effect.absolute.details,
        "posterior": None if one.posterior is None else asdict(one.posterior),
        "looks": None if one.looks is None else {
            "planned": one.looks.planned, "bounds": one.looks.bounds, "taken": one.looks.taken, "z": one.looks.z,
            "ended": one.looks.ended, **asdict(one.looks.outcome),
        },
        "by_day": None if one.days is None else {
            "daily": [_day(day, one) for day in one.days.daily],
            "running": [_day(day, one) for day in one.days.running],
            "slope": one.days.slope, "slope_error": one.days.slope_error, "p_slope": one.days.p,
        },
        "segments": [asdict(segment) for segment in one.segments],
    }  # fmt: skip


def _day(day: Day, one: Compared) -> dict[str, Any]:
    low, high = day.ends(one.effect.absolute.level)
    return asdict(day) | {"low": low, "high": high}
