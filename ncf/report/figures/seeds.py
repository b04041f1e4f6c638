"""Runs one by one: pairs by seed, and the spread over seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.clamped import pairs as clamped_pairs
from ncf.report.naming import label, metric_name
from ncf.report.study import EXPERIMENT, SWEEP, NotRunError, Study
from ncf.report.style import COLOURS, GREY, MARKERS, WIDTH, look
from ncf.study.registration import Selector


def paired(study: Study) -> tuple[Figure, str]:
    """A line a seed through the arms that share its weights, batches and negatives."""
    arms, metrics = study.main_arms, study.registration.metrics
    tables = {r: t for r in study.ratios if not (t := _by_seed(study, arms, r, study.primary)).empty}
    if not tables:
        raise NotRunError(f"no seed has all of {', '.join(map(label, arms.values()))}", SWEEP)
    figure = Figure(figsize=(WIDTH, 2.9 * len(metrics)))
    axes = figure.subplots(len(metrics), len(tables), squeeze=False, sharex=True, sharey="row")
    for row, metric in zip(axes, metrics):
        for ax, ratio in zip(row, tables):
            _paired_panel(ax, study, _by_seed(study, arms, ratio, metric), f"1:{ratio}")
        row[0].set_ylabel(metric_name(metric))
    best = label(list(arms.values())[-1])
    counts = ", ".join(f"{len(t)} at 1:{r}" for r, t in tables.items())
    return figure, (
        f"Each thin line is one seed: the same initial weights, batches and negatives under every loss. It is drawn "
        f"strong where {best} is above BCE. Black: the mean over seeds. Seeds: {counts}."
    )


def _by_seed(study: Study, arms: dict[str, Selector], ratio: int, metric: str) -> pd.DataFrame:
    """(seeds, arms) of the seeds that every arm has."""
    return pd.DataFrame({name: study.values(arm, ratio, metric) for name, arm in arms.items()}).dropna()


def _paired_panel(ax: Axes, study: Study, table: pd.DataFrame, where: str) -> None:
    places, last = np.arange(table.shape[1]), table.columns[-1]
    baseline = study.contrasts[0][1]
    wins = table[last] > table[baseline]
    for won, line in zip(wins, table.to_numpy()):
        ax.plot(places, line, color=COLOURS[2] if won else GREY, alpha=0.75 if won else 0.35, linewidth=0.9)
    for place, name in zip(places, table.columns):
        colour, marker = look(study.main_arms, name)
        ax.plot(np.full(len(table), place), table[name], marker, color=colour, markersize=3.5, alpha=0.8)
    ax.plot(places, table.mean(), color="black", linewidth=2.2, marker="_", markersize=14, markeredgewidth=2.2)
    ax.set_title(f"{where}: {_short(study, last)} > {_short(study, baseline)} in {wins.sum()} of {len(table)}")
    ax.set_xticks(places, [label(study.main_arms[name]).replace(" (", "\n(") for name in table.columns])
    ax.margins(x=0.12)


def _short(study: Study, name: str) -> str:
    return label({"loss": study.registration.arms[name]["loss"]})


def distribution(study: Study) -> tuple[Figure, str]:
    """Every run as a point over its box, by ratio and arm."""
    arms, metrics = study.registration.arms, study.registration.metrics
    ratios = [r for r in study.ratios if any(len(study.values(arm, r, study.primary)) for arm in arms.values())]
    if not ratios:
        raise NotRunError("no registered run", SWEEP)
    figure = Figure(figsize=(WIDTH, 2.9 * len(metrics)))
    axes = figure.subplots(len(metrics), 1, squeeze=False, sharex=True)[:, 0]
    for ax, metric in zip(axes, metrics):
        ax.margins(y=0.12)
        for group, ratio in enumerate(ratios):
            for place, name in enumerate(arms):
                values = study.values(arms[name], ratio, metric)
                if len(values):
                    _strip(ax, group + (place - (len(arms) - 1) / 2) / (len(arms) + 1), values, *look(arms, name))
        ax.set_ylabel(metric_name(metric))
    axes[-1].set_xticks(range(len(ratios)), [f"1:{ratio}" for ratio in ratios])
    axes[-1].set_xlim(-0.5, len(ratios) - 0.5)
    axes[-1].set_xlabel("negatives a positive")
    for name, arm in arms.items():
        colour, marker = look(arms, name)
        axes[0].plot([], [], marker, color=colour, markersize=5, label=label(arm))
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(arms), handletextpad=0.2, columnspacing=1.2)
    return figure, (
        "A point is a run, a box the middle half of the runs with their median; the number below is how many runs. "
        "Differences between losses are to be seen beside this spread."
    )


def _strip(ax: Axes, centre: float, values: pd.Series, colour: str, marker: str) -> None:
    shift = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.09  # spread evenly, the same each time
    ax.plot(centre + shift, values, marker, color=colour, markersize=3.5, alpha=0.75, markeredgewidth=0)
    ax.boxplot(
        values, positions=[centre], widths=0.12, showfliers=False, manage_ticks=False,
        medianprops={"color": "black", "linewidth": 1.6}, boxprops={"color": GREY}, whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )  # fmt: skip
    ax.annotate(
        f"{len(values)}", (centre, 0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7.5,
        color=GREY,
    )  # fmt: skip


def clamped(study: Study) -> tuple[Figure, str]:
    """Each loss beside what the published code made of it, pairs by seed."""
    pairs = clamped_pairs(study)
    ratios = [r for r in study.ratios if any(len(study.values(wrong, r, study.primary)) for _, wrong in pairs)]
    if not ratios:
        raise NotRunError("the published code's loss on clamped logits", EXPERIMENT.format("clamped"))
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots(1, len(ratios), squeeze=False, sharey=True)[0]
    for ax, ratio in zip(axes, ratios):
        tables = [_by_seed(study, {"right": right, "wrong": wrong}, ratio, study.primary) for right, wrong in pairs]
        for n, table in enumerate(tables):
            _clamped_pairs(ax, 2 * n, table)
        names = [name for right, _ in pairs for name in (label({"loss": right["loss"]}), "clamped")]
        ax.set_xticks([2 * n + shift for n in range(len(pairs)) for shift in (0, 1)], names)
        ax.margins(x=0.12)
        ax.set_title(f"1:{ratio} ({', '.join(str(n) for n in sorted({len(t) for t in tables}))} seeds)")
    axes[0].set_ylabel(metric_name(study.primary))
    losses = " and ".join(label(right) for right, _ in pairs)
    return figure, (
        f"{losses}: the published code took them on logits clamped to (0, 1), as if they were probabilities. "
        "Lines join runs with the same seed; the table counts those that never learned."
    )


def _clamped_pairs(ax: Axes, place: int, table: pd.DataFrame) -> None:
    for values in table.to_numpy():
        ax.plot([place, place + 1], values, color=GREY, alpha=0.5, linewidth=0.9)
    for shift, look_of in ((0, 0), (1, 4)):
        ax.plot(
            np.full(len(table), place + shift), table.iloc[:, shift], MARKERS[look_of], color=COLOURS[look_of],
            markersize=5,
        )  # fmt: skip
