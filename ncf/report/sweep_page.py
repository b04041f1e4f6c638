"""The report of a sweep that nobody registered: one page with its table, tests and learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ncf.core.files import write_text
from ncf.report.kit.markup import Table
from ncf.report.kit.naming import mean_sd, metric_name, p_value, percents
from ncf.report.kit.page import PAGE, README
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, LIGHT, MARKERS, RC, WIDTH, percent_ticks, save, titled
from ncf.report.sections.comparisons import FINDINGS
from ncf.report.sweep import LEVEL, Arm, Contrast, Sweep

MOST_LINES, MOST_ROWS = 12, 40  # arms in one figure, comparisons in another
BEST = "best epoch (median of the runs)"
_STYLES = ("-", "--", ":")


def build(sweep: Sweep, folder: Path, formats: Sequence[str]) -> None:
    """The whole report in the empty `folder`: figures/, tables/, report.html and README.md."""
    for part in ("figures", "tables"):
        (folder / part).mkdir()
    tables = {"results": results(sweep), "comparisons": comparisons(sweep)}
    for name, table in tables.items():
        write_text(folder / "tables" / f"{name}.md", table.markdown())
        write_text(folder / "tables" / f"{name}.tex", table.latex())
    figures = {}
    for name, (question, draw) in FIGURES.items():
        with matplotlib.rc_context(RC):
            if (figure := draw(sweep)) is not None:
                svg = save(titled(figure, question), folder / "figures", name, formats)
                label = f'<svg role="img" aria-label="{escape(question)}"'
                figures[name] = Markup(svg[svg.index("<svg") :].replace("<svg", label, 1))
    image = next((kind for kind in ("png", "svg") if kind in formats), formats[0])
    context = {
        "tables": tables,
        "figures": figures,
        "image": image,
        "questions": {n: q for n, (q, _) in FIGURES.items()},
    }
    write_text(folder / PAGE, Prose(sweep, html=True).page("sweep.html.j2", context))
    write_text(folder / README, Prose(sweep).page("sweep.md.j2", context))


def results(sweep: Sweep) -> Table:
    """Mean and standard deviation of every arm in every test metric."""
    rows = [
        [arm.label, f"{len(values[0])}", *map(mean_sd, values)]
        for arm in sweep.arms
        if (values := [sweep.values(arm, metric) for metric in sweep.metrics])
    ]
    header = ["arm", "seeds", *(metric_name(metric).removeprefix("test ") for metric in sweep.metrics)]
    baselines = f" Baselines: {', '.join(sweep.baselines)}." if sweep.pairs else ""
    of = f" of {means}" if (means := fold_means(sweep)) else ""
    return Table("Results on test", header, rows, f"Mean ± standard deviation over seeds{of}.{baselines}")


def fold_means(sweep: Sweep) -> str:
    """What a seed's values are, if it has folds: "means over 3 folds"."""
    return f"means over {len(sweep.folds)} folds" if sweep.folds else ""


def comparisons(sweep: Sweep) -> Table:
    """Every comparison in every metric, with what its finding rests on."""
    rows = [[metric_name(c.metric).removeprefix("test "), c.treatment, c.baseline, f"{c.seeds}", *_evidence(c)]
            for c in sweep.contrasts]  # fmt: skip
    count = len(sweep.pairs)
    together = f"Holm over the {count} comparisons of a metric, " if count > 1 else ""
    note = (
        f"Change: relative, with a {LEVEL:.0%} bootstrap interval (BCa) over paired seeds, not corrected for the "
        f"number of comparisons, and not shown where pairs are too few. p: exact two-sided Wilcoxon signed-rank; "
        f"corrected p and equivalence p (two one-sided t tests against ±{sweep.margin:.0%}): {together}not corrected "
        f"over metrics.{' Values of a seed are ' + means + '.' if (means := fold_means(sweep)) else ''}"
    )
    header = ["metric", "arm", "against", "seeds", "its mean", "baseline's", "change", "p", "corrected p"]
    return Table("Comparisons", [*header, "equivalence p", "finding"], rows, note)


def _evidence(c: Contrast) -> list[str]:
    means = [f"{mean:.4f}" if c.seeds else "" for mean in (c.treatment_mean, c.baseline_mean)]
    if c.change is None:
        return [*means, "", "", "", "", f"undecided: {c.obstacle}"]
    return [*means, percents(c.change), p_value(c.p), p_value(c.corrected), p_value(c.p_equivalent), c.finding]


