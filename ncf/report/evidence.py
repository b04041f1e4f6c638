"""What stands beside the verdicts: the effect over other users too, and what the design could and did see."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ncf.report.study import Study
from ncf.stats.intervals import Interval
from ncf.study import ComparisonPlan
from ncf.study.verdict import JudgedComparison


@dataclass(frozen=True)
class Detectable:
    """The smallest relative changes that the comparisons at a ratio see with the registered power, least and most.

    Attributes:
        seeds: how many are registered.
        planned: at the upper limit of the pilot's spread.
        hoped: if the pilot's spread were known.
        observed: at the spread of the runs; None where no comparison has all of them.
    """

    seeds: int
    planned: tuple[float, float]
    hoped: tuple[float, float]
    observed: tuple[float, float] | None


def designed(study: Study) -> list[tuple[ComparisonPlan, JudgedComparison]]:
    """Each registered comparison with what its design can show and what came of it."""
    judged = [one for v in study.verdicts for one in v.comparisons]
    return [(plan, one) for (_, plan), one in zip(study.plans, judged, strict=True)]


def observed(judged: JudgedComparison) -> float | None:
    """The smallest change that a comparison's runs could show; None where registered ones are missing."""
    return None if judged.missing else judged.detectable


def detectable(study: Study) -> dict[int, Detectable]:
    """Ratio -> what its best and its worst comparison see; only with a pilot."""
    piloted = [(plan, judged) for plan, judged in designed(study) if plan.cautious and plan.prospect]
    found = {}
    for ratio in sorted({judged.compared.ratios[0] for _, judged in piloted}):
        own = [(plan, judged) for plan, judged in piloted if judged.compared.ratios[0] == ratio]
        seen = [change for _, judged in own if (change := observed(judged)) is not None]
        found[ratio] = Detectable(
            own[0][0].seeds,
            _range([plan.cautious.detectable for plan, _ in own if plan.cautious]),
            _range([plan.prospect.detectable for plan, _ in own if plan.prospect]),
            _range(seen) if seen else None,
        )
    return found


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def over_users(study: Study, judged: JudgedComparison) -> Interval | None:
    """The relative change of a comparison with its interval over seeds and users; None where the tables lack it."""
    c = judged.compared
    return _two_level(study).get((c.claim.treatment, c.claim.baseline, c.metric, c.ratios))


def population(study: Study) -> tuple[int, int]:
    """How many comparisons have an interval over seeds and users that includes no change, and how many have one."""
    found = _two_level(study)
    ends = [found[key].ends for key in study.comparisons() if key in found]
    return sum(low <= 0 <= high for low, high in filter(None, ends)), len(ends)


def users_method(study: Study) -> str:
    """How the intervals over seeds and users were made: "crossed t", or "bootstrap" by versions that did not say.

    Empty where there are none.
    """
    table = _users(study)
    if table.empty:
        return ""
    return str(table["method"].iloc[0]) if "method" in table.columns else "bootstrap"


def _users(study: Study) -> pd.DataFrame:
    return study.companions.get("users", pd.DataFrame())


def _two_level(study: Study) -> dict[tuple[str, str, str, tuple[int, ...]], Interval]:
    """(treatment, baseline, metric, ratios) -> relative change over seeds and users."""
    level, method = study.registration.interval_level, users_method(study)
    return {
        (row["treatment"], row["baseline"], row["metric"], (int(row["neg_ratio"]),)): Interval(
            row["change"], row["change_low"], row["change_high"], level, method
        )
        for row in _users(study).to_dict("records")
    }
