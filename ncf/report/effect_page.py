"""The page of an effect that nobody randomised: overlap and balance first, then estimates, then their sensitivity."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.causal.analysis import Effect
from ncf.causal.omitted import Omitted, benchmarks
from ncf.causal.propensity import overlap
from ncf.core.files import write_text
from ncf.report import causal_figures
from ncf.report.kit.inline import inline
from ncf.report.kit.markup import Table
from ncf.report.kit.naming import number_text, p_value
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, WIDTH, percent_ticks

_MOST_CONFOUNDERS = 60
_CONTOURS = 41  # points a side


def write(found: Effect, path: Path, outcome: str) -> None:
    """Write the page to `path`, whole or not at all. Raises FileError if it cannot be written."""
    figures = inline(FIGURES, found, path.parent)
    context = {"outcome": outcome, "figures": figures, "captions": CAPTIONS, "tables": tables(found),
               "number": number_text}  # fmt: skip
    write_text(path, Prose(found, html=True).page("effect.html.j2", context))


def tables(found: Effect) -> list[Table]:
    """Return estimates, sensitivity, Rosenbaum's bounds where there are pairs, and balance."""
    rows = [
        [e.method, e.estimand, number_text(e.value, 5), number_text(e.standard_error, 3),
         f"[{number_text(e.low, 5)}, {number_text(e.high, 5)}]",
         p_value(e.p()), f"{e.n:,}", f"{e.effective_n:,.0f}"]
        for e in (found.naive, *found.estimates)
    ]  # fmt: skip
    header = ["method", "estimand", "estimate", "error", f"{found.settings.level:.0%} interval", "p", "units"]
    note = "Units, effective: how many equally weighted units would tell as much, both arms together."
    made = [Table("Estimates", [*header, "effective"], rows, note)]
    made.append(Table("Sensitivity", [c.replace("_", " ") for c in found.sensitivity], _texts(found.sensitivity, 3),
                      _SENSITIVITY))  # fmt: skip
    if (rosenbaum := found.rosenbaum()) is not None:
        made.append(Table("Rosenbaum's bounds of the one-sided p, pairs without replacement",
                          ["gamma", "lowest p", "highest p"], _bounds(rosenbaum), _ROSENBAUM))  # fmt: skip
    made.append(Table("Balance", [c.replace("_", " ") for c in found.balance], _texts(found.balance, 4),
                      "Standardised by the deviations of the unadjusted arms, before and after."))  # fmt: skip
    return made


def _texts(frame: pd.DataFrame, digits: int) -> list[list[str]]:
    def text(value: Any) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else number_text(round(value, 12) + 0.0, digits)
        return str(value)

    return [[text(value) for value in row] for row in zip(*(frame[c].tolist() for c in frame), strict=True)]


def _bounds(rosenbaum: pd.DataFrame) -> list[list[str]]:
    return [[f"{gamma:g}", p_value(low), p_value(high)] for gamma, low, high in rosenbaum.to_numpy().tolist()]


def histogram(found: Effect) -> Figure:
    """Draw the scores of both arms, treated upwards, untreated downwards, as shares of their arm."""
    kept = found.all_scores[found.kept]
    trimmed = None if found.kept.all() else (float(kept.min()), float(kept.max()))
    return causal_figures.overlap(overlap(found.everyone.treatment, found.all_scores, 40), trimmed)


def love(found: Effect) -> Figure:
    """Draw |standardised mean difference| of each confounder, before and after."""
    table = found.balance
    first = table.drop_duplicates("confounder").set_index("confounder")["smd_before"].abs()
    order = first.sort_values(ascending=False).index[:_MOST_CONFOUNDERS]
    after = {
        result.name: table[table["estimator"] == result.name].set_index("confounder")["smd_after"]
        for result in found.results
    }
    return causal_figures.love(first[order], after)


def weights(found: Effect) -> Figure:
    """Draw how much of its arm's weight the largest weights hold."""
    results = found.results
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (arm, name) in zip(axes, ((1, "treated"), (0, "untreated")), strict=True):
        own = found.units.treatment == arm
        for n, result in enumerate(results):
            w = np.sort(np.abs(result.weights[own]))[::-1]
            share = np.concatenate([[0], np.cumsum(w) / w.sum()])
            x = np.linspace(0, 1, len(share))
            picked = np.unique(np.linspace(0, len(share) - 1, 201).astype(int))
            ax.plot(x[picked], share[picked], color=COLOURS[n % len(COLOURS)], linewidth=1.5,
                    linestyle=("-", "--", ":", "-.")[n % 4], label=None if arm == 0 else result.name)  # fmt: skip
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, label="all alike" if arm == 1 else None)
        ax.set_xlabel(f"{name} units, the largest weights first")
        percent_ticks(ax, "x")
        percent_ticks(ax, "y")
    axes[0].set_ylabel("share of the arm's weight")
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def estimates(found: Effect) -> Figure:
    """Draw the estimates side by side, the naive difference first."""
    rows = [found.naive, *found.estimates]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.34 * len(rows)))
    ax = figure.subplots()
    ax.axvline(0, color="black", linewidth=0.9)
    for y, e in enumerate(rows):
        colour = COLOURS[(y - 1) % len(COLOURS)] if y else GREY
        ax.plot([e.low, e.high], [y, y], color=colour, linewidth=1.8)
        ax.plot(e.value, y, "o" if y else "x", color=colour, markersize=6)
    ax.set_yticks(range(len(rows)), [f"{e.method}\n{e.estimand}" if n else e.method for n, e in enumerate(rows)])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"effect, {found.settings.level:.0%} interval")
    return figure


