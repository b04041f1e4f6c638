"""What happens as training goes on: learning curves, where loss and gradient come from, calibration."""

from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.kit.naming import arm_labels, loss_name, metric_name
from ncf.report.kit.section import Cells, Chart, Drawing, Listing, Section
from ncf.report.kit.style import GREY, WIDTH, look, percent_ticks
from ncf.report.study import NotRunError, Study, of_arm

BIN_NAMES = ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"]
_DYNAMICS = ("no run has recorded its dynamics", "dynamics")


def curves(study: Study) -> Drawing:
    """Validation metric by epoch, mean and middle half of the runs, until half of them have stopped."""
    table = study.joined(study.companion("curves", "the epochs of the runs: a report from run folders stores them"))
    present = [r for r in study.ratios if (table["neg_ratio"] == r).any()]
    figure = Figure(figsize=(WIDTH, 3.5))
    axes = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    for ax, ratio in zip(axes, present):
        for name, arm in study.main_arms.items():
            _curve(ax, of_arm(table, arm, ratio), *look(study.main_arms, name))
        ax.set_title(f"1:{ratio}")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel(f"validation {metric_name('ndcg@10')}")
    for name in study.main_arms:
        colour, marker = look(study.main_arms, name)
        axes[0].plot([], [], color=colour, marker=marker, label=arm_labels(study.registration)[name])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(figure)


def _curve(ax: Axes, rows: pd.DataFrame, colour: str, marker: str) -> None:
    if rows.empty:
        return
    by_epoch = rows.groupby("epoch")["ndcg@10"]
    summary = by_epoch.agg(["mean", "count", lambda v: v.quantile(0.25), lambda v: v.quantile(0.75)])
    summary.columns = ["mean", "count", "low", "high"]
    summary = summary[summary["count"] >= rows["run"].nunique() / 2]
    ax.plot(summary.index, summary["mean"], color=colour, linewidth=1.5)
    ax.fill_between(summary.index, summary["low"], summary["high"], color=colour, alpha=0.16, linewidth=0)
    best = rows.loc[rows.groupby("run")["ndcg@10"].idxmax(), "epoch"].median()
    at = summary["mean"].reindex([round(best)]).iloc[0]
    if pd.notna(at):
        ax.plot(round(best), at, marker, color=colour, markersize=7, markeredgecolor="black")


def shares(study: Study, of: str) -> Drawing:
    """Share of the "loss" or the "gradient" by confidence bin over epochs."""
    table, labels = study.companion("attention", *_DYNAMICS), arm_labels(study.registration)
    ratio = _shown_ratio(study, table)
    arms = {name: rows for name, arm in study.main_arms.items() if not (rows := of_arm(table, arm, ratio)).empty}
    if not arms:
        raise NotRunError("none of the compared losses has recorded its dynamics", "dynamics")
    figure = Figure(figsize=(WIDTH, 4.9))
    axes = figure.subplots(2, len(arms), squeeze=False, sharex=True, sharey=True)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.95, len(BIN_NAMES)))
    for row, kind in zip(axes, ("positive", "negative")):
        for ax, (name, rows) in zip(row, arms.items()):
            columns = [f"{kind}_{of}_share_{n}" for n in range(len(BIN_NAMES))]
            ax.stackplot(rows["epoch"], rows[columns].to_numpy().T, colors=colours, labels=BIN_NAMES, linewidth=0)
            ax.set_title(labels[name] if kind == "positive" else "")
            ax.margins(x=0, y=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
        row[0].set_ylabel(f"{kind}s' share\nof the {of}")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    axes[0, 0].set_ylim(0, 1)
    percent_ticks(axes[0, 0])
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5,
        title="$p_t$, the probability given to the truth",
    )  # fmt: skip
    return Drawing(figure, {"ratio": ratio, "runs": {labels[name]: rows["runs"].max() for name, rows in arms.items()}})


loss_share, gradient_share = partial(shares, of="loss"), partial(shares, of="gradient")


