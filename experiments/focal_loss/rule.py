"""What the registered decision rule said, and what it would say whatever the truth."""

from pathlib import Path

from ncf.report.kit.naming import percent
from ncf.report.kit.section import Cells, Facts, Listing, Section
from ncf.report.study import NotRunError, Study
from ncf.stats import StatisticsError
from ncf.study.outcomes import Chances, chances, from_runs
from ncf.study.verdict import JudgedComparison

STATUSES = ("holds", "fails", "refuted", "undecided")
FAILED = ("worse", "equivalent")
"""Findings of one comparison for which the registered rule calls its hypothesis refuted."""


def outcomes(study: Study) -> Cells:
    """Chances of what the page says of each hypothesis, by true effect."""
    found = _simulated(study)
    if not found:
        raise NotRunError("no hypothesis has three registered seeds in each of its arms")
    rows = [
        [c.hypothesis, f"{c.effect:+.0%}" if c.effect else "none", *(percent(c.statuses[kind]) for kind in STATUSES)]
        for c in found
    ]
    facts = {"draws": found[0].draws, "error": max(c.error for c in found)}
    return Cells(["", "true change in each comparison", *STATUSES], rows, facts)


def said(study: Study) -> Facts:
    """What the registered rule called refuted, and how often it would do so without any effect."""
    judged = [one for v in study.verdicts for one in v.comparisons]
    refuted = [v.hypothesis for v in study.verdicts if any(registered(study, one) in FAILED for one in v.comparisons)]
    null = [c for c in _simulated(study) if c.effect == 0 and c.hypothesis in refuted]
    return {
        "refuted": refuted,
        "undecided": sum(one.finding == "undecided" for one in judged),
        "total": len(judged),
        "moved": sum(registered(study, one) != one.finding for one in judged),
        "anyway": [(c.hypothesis, c.statuses["fails"] + c.statuses["refuted"]) for c in null],
        "error": max((c.error for c in null), default=0.0),
    }


def registered(study: Study, judged: JudgedComparison) -> str:
    """The finding by the registered rule: the effect before the region, in the direction of the mean."""
    if judged.result is None or judged.missing:
        return judged.finding
    if judged.p <= study.registration.alpha:
        return "better" if judged.result.treatment_mean > judged.result.baseline_mean else "worse"
    return "equivalent" if judged.p_equivalent <= study.registration.alpha else "undecided"


def _simulated(study: Study) -> list[Chances]:
    """Chances with the spread of the finished runs; empty where they are too few."""
    try:
        return chances(study.registration, from_runs(study.registration, study.runs))
    except StatisticsError:
        return []


SECTION = Section(
    "What the rule would say anyway",
    Path(__file__).with_suffix(".j2"),
    (Listing("outcomes", "What this page would say, by true effect", outcomes),),
    readme=said,
)
