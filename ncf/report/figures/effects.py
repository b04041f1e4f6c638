"""Effects with their intervals: over ratios, all registered comparisons, and by popularity and activity."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.groups import GROUPINGS, THIRDS, group_effects
from ncf.report.naming import metric_name
from ncf.report.study import SWEEP, NotRunError, Study, contrast_name
from ncf.report.style import COLOURS, GREY, LIGHT, MARKERS, WIDTH, percent
from ncf.stats.intervals import Interval
from ncf.study.registration import Compared
from ncf.study.verdict import JudgedComparison

FINDINGS = {  # colour, marker, filled
    "better": (COLOURS[2], "^", True),
    "worse": (COLOURS[4], "v", True),
    "equivalent": (COLOURS[0], "s", True),
    "undecided": (GREY, "o", False),
    "incomplete": (GREY, "x", False),
}


def gain(study: Study) -> tuple[Figure, str]:
    """Relative change against ratio, an interval a point, a line a contrast."""
    found = {key: f.result for key, f in study.comparisons().items() if f.result}
    if not found:
        raise NotRunError("no comparison has three seeds in both arms", SWEEP)
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
                _gain_line(ax, n, points, contrast_name(study, treatment, baseline))
        ax.set_xscale("log")
        ax.set_xticks(study.ratios, [f"1:{r}" for r in study.ratios])
        ax.set_xticks([], minor=True)
        ax.set_title(metric_name(metric))
        ax.set_xlabel("negatives a positive (log scale)")
    percent(axes[0])
    axes[0].set_ylabel("relative change of the mean")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(study.contrasts))
    seeds = ", ".join(f"{len(study.registration.seeds_at(r))} registered seeds at 1:{r}" for r in study.ratios)
    return figure, (
        f"Points are means over paired seeds, bars {study.registration.interval_level:.0%} bootstrap intervals (BCa). "
        f"The grey band is ±{study.registration.smallest_effect:.0%}, the registered smallest effect of "
        f"interest. {seeds}."
    )


def _gain_line(ax: Axes, n: int, points: list[tuple[int, Interval]], name: str) -> None:
    x = [ratio * 1.05 ** (n - 1) for ratio, _ in points]  # side by side, so that bars do not hide one another
    y = [interval.estimate for _, interval in points]
    below = [interval.estimate - interval.low for _, interval in points]
    above = [interval.high - interval.estimate for _, interval in points]
    ax.errorbar(
        x, y, yerr=[below, above], color=COLOURS[(n + 2) % 7], marker=MARKERS[(n + 2) % 7], markersize=5.5,
        linewidth=1.2, elinewidth=1.4, capsize=3, label=name,
    )  # fmt: skip


def _indifference(ax: Axes, margin: float, vertical: bool) -> None:
    """The band of changes too small to matter, and no change."""
    span, line = (ax.axvspan, ax.axvline) if vertical else (ax.axhspan, ax.axhline)
    span(-margin, margin, color=LIGHT, alpha=0.45, zorder=0, linewidth=0)
    line(0, color="black", linewidth=0.9)


def forest(study: Study) -> tuple[Figure, str]:
    """Every registered comparison: estimate, interval, corrected p, finding."""
    rows: list[tuple[str, JudgedComparison | None]] = []
    for v in study.verdicts:
        rows += [(f"{v.hypothesis}: {v.outcome}", None)]
        rows += [(row_name(study, finished.compared), finished) for finished in v.comparisons]
    if not any(f and f.result for _, f in rows):
        raise NotRunError("no registered comparison has three seeds in both arms", SWEEP)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.235 * len(rows)))
    ax, notes = figure.subplots(1, 2, sharey=True, width_ratios=[1.35, 1])
    _indifference(ax, study.registration.smallest_effect, vertical=True)
    for y, (_, finished) in enumerate(rows):
        if finished is not None:
            _forest_row(ax, notes, y, finished)
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    for tick, (_, finished) in zip(ax.get_yticklabels(), rows):
        tick.set_fontweight("bold" if finished is None else "normal")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    percent(ax, "x")
    ax.set_xlabel("relative change of the mean")
    notes.axis("off")
    notes.set_xlim(0, 1)
    for x, align, text in zip(_NOTES, _ALIGN, ("change [interval]", "seeds", "corrected p")):
        notes.text(x, 0, text, fontsize=8, color=GREY, ha=align, va="center")
    for name, (colour, marker, filled) in FINDINGS.items():
        ax.plot([], [], marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6, label=name)
    figure.legend(loc="outside lower center", ncols=len(FINDINGS))
    return figure, (
        f"Bars are {study.registration.interval_level:.0%} bootstrap intervals over paired seeds; the grey band is "
        f"±{study.registration.smallest_effect:.0%}. p: exact Wilcoxon signed-rank, "
        f"{study.registration.correction.capitalize()}-corrected within the hypothesis at {study.registration.alpha:g}"
        ". Growth: of the fitted gain from the lowest to the highest ratio, relative to the baseline's mean."
    )


_NOTES, _ALIGN = (0.0, 0.68, 1.0), ("left", "right", "right")


def row_name(study: Study, compared: Compared) -> str:
    """A comparison in a few words: "focal vs BCE, 1:10, NDCG@10"."""
    claim, ratios = compared.claim, compared.ratios
    over = f"1:{ratios[0]}" if len(ratios) == 1 else f"growth 1:{min(ratios)} to 1:{max(ratios)}"
    metric = metric_name(compared.metric).removeprefix("test ")
    return f"{contrast_name(study, claim.treatment, claim.baseline)}, {over}, {metric}"


def _forest_row(ax: Axes, notes: Axes, y: int, finished: JudgedComparison) -> None:
    if finished.result is None:
        notes.text(0, y, "not enough runs yet", fontsize=8, color=GREY, va="center")
        return
    colour, marker, filled = FINDINGS[finished.finding]
    change = finished.result.effects["relative_change"]
    ax.plot([change.low, change.high], [y, y], color=colour, linewidth=1.6)
    ax.plot(change.estimate, y, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6)
    p = "incomplete" if finished.missing else f"{finished.p:.2g}"
    texts = f"{change.estimate:+.1%} [{change.low:+.1%}, {change.high:+.1%}]", f"{finished.result.seeds}", p
    for x, align, text in zip(_NOTES, _ALIGN, texts):
        notes.text(x, y, text, fontsize=8, ha=align, va="center")


def groups(study: Study) -> tuple[Figure, str]:
    """Gain of the first claim's treatment within thirds of items and users."""
    treatment, baseline = study.contrasts[0]
    table = group_effects(study, treatment, baseline)
    present = [grouping for grouping in GROUPINGS if grouping in set(table["grouping"])]
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    ratios = sorted(table["neg_ratio"].unique())
    for ax, grouping in zip(axes, present):
        ax.axhline(0, color="black", linewidth=0.9)
        for n, ratio in enumerate(ratios):
            rows = table[(table["grouping"] == grouping) & (table["neg_ratio"] == ratio)].sort_values("third")
            x = rows["third"] + (n - (len(ratios) - 1) / 2) * 0.2
            bars = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
            ax.errorbar(
                x, rows["estimate"], yerr=bars, fmt=MARKERS[n], color=COLOURS[n], capsize=3,
                label=f"1:{ratio} ({rows['seeds'].iloc[0]} seeds)",
            )  # fmt: skip
        ax.set_xticks(range(3), THIRDS[grouping])
        ax.set_xlim(-0.5, 2.5)
        ax.set_title(GROUPINGS[grouping])
    axes[0].set_ylabel(f"change of {metric_name(study.primary)}\n(absolute)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure, (
        f"{contrast_name(study, treatment, baseline)} within thirds of the evaluated positives; bars are "
        f"{study.registration.interval_level:.0%} bootstrap intervals over paired seeds. Popularity is the item's "
        "count in training, activity the user's known positives."
    )
