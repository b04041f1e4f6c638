"""What stands beside the verdicts: the effect over other users too, and what the design could and did see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from ncf.report.study import Study
from ncf.stats.crossed import Mean
from ncf.stats.intervals import Interval
from ncf.study import ComparisonPlan
from ncf.study.verdict import JudgedComparison

_Key = tuple[str, str, str, tuple[int, ...]]


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
    """The relative change of a comparison with its interval over seeds and users; None where the tables lack it.

    Where these are from a bootstrap (see `users_method`), the widest that the exact one can be.
    """
    c = judged.compared
    found = _two_level(study).get((c.claim.treatment, c.claim.baseline, c.metric, c.ratios))
    return found[1] if found else None


def population(study: Study) -> tuple[int, int, int]:
    """How many intervals over seeds and users include no change, at least and at most, and how many there are."""
    known = _two_level(study)
    found = [known[key] for key in study.comparisons() if key in known]
    widest, narrowest = (sum(one[side].low <= 0 <= one[side].high for one in found) for side in (1, 0))
    return narrowest, widest, len(found)


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


def _two_level(study: Study) -> dict[_Key, tuple[Interval, Interval]]:
    """(treatment, baseline, metric, ratios) -> relative change over seeds and users, with its narrowest and widest
    interval: the same where the ranks were at hand.
    """
    if "two_level" not in study.worked_out:
        study.worked_out["two_level"] = _intervals_of_users(study)
    known: dict[_Key, tuple[Interval, Interval]] = study.worked_out["two_level"]
    return known


def _intervals_of_users(study: Study) -> dict[_Key, tuple[Interval, Interval]]:
    level, method = study.registration.interval_level, users_method(study)
    found: dict[_Key, tuple[Interval, Interval]] = {}
    for row in _users(study).to_dict("records"):
        key = (row["treatment"], row["baseline"], row["metric"], (int(row["neg_ratio"]),))
        whole = Interval(row["change"], row["change_low"], row["change_high"], level, method)
        found[key] = (method == "bootstrap" and _limits(study, row, whole)) or (whole, whole)
    return found


def _limits(study: Study, row: dict[str, Any], drawn: Interval) -> tuple[Interval, Interval] | None:
    """The narrowest and widest that the crossed interval can be, from a bootstrap that drew seeds and users anew.

    The variance of that bootstrap is A / S + B / U + C / (S U), where A, B and C are the variances over S seeds, over U
    users, and of what is left (Owen 2007). A is known from the runs. In the crossed one the part of the users is B / U
    less about C / (S U), so between none and all of what A leaves.

    None if the runs are not those that it was made from.
    """
    arms = [study.registration.arms[row[side]] for side in ("treatment", "baseline")]
    t, b = study.values(arms[0], int(row["neg_ratio"]), row["metric"]).align(
        study.values(arms[1], int(row["neg_ratio"]), row["metric"]), join="inner"
    )
    if len(t) != row["seeds"] or len(t) < 2:
        return None
    of_seeds = float(((t - t.mean() / b.mean() * b) / b.mean()).var()) / len(t)
    half = (drawn.high - drawn.low) / 2 / stats.norm.isf((1 - drawn.level) / 2)
    of_users = max(half**2 - of_seeds * (len(t) - 1) / len(t), 0.0)
    narrowest, widest = (
        Interval(drawn.estimate, *Mean(drawn.estimate, of_seeds, part, len(t), int(row["users"])).ends(drawn.level),
                 drawn.level, drawn.method)
        for part in (0.0, of_users)
    )  # fmt: skip
    return narrowest, widest
