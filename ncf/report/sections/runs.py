"""All runs: every one as a point, and the mean and spread of each arm."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.kit.naming import arm_labels, label, mean_sd, metric_name
from ncf.report.kit.section import Cells, Chart, Drawing, Facts, Listing, Section
from ncf.report.kit.style import GREY, WIDTH, look
from ncf.report.study import NotRunError, Study


def distribution(study: Study) -> Drawing:
    """Every run as a point over its box, by ratio and arm."""
    arms, metrics = study.registration.arms, study.registration.metrics
    ratios = [r for r in study.ratios if any(len(study.values(arm, r, study.primary)) for arm in arms.values())]
    if not ratios:
        raise NotRunError("no registered run")
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
    for name, words in arm_labels(study.registration).items():
        colour, marker = look(arms, name)
        axes[0].plot([], [], marker, color=colour, markersize=5, label=words)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(arms), handletextpad=0.2, columnspacing=1.2)
    return Drawing(figure)


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


def results(study: Study) -> Cells:
    """Mean and standard deviation of every arm at every ratio."""
    metrics, names = study.registration.metrics, list(arm_labels(study.registration).values())
    names += [label(arm) for arm in study.all_arms[len(names) :]]
    rows = []
    for ratio, (name, arm) in itertools.product(study.ratios, zip(names, study.all_arms, strict=True)):
        values = [study.values(arm, ratio, metric) for metric in metrics]
        if len(values[0]):
            epoch = study.values(arm, ratio, "best_epoch").median()
            rows.append([f"1:{ratio}", name, f"{len(values[0])}", *map(mean_sd, values), f"{epoch:g}"])
    if not rows:
        raise NotRunError("no registered run")
    return Cells(["negatives", "loss", "seeds", *map(metric_name, metrics), "epoch"], rows)


def _noise(study: Study) -> Facts | None:
    """The first claim's baseline, by ratio: its relative deviation over seeds, and the share of pairs far apart."""
    name, margin, spread = study.contrasts[0][1], study.registration.smallest_effect, {}
    for ratio in study.ratios:
        values = study.values(study.registration.arms[name], ratio, study.primary).to_numpy()
        if len(values) > 1 and values.mean() > 0:
            pairs = np.array(list(itertools.combinations(values, 2)))
            apart = (np.abs(pairs[:, 0] - pairs[:, 1]) > margin * values.mean()).mean()
            spread[ratio] = (values.std(ddof=1) / values.mean(), apart)
    return {"arm": arm_labels(study.registration)[name], "spread": spread} if spread else None


_QUESTION = "How far do seeds spread, beside the differences between losses?"

SECTION = Section(
    "All runs",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("distribution", _QUESTION, "descriptive", distribution),
        Listing("results", "Results", results),
    ),
    remarks={"noise": _noise},
)
