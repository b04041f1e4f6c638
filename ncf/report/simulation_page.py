"""The report of a sweep of simulations: regret over time, and every agent against a baseline, on one page."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ncf.core.files import write_text
from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError
from ncf.report.kit.markup import Table
from ncf.report.kit.naming import p_value
from ncf.report.kit.page import PAGE, README
from ncf.report.kit.style import COLOURS, GREY, MARKERS, RC, WIDTH, save, titled
from ncf.report.simulation import BEST_ITEM, Comparison, compared, curves, measured, usual_measures
from ncf.stats import StatisticsError
from ncf.stats.power import require_conclusive

ALPHA, LEVEL, RESAMPLES = 0.05, 0.95, 9999
_STYLES = ("-", "--", ":")
_PLAIN = {BEST_ITEM: ("black", "--"), "random": (GREY, ":")}


def build(table: pd.DataFrame, folder: Path, formats: Sequence[str], margin: float, baseline: str | None) -> None:
    """Write the whole report to the empty `folder`: figures/, tables/, report.html, README.md and results.csv.

    Args:
        table: as `ncf.runs.simulation_tables.read_simulations`.
        folder: empty.
        formats: of the figures.
        margin: smallest relative change of regret of interest.
        baseline: the agent that all others are compared with; None: the one with the least cumulated regret.

    Raises:
        ConfigError: no run is of the baseline, or some have other periods than others.
    """
    for part in ("figures", "tables"):
        (folder / part).mkdir()
    results, shown = measured(table, usual_measures(table)), curves(table, LEVEL)
    write_text(folder / "results.csv", _by_run(results).to_csv(index=False, lineterminator="\n"))
    parts, lines = [], []
    for environment in results["environment"].unique():
        own, name = results[results["environment"] == environment], _file_name(environment)
        tables = [summary(own), comparisons(own, margin, baseline)]
        with matplotlib.rc_context(RC):
            figure = titled(regret(shown[shown["environment"] == environment]), f"Regret over time: {environment}")
            svg = save(figure, folder / "figures", f"regret_{name}", formats)
        for kind, found in zip(("regret", "comparisons"), tables, strict=True):
            write_text(folder / "tables" / f"{kind}_{name}.md", found.markdown())
            write_text(folder / "tables" / f"{kind}_{name}.tex", found.latex())
        image = next((kind for kind in ("png", "svg") if kind in formats), formats[0])
        lines += [f"## {environment}", f"![Regret over time](figures/regret_{name}.{image})"]
        lines += [found.markdown() for found in tables]
        parts += [f"<h2>{escape(environment)}</h2>", svg[svg.index("<svg") :], *map(_html, tables)]
    agents, worlds = results["agent"].nunique() - 1, results["environment"].nunique()
    title = f"{agents} agent{'s' * (agents > 1)} in {worlds} environment{'s' * (worlds > 1)}"
    note = "Nothing here was fixed before the runs: every finding is exploratory."
    first = "<!-- Written by `python -m ncf.report` from the run folders. -->"
    write_text(folder / README, "\n\n".join([f"{first}\n# {title}", note, *lines]) + "\n")
    head = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", f"<p>{note}</p>", *parts])
    write_text(folder / PAGE, f"{head}\n<body>\n{body}\n</body></html>\n")


def _by_run(results: pd.DataFrame) -> pd.DataFrame:
    return results[["run", *results.columns.drop("run")]]


def _file_name(environment: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in environment).strip("_")


def summary(results: pd.DataFrame) -> Table:
    """Mean and standard deviation over seeds of each measure, for every agent in one environment, the best first."""
    measures = [column for column in results if column.startswith(("period ", "first "))]
    ordered = results.groupby("agent")[measures[-1]].mean().sort_values().index
    rows = [["oracle", "", *("0" for _ in measures)]]
    for agent in ordered:
        own = results[results["agent"] == agent]
        cells = [f"{own[m].mean():.4f}" + (f" ± {own[m].std():.4f}" if len(own) > 1 else "") for m in measures]
        rows.append([str(agent), f"{len(own)}", *cells])
    note = "Mean ± standard deviation over seeds. period n: regret in it, from 0; first n: cumulated over n periods."
    return Table("Regret", ["agent", "seeds", *measures], rows, note)


def comparisons(results: pd.DataFrame, margin: float, baseline: str | None = None) -> Table:
    """Every agent in one environment against the baseline, in every measure."""
    measures = [column for column in results if column.startswith(("period ", "first "))]
    agents = [str(agent) for agent in results["agent"].unique()]
    if baseline is not None and baseline not in agents:
        raise ConfigError(f"--baseline: expected one of {', '.join(agents)}, got {baseline!r}")
    means = results[results["agent"] != BEST_ITEM].groupby("agent")[measures[-1]].mean()
    chosen = baseline or str(means.idxmin())
    pairs = [(chosen, agent, measure) for measure in measures for agent in agents if agent != chosen]
    rng = numpy_generator(0, f"{chosen} against the others")
    found = compared(results, pairs, margin=margin, alpha=ALPHA, level=LEVEL, resamples=RESAMPLES, rng=rng)
    shown = comparison_table(found, margin, "of an environment")
    how = (
        ""
        if baseline
        else f"{chosen} is compared because it has the least {measures[-1]} (baseline= chooses another). "
    )
    return replace(shown, note=f"{how}{shown.note}{_too_few(found)}")


def _too_few(found: Sequence[Comparison]) -> str:
    """What so few seeds cannot show, however large the differences are; nothing for enough of them."""
    try:
        if found:
            require_conclusive(max(1, *(one.seeds for one in found)), len(found), ALPHA)
    except StatisticsError as error:
        return f" No difference can be shown here, however large: {str(error).removeprefix('design: ')}."
    return ""


def comparison_table(found: Sequence[Comparison], margin: float, family: str) -> Table:
    """Return comparisons as a table; see `Comparison`. `family` says which of them are corrected together."""
    rows = [
        [one.treatment, one.against, one.measure, f"{one.seeds}", f"{one.treatment_mean:.4f}",
         f"{one.against_mean:.4f}", *_evidence(one), f"{one.finding} ({one.obstacle})" if one.obstacle else one.finding]
        for one in found
    ]  # fmt: skip
    note = (
        f"Less regret is better. Change: of the mean, with a {LEVEL:.0%} bootstrap interval (BCa) over seeds, not "
        f"corrected. p: exact two-sided Wilcoxon signed-rank over seeds; it and the test of equivalence to "
        f"±{margin:.0%} are corrected (Holm) over the comparisons {family}."
    )
    header = ["agent", "against", "measure", "seeds", "its mean", "the other's", "change", "corrected p", "finding"]
    return Table("Comparisons", header, rows, note)


def _evidence(one: Comparison) -> list[str]:
    if np.isnan(one.change):
        return ["", ""]
    ends = "" if np.isnan(one.low) else f" [{one.low:+.1%}, {one.high:+.1%}]"
    return [f"{one.change:+.1%}{ends}", p_value(one.corrected)]


def regret(shown: pd.DataFrame) -> Figure:
    """Regret by period, and cumulated, of each agent in one environment, with intervals over seeds."""
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.subplots(1, 2)
    agents = [agent for agent in shown["agent"].unique() if agent not in _PLAIN]
    for agent in [*agents, *(name for name in _PLAIN if name in set(shown["agent"]))]:
        own = shown[shown["agent"] == agent]
        place = agents.index(agent) if agent in agents else 0
        colour, style = _PLAIN.get(agent, (COLOURS[place % len(COLOURS)], _STYLES[place // len(COLOURS) % 3]))
        marker = MARKERS[place % len(MARKERS)] if agent in agents else None
        lines = (("regret", "low", "high"), ("cumulative", "cumulative_low", "cumulative_high"))
        for ax, (value, low, high) in zip(axes, lines, strict=True):
            ax.plot(own["period"], own[value], style, color=colour, marker=marker, markersize=4, linewidth=1.3,
                    markevery=max(1, len(own) // 8), label=agent if ax is axes[0] else None)  # fmt: skip
            ends = own[low].clip(lower=0), own[high]  # no regret is negative, whatever a t interval says
            ax.fill_between(own["period"], *ends, color=colour, alpha=0.18, linewidth=0)
    for ax, label in zip(axes, ("regret a period", "cumulated regret"), strict=True):
        ax.axhline(0, color="black", linewidth=0.9, label="oracle" if ax is axes[0] else None)
        ax.set_xlabel("period")
        ax.set_ylabel(label)
    axes[0].set_yscale("symlog", linthresh=0.02)
    axes[0].set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=4, title=f"mean over seeds, {LEVEL:.0%} interval")
    return figure


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    style = '<table border="1" cellpadding="4" style="border-collapse:collapse">'
    return f"<h3>{escape(table.title)}</h3>\n{style}<tr>{head}</tr>\n{rows}</table>\n<p>{escape(table.note)}</p>"
