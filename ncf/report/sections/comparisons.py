"""What was registered and what came of it: each comparison's effect, seed by seed and against the ratio."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.evidence import over_users
from ncf.report.kit.naming import arm_labels, contrast_name, loss_name, metric_name, p_value, percents, row_name
from ncf.report.kit.section import Cells, Chart, Drawing, Facts, Listing, Section
from ncf.report.kit.style import COLOURS, GREY, LIGHT, MARKERS, WIDTH, look, percent_ticks
from ncf.report.study import NotRunError, Study
from ncf.stats.intervals import Interval
from ncf.study.verdict import JudgedComparison

FINDINGS = {  # colour, marker, filled
    "better": (COLOURS[2], "^", True),
    "worse": (COLOURS[4], "v", True),
    "equivalent": (COLOURS[0], "s", True),
    "undecided": (GREY, "o", False),
    "incomplete": (GREY, "x", False),
}
_NOTES, _ALIGN = (0.0, 0.68, 1.0), ("left", "right", "right")


def forest(study: Study) -> Drawing:
    """Every registered comparison: estimate, interval, corrected p, finding."""
    rows: list[tuple[str, JudgedComparison | None]] = []
    for v in study.verdicts:
        rows += [(f"{v.hypothesis}: {v.conclusion.status}", None)]
        rows += [(row_name(study.registration, judged.compared), judged) for judged in v.comparisons]
    if not any(judged and judged.result for _, judged in rows):
        raise NotRunError("no registered comparison has three seeds in both arms")
    figure = Figure(figsize=(WIDTH, 1.2 + 0.235 * len(rows)))
    ax, notes = figure.subplots(1, 2, sharey=True, width_ratios=[1.35, 1])
    _indifference(ax, study.registration.smallest_effect, vertical=True)
    for y, (_, judged) in enumerate(rows):
        if judged is not None:
            _forest_row(ax, notes, y, judged, over_users(study, judged))
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    for tick, (_, judged) in zip(ax.get_yticklabels(), rows):
        tick.set_fontweight("bold" if judged is None else "normal")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    percent_ticks(ax, "x")
    ax.tick_params(axis="x", labelsize=8)
    ax.set_xlabel("relative change of the mean\nthick: these users, other seeds; thin: other users too")
    notes.axis("off")
    notes.set_xlim(0, 1)
    for x, align, text in zip(_NOTES, _ALIGN, ("change [interval]", "seeds", "corrected p")):
        notes.text(x, 0, text, fontsize=8, color=GREY, ha=align, va="center")
    for name, (colour, marker, filled) in FINDINGS.items():
        ax.plot([], [], marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6, label=name)
    figure.legend(loc="outside lower center", ncols=len(FINDINGS))
    return Drawing(figure)


def _forest_row(ax: Axes, notes: Axes, y: int, judged: JudgedComparison, both: Interval | None) -> None:
    if judged.result is None:
        why = "no test is possible" if judged.obstacle else "not enough runs yet"
        notes.text(0, y, why, fontsize=8, color=GREY, va="center")
        return
    colour, marker, filled = FINDINGS[judged.finding]
    change = judged.result.effects["relative_change"]
    if both and both.ends:
        ax.plot(both.ends, [y, y], color=colour, linewidth=0.7)
    if change.ends:
        ax.plot(change.ends, [y, y], color=colour, linewidth=1.6)
    ax.plot(change.estimate, y, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6)
    p = "incomplete" if judged.missing else f"{judged.p:.2g}"
    for x, align, text in zip(_NOTES, _ALIGN, (percents(change), f"{judged.result.seeds}", p)):
        notes.text(x, y, text, fontsize=8, ha=align, va="center")


def comparisons(study: Study) -> Cells:
    """Every registered comparison with what its finding rests on."""
    rows = [
        [v.hypothesis, row_name(study.registration, judged.compared), *_evidence(judged), judged.finding]
        for v in study.verdicts
        for judged in v.comparisons
    ]
    header = ["", "comparison", "seeds", "baseline", "treatment", "change", "p", "corrected p", "equivalence p"]
    obstructed = [judged for v in study.verdicts for judged in v.comparisons if judged.obstacle]
    return Cells([*header, "finding"], rows, {"obstructed": obstructed})


def _evidence(judged: JudgedComparison) -> list[str]:
    """Seeds, means, change and p-values; blank where runs are missing."""
    if (r := judged.result) is None:
        return [""] * 7
    found = [f"{r.seeds}", f"{r.baseline_mean:.4f}", f"{r.treatment_mean:.4f}", percents(r.effects["relative_change"])]
    corrected = ["", ""] if judged.missing else [p_value(judged.p), p_value(judged.p_equivalent)]
    return [*found, p_value(r.wilcoxon.p), *corrected]


def paired(study: Study) -> Drawing:
    """A line a seed through the arms that share its weights, batches and negatives."""
    arms, metrics, labels = study.main_arms, study.registration.metrics, arm_labels(study.registration)
    treatment, baseline = study.contrasts[0]
    tables = {r: t for r in study.ratios if not (t := study.by_seed(arms, r, study.primary)).empty}
    if not tables:
        raise NotRunError(f"no seed has all of {', '.join(labels[name] for name in arms)}")
    figure = Figure(figsize=(WIDTH, 2.9 * len(metrics)))
    axes = figure.subplots(len(metrics), len(tables), squeeze=False, sharex=True, sharey="row")
    for row, metric in zip(axes, metrics):
        for ax, ratio in zip(row, tables):
            table = study.by_seed(arms, ratio, metric)
            wins = table[treatment] > table[baseline]
            _seed_lines(ax, study, table, wins)
            names = " > ".join(loss_name(arms[name]) for name in (treatment, baseline))
            ax.set_title(f"1:{ratio}: {names} in {wins.sum()} of {len(table)}")
            ax.set_xticks(range(len(arms)), [labels[name].replace(" (", "\n(") for name in arms])
            ax.margins(x=0.12)
        row[0].set_ylabel(metric_name(metric))
    seeds = {ratio: len(table) for ratio, table in tables.items()}
    return Drawing(figure, {"treatment": labels[treatment], "baseline": labels[baseline], "seeds": seeds})


def _seed_lines(ax: Axes, study: Study, table: pd.DataFrame, wins: pd.Series) -> None:
    places = np.arange(table.shape[1])
    for won, line in zip(wins, table.to_numpy()):
        ax.plot(places, line, color=COLOURS[2] if won else GREY, alpha=0.75 if won else 0.35, linewidth=0.9)
    for place, name in zip(places, table.columns):
        colour, marker = look(study.main_arms, name)
        ax.plot(np.full(len(table), place), table[name], marker, color=colour, markersize=3.5, alpha=0.8)
    ax.plot(places, table.mean(), color="black", linewidth=2.2, marker="_", markersize=14, markeredgewidth=2.2)


def gain(study: Study) -> Drawing:
    """Relative change against ratio, an interval a point, a line a contrast."""
    found = {key: judged.result for key, judged in study.comparisons().items() if judged.result}
    if not found:
        raise NotRunError("no comparison has three seeds in both arms")
    metrics = study.registration.metrics
    figure = Figure(figsize=(WIDTH, 3.8))
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for ax, metric in zip(axes, metrics):
        _indifference(ax, study.registration.smallest_effect, vertical=False)
        for n, (treatment, baseline) in enumerate(study.contrasts):
            points = [
                (r, found[key].effects["relative_change"])
                for r in study.ratios
                if (key := (treatment, baseline, metric, (r,))) in found
            ]
            if points:
                _gain_line(ax, n, points, contrast_name(study.registration, treatment, baseline))
        ax.set_xscale("log")
        ax.set_xticks(study.ratios, [f"1:{r}" for r in study.ratios])
        ax.set_xticks([], minor=True)
        ax.set_title(metric_name(metric))
        ax.set_xlabel("negatives a positive (log scale)")
    percent_ticks(axes[0])
    axes[0].set_ylabel("relative change of the mean")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(study.contrasts))
    return Drawing(figure)


def _gain_line(ax: Axes, n: int, points: list[tuple[int, Interval]], name: str) -> None:
    x = [ratio * 1.05 ** (n - 1) for ratio, _ in points]  # side by side, so that bars do not hide one another
    y = np.array([interval.estimate for _, interval in points])
    ends = np.array([interval.ends or (np.nan, np.nan) for _, interval in points])  # no bar where it is withheld
    ax.errorbar(
        x, y, yerr=np.abs(ends.T - y), color=COLOURS[(n + 2) % 7], marker=MARKERS[(n + 2) % 7], markersize=5.5,
        linewidth=1.2, elinewidth=1.4, capsize=3, label=name,
    )  # fmt: skip


def _indifference(ax: Axes, margin: float, vertical: bool) -> None:
    """The band of changes too small to matter, and no change."""
    span, line = (ax.axvspan, ax.axvline) if vertical else (ax.axhspan, ax.axhline)
    span(-margin, margin, color=LIGHT, alpha=0.45, zorder=0, linewidth=0)
    line(0, color="black", linewidth=0.9)


def _against(study: Study) -> Facts | None:
    worse = [judged for judged in study.comparisons().values() if judged.finding == "worse"]
    return {"worse": worse} if worse else None


SECTION = Section(
    "The registered comparisons",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("forest", "Which registered comparisons show an effect?", "registered", forest),
        Listing("comparisons", "Registered comparisons", comparisons),
        Chart("paired", "Seed by seed, which loss ranks better?", "registered", paired),
        Chart("gain", "Does the gain grow with the number of negatives?", "registered", gain),
    ),
    remarks={"against": _against},
)
