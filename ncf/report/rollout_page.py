"""The page of a staged rollout: estimates, event study with bands, and what two-way fixed effects compare."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ncf.causal.rollout import Rollout
from ncf.core.files import write_text
from ncf.report import causal_figures
from ncf.report.kit.inline import inline
from ncf.report.kit.markup import Table
from ncf.report.kit.naming import number_text, p_value
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, WIDTH


def write(found: Rollout, path: Path, outcome: str) -> None:
    """Write the page to `path`, whole or not at all. Raises FileError if it cannot be written."""
    figures = inline(FIGURES, found, path.parent)
    context = {"outcome": outcome, "figures": figures, "captions": CAPTIONS, "tables": tables(found),
               "number": number_text}  # fmt: skip
    write_text(path, Prose(found, html=True).page("rollout.html.j2", context))


def tables(found: Rollout) -> list[Table]:
    """Return estimates, placebos, the decomposition and the randomisation test, as far as there are any."""
    rows = [
        [e.method, e.estimand, number_text(e.value, 5), number_text(e.standard_error, 3),
         f"[{number_text(e.low, 5)}, {number_text(e.high, 5)}]",
         p_value(e.p())]
        for e in found.results.values()
    ]  # fmt: skip
    level = next(iter(found.results.values())).level
    made = [Table("Estimates", ["method", "estimand", "estimate", "error", f"{level:.0%} interval", "p"], rows,
                  "Errors are clustered by unit.")]  # fmt: skip
    if found.placebos:
        rows = [[str(ahead), number_text(e.value, 5), number_text(e.standard_error, 3), p_value(e.p())]
                for ahead, e in found.placebos.items()]  # fmt: skip
        header = ["periods ahead", "estimate", "error", "p"]
        note = "Near 0 if the groups moved alike before they were treated."
        made.append(Table("Placebo: the same groups, before their treatment", header, rows, note))
    if (parts := found.decomposition) is not None:
        rows = [[kind, f"{weight:.1%}", f"{value:.5g}"] for kind, (weight, value) in parts.shares.items()]
        made.append(Table("What two-way fixed effects compare", ["comparison", "weight", "average estimate"], rows,
                          "Goodman-Bacon (2021); the weighted estimates sum to the two-way estimate."))  # fmt: skip
    if (dealt := found.randomisation) is not None:
        which = "all there are" if dealt.exact else "drawn"
        rows = [[f"{dealt.observed:.5g}", p_value(dealt.p), f"{dealt.arrangements:,} ({which})"]]
        note = "Treatment histories dealt out to other units; the true arrangement counts among them."
        made.append(Table("Randomisation", ["effect", "p", "arrangements"], rows, note))
    return made


def events(found: Rollout) -> Figure | None:
    """Draw effects by time since treatment: intervals thick, simultaneous bands thin."""
    if not found.studies:
        return None
    table = found.events
    references = {name: study.reference for name, study in found.studies.items() if study.reference is not None}
    return causal_figures.events({name: table[table["estimator"] == name] for name in found.studies}, references)


def comparisons(found: Rollout) -> Figure | None:
    """Draw each two-by-two comparison behind two-way fixed effects: its weight and its estimate."""
    if (parts := found.decomposition) is None:
        return None
    return causal_figures.comparisons(
        pd.DataFrame({"kind": parts.kind, "weight": parts.weights, "estimate": parts.estimates})
    )


def cohorts(found: Rollout) -> Figure:
    """Draw the mean outcome of each cohort by period, with the period in which its treatment begins."""
    panel = found.panel
    groups = np.unique(panel.first)
    figure = Figure(figsize=(WIDTH, 3.6))
    ax = figure.subplots()
    at = np.arange(len(panel.periods))
    for n, first in enumerate(groups[:_MOST_COHORTS]):
        own = panel.first == first
        total = panel.weights[own].sum(0)
        sums = (panel.weights[own] * panel.outcome[own]).sum(0)
        mean = np.divide(sums, total, out=np.full(len(at), np.nan), where=total > 0)
        never = first == len(at)
        name = "never treated" if never else f"from {panel.periods[first]}"
        colour = GREY if never else COLOURS[n % len(COLOURS)]
        ax.plot(at, mean, color=colour, linewidth=1.6, label=f"{name} ({int(own.sum()):,})")
        if not never:
            ax.plot(first, mean[first], "o", color=colour, markersize=6)
    step = max(1, len(at) // 12)
    ax.set_xticks(at[::step], [str(name) for name in panel.periods[::step]])
    ax.set_xlabel("period; a dot where treatment begins")
    ax.set_ylabel("mean outcome")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


_MOST_COHORTS = 10
FIGURES = {
    "cohorts": ("How did the groups move?", cohorts),
    "events": ("What did treatment do, and when?", events),
    "comparisons": ("What do two-way fixed effects average?", comparisons),
}
CAPTIONS = {
    "cohorts": "Groups by the period in which their treatment began, with their number of units.",
    "events": "Thick: the interval of each effect. Thin: bands that cover all effects of a method together. Before "
              "treatment, those of group_time should be 0. Those of twfe too if all units were treated at once; "
              "otherwise effects that differ between groups leak into it, before treatment as well (Sun and Abraham "
              "2021). The ends rest on the few groups treated earliest or latest. Hollow: the reference of twfe.",
    "comparisons": "Each point is a difference of differences between two groups. Those against groups that are "
                   "treated already mislead if effects grow.",
}  # fmt: skip