def changes(sweep: Sweep) -> Figure | None:
    """Each comparison in the primary metric: estimate, interval, finding."""
    rows = [c for c in sweep.contrasts if c.metric == sweep.metrics[0] and c.change][:MOST_ROWS]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 1.3 + 0.26 * len(rows)))
    ax = figure.subplots()
    ax.axvspan(-sweep.margin, sweep.margin, color=LIGHT, alpha=0.45, zorder=0, linewidth=0,
               label=f"±{_plain_text(f'{sweep.margin:.0%}')}")  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.9)
    for y, c in enumerate(rows):
        colour, marker, filled = FINDINGS[c.finding]
        assert c.change is not None
        if c.change.ends:
            ax.plot(c.change.ends, [y, y], color=colour, linewidth=1.6)
        ax.plot(c.change.estimate, y, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6)
    ax.set_yticks(range(len(rows)), [_plain_text(f"{c.treatment} vs {c.baseline} ({_seeds(c.seeds)})") for c in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    percent_ticks(ax, "x")
    shown = f"{LEVEL:.0%} interval" if any(c.change and c.change.ends for c in rows) else "no interval: too few pairs"
    ax.set_xlabel(f"relative change of the mean of {metric_name(sweep.metrics[0])}, {shown}")
    for name in (name for name in FINDINGS if name in {c.finding for c in rows}):
        colour, marker, filled = FINDINGS[name]
        ax.plot([], [], marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6, label=name)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def runs(sweep: Sweep) -> Figure:
    """Every run as a point, an arm a row, in the primary metric."""
    arms, one = sweep.arms[:MOST_ROWS], f"a seed, mean over {len(sweep.folds)} folds" if sweep.folds else "a run"
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * len(arms)))
    ax = figure.subplots()
    for y, arm in enumerate(arms):
        values = sweep.values(arm, sweep.metrics[0])
        ax.plot(values, np.full(len(values), y), "o", color=COLOURS[0], markersize=4, alpha=0.6, markeredgewidth=0,
                label=None if y else one)  # fmt: skip
        ax.plot(values.mean(), y, "|", color="black", markersize=13, markeredgewidth=2, label=None if y else "mean")
    ax.set_yticks(
        range(len(arms)),
        [_plain_text(f"{arm.label} ({_seeds(len(sweep.values(arm, sweep.metrics[0])))})") for arm in arms],
    )
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.set_xlabel(metric_name(sweep.metrics[0]))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def curves(sweep: Sweep) -> Figure | None:
    """Validation metric by epoch, mean over the seeds that still train, until half of them have stopped."""
    metric = sweep.monitored
    if metric is None:
        return None
    figure = Figure(figsize=(WIDTH, 3.8))
    ax = figure.subplots()
    drawn = [_curve(ax, sweep, arm, n, metric) for n, arm in enumerate(shown(sweep))]
    if not any(drawn):
        return None
    ax.plot([], [], "*", color=GREY, markersize=9, markeredgecolor="black", label=BEST)
    ax.set_xlabel("epoch")
    ax.set_ylabel(f"validation {metric_name(metric)}, mean of the runs")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def shown(sweep: Sweep) -> list[Arm]:
    """The arms that learning curves are drawn of: the best in the primary metric, in the order of the tables."""
    means = {arm: sweep.values(arm, sweep.metrics[0]).mean() for arm in sweep.arms}
    best = sorted(means, key=lambda arm: -means[arm])[:MOST_LINES]
    return [arm for arm in sweep.arms if arm in best]


def _curve(ax: Axes, sweep: Sweep, arm: Arm, n: int, metric: str) -> bool:
    rows = sweep.curves[sweep.curves["run"].isin(sweep.rows(arm)["run"])].dropna(subset=[metric])
    if rows.empty:
        return False
    summary = rows.groupby("epoch")[metric].agg(["mean", "count"])
    summary = summary[summary["count"] >= rows["run"].nunique() / 2]
    colour = COLOURS[n % len(COLOURS)]
    ax.plot(summary.index, summary["mean"], _STYLES[n // len(COLOURS) % 3], color=colour, linewidth=1.5,
            marker=MARKERS[n % len(MARKERS)], markersize=3, label=_plain_text(arm.label))  # fmt: skip
    if (best := best_epoch(sweep, arm, metric)) is not None and best in summary.index:
        ax.plot(best, summary["mean"][best], "*", color=colour, markersize=9, markeredgecolor="black")
    return True


def best_epoch(sweep: Sweep, arm: Arm, metric: str) -> int | None:
    """The median of the epochs whose weights an arm's runs kept, of two the earlier; None if unknown.

    At least half of the runs got as far, so the mean curve has this epoch.
    """
    if "best_epoch" not in sweep.runs:
        return None
    kept = sweep.rows(arm)[["run", "best_epoch"]].merge(sweep.curves, "inner", on="run")
    kept = kept[kept["epoch"] == kept["best_epoch"]].dropna(subset=[metric])
    return None if kept.empty else int(kept["epoch"].quantile(0.5, interpolation="lower"))


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _plain_text(text: str) -> str:
    """`text` as Matplotlib shows it: a dollar sign from a setting begins no formula."""
    return text.replace("$", r"\$")


FIGURES: dict[str, tuple[str, Any]] = {
    "changes": ("How do the arms compare with their baselines?", changes),
    "runs": ("How far do seeds spread, beside the differences between arms?", runs),
    "curves": ("How do the arms learn?", curves),
}