def contour(found: Effect) -> Figure | None:
    """Draw the effect that is left if a confounder was omitted, by its strength; None without a cross-fitted one."""
    known = [result for result in found.results if result.omitted is not None]
    if not known:
        return None
    resting = known[-1].omitted
    assert resting is not None
    units = found.units.varying()[0]
    marks = benchmarks(units)
    edge = _edge(resting, marks)
    figure = Figure(figsize=(WIDTH, 5.0))
    ax = figure.subplots()
    _contours(ax, resting, edge)
    _name(ax, marks[(marks["treatment"] <= edge) & (marks["outcome"] <= edge)], edge)
    robustness = resting.robustness()
    if robustness <= edge:
        ax.plot(robustness, robustness, "*", color=COLOURS[4], markersize=11, zorder=3, clip_on=False)
    ax.set_xlabel("share of the treatment's residual variance that it explains")
    ax.set_ylabel("share of the outcome's residual variance that it explains")
    return figure


def _name(ax: Axes, marks: pd.DataFrame, edge: float) -> None:
    """Draw the measured confounders; a name that would cover an earlier one goes above it."""
    line = 0.027 * edge
    placed: list[tuple[float, float, float]] = []
    for _, mark in marks.sort_values("outcome").iterrows():
        x, y = float(mark["treatment"]), float(mark["outcome"])
        ax.plot(x, y, "D", color=COLOURS[0], markersize=4)
        text = causal_figures.plain(str(mark["confounder"]))
        long, at = 0.013 * edge * len(text), y + 0.3 * line
        for left, right, other in sorted(placed, key=lambda place: place[2]):
            if x < right and left < x + long and abs(at - other) < line:
                at = other + line
        placed.append((x, x + long, at))
        ax.annotate(text, (x, y), (x + 0.008 * edge, at), textcoords="data", fontsize=7.5, color=COLOURS[0])


def _edge(resting: Omitted, marks: pd.DataFrame) -> float:
    """Return the end of both axes: so that the line of no effect shows, as far as 0.9."""
    widest = marks[["outcome", "treatment"]].to_numpy().max(initial=0.0)
    return float(min(0.9, max(1.6 * resting.robustness(), 1.15 * widest, 0.02)))


def _contours(ax: Axes, resting: Omitted, edge: float) -> None:
    grid = np.linspace(0, edge, _CONTOURS)
    toward = -np.sign(resting.effect.value) or -1.0
    left = np.array([[resting.effect.value + toward * resting.bias(y, d) for d in grid] for y in grid])
    lines = ax.contour(grid, grid, left, levels=9, colors=GREY, linewidths=0.8)
    ax.clabel(lines, fontsize=7.5, fmt="%.4g")
    if left.min() < 0 < left.max():
        ax.contour(grid, grid, left, levels=[0], colors=COLOURS[4], linewidths=2)
    percent_ticks(ax, "x")
    percent_ticks(ax, "y")


FIGURES: dict[str, tuple[str, Any]] = {
    "overlap": ("Are there treated and untreated units of a kind?", histogram),
    "balance": ("Are the arms alike after adjustment?", love),
    "weights": ("Does an estimate rest on a few units?", weights),
    "estimates": ("What is the effect?", estimates),
    "sensitivity": ("How strong would an omitted confounder have to be?", contour),
}
CAPTIONS = {
    "overlap": "Propensity scores of all units. Where one arm has none, its outcome is extrapolated, not observed.",
    "balance": "On the sample and with the weights of each estimate. Differences are standardised by the deviations of "
    "the unadjusted arms. AIPW and double ML adjust for what their weights leave, by regression.",
    "weights": "A steep start means that few units carry an arm.",
    "estimates": "The naive difference compares all treated with all untreated units as they are.",
    "sensitivity": "Lines: the effect that is left in the worst case if a confounder of this strength was omitted. "
    "Orange: none. Star: the robustness value, equally strong on both axes. Diamonds: as strong as a measured "
    "confounder is beside the others, by linear regressions.",
}
_ROSENBAUM = (
    "The p-value that there is no effect lies between the two if a hidden cause makes one unit of a pair up to gamma "
    "times as likely, by its odds, to be treated as the other."
)
_SENSITIVITY = (
    "e value: risk ratio by which an omitted confounder would have to raise both treatment and outcome to explain the "
    "effect away; limit: the interval. robustness: share of residual variance of both that it would have to explain; "
    "limit: to take the interval to 0. gamma: how much likelier, by its odds, one unit of a pair may be to be treated "
    "before the pairs no longer show an effect."
)