def _shown_ratio(study: Study, table: pd.DataFrame) -> int:
    """The ratio with most of the compared arms in the table; of equals, one of the first claim, then the lowest."""
    first = next(iter(study.registration.hypotheses.values())).claims[0].ratios
    ratios = dict.fromkeys((*first, *study.ratios))
    return max(ratios, key=lambda r: sum(not of_arm(table, arm, r).empty for arm in study.main_arms.values()))


def calibration(study: Study) -> Drawing:
    """Reliability curves on validation at the selected epoch."""
    table = study.joined(study.companion("selected", *_DYNAMICS))
    runs = {r: int(n) for r in study.ratios if (n := (table["neg_ratio"] == r).sum())}
    figure = Figure(figsize=(WIDTH, 3.7))
    axes = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    absent = False
    for ax, ratio in zip(axes, runs):
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        for name, arm in study.main_arms.items():
            rows = of_arm(table, arm, ratio)
            absent |= rows.empty
            if not rows.empty:
                colour, marker = look(study.main_arms, name)
                ax.plot(*_reliability(rows), color=colour, marker=marker, markersize=4.5,
                        label=f"{loss_name(arm)} {rows['ece'].mean():.3f}")  # fmt: skip
        ax.set_title(f"1:{ratio}")
        ax.set_xlabel("predicted probability")
        ax.legend(loc="lower right", fontsize=7.5, title="ECE", title_fontsize=7.5)
        percent_ticks(ax, "x")
        percent_ticks(ax)
        ax.set_aspect("equal", adjustable="box")
    axes[0].set_ylabel("share of positives")
    return Drawing(figure, {"runs": runs, "absent": absent})


def _reliability(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean predicted and observed of each tenth, runs pooled; tenths without rows left out."""
    count, predicted, observed = (
        rows[[f"{what}_{n}" for n in range(10)]].to_numpy() for what in ("rows", "predicted", "observed")
    )
    total = count.sum(0)
    some = total > 0
    return (count * predicted).sum(0)[some] / total[some], (count * observed).sum(0)[some] / total[some]


def attention(study: Study) -> Cells:
    """What each loss attends to at the selected epoch."""
    table = study.joined(study.companion("selected", *_DYNAMICS))
    rows = []
    for ratio in study.ratios:
        for name, arm in study.registration.arms.items():
            own = of_arm(table, arm, ratio)
            own = own[own["seed"].isin(study.registration.seeds_at(ratio))]
            if len(own):
                seen = _attention(own.sort_values("seed").mean(numeric_only=True))
                rows.append([f"1:{ratio}", arm_labels(study.registration)[name], f"{len(own)}", *seen])
    header = [
        "negatives", "loss", "seeds", "p_t positives", "p_t negatives", "effective positives", "effective negatives",
        "held out drawn", "their weight", "others' weight", "ECE",
    ]  # fmt: skip
    return Cells(header, rows)


def _attention(mean: pd.Series) -> list[str]:
    """The cells of one arm from the means over its runs."""
    effective = [mean[f"{kind}_effective_sample_size"] / mean[f"{kind}_rows"] for kind in ("positive", "negative")]
    return [
        f"{mean['positive_confidence']:.3f}", f"{mean['negative_confidence']:.3f}", *(f"{e:.0%}" for e in effective),
        f"{mean['held_out_rate']:.3%}", f"{mean['held_out_weight']:.3f}", f"{mean['held_out_weight_of_others']:.3f}",
        f"{mean['ece']:.3f}",
    ]  # fmt: skip


SECTION = Section(
    "Training",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("curves", "When does each loss stop improving?", "exploratory", curves),
        Chart("loss_share", "Which examples carry the loss as training goes on?", "exploratory", loss_share),
        Chart(
            "gradient_share", "Which examples drive the gradient as training goes on?", "exploratory", gradient_share
        ),
        Chart("calibration", "Do predicted probabilities mean what they say?", "exploratory", calibration),
        Listing("attention", "What the loss attends to", attention),
    ),
)
