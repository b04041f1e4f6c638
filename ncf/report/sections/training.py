"""What happens as training goes on: learning curves, where loss and gradient come from, calibration."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.report.naming import label, metric_name
from ncf.report.study import NotRunError, Study
from ncf.report.style import GREY, WIDTH, look, percent
from ncf.study.registration import Selector, in_arm

BIN_NAMES = ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"]
DYNAMICS = (
    "python -m ncf.train -m loss=bce,alpha_bce,focal neg_ratio=10 seed=42,43,44 dynamics=true "
    "hydra.sweep.dir=outputs/sweeps/dynamics"
)
_LEVELS = np.linspace(0, 1, 11)


def curves(study: Study) -> tuple[Figure, str]:
    """Validation metric by epoch, mean and middle half of the runs, until half of them have stopped."""
    table = study.joined(study.companion("curves", "the epochs of the runs: a report from run folders stores them"))
    present = {r: rows for r in study.ratios if not (rows := table[table["neg_ratio"] == r]).empty}
    figure = Figure(figsize=(WIDTH, 3.5))
    axes = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    for ax, (ratio, rows) in zip(axes, present.items()):
        for name, arm in study.main_arms.items():
            _curve(ax, study, name, _of_arm(rows, arm, ratio))
        ax.set_title(f"1:{ratio}")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel(f"validation {metric_name('ndcg@10')}")
    for name, arm in study.main_arms.items():
        colour, marker = look(study.main_arms, name)
        axes[0].plot([], [], color=colour, marker=marker, label=label(arm))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure, (
        "Lines are means over seeds, bands the middle half of them; each is drawn while at least half of its runs "
        "still train. The marker stands at the median selected epoch."
    )


def _of_arm(table: pd.DataFrame, arm: Selector, ratio: int) -> pd.DataFrame:
    """The rows of a table that belong to an arm at a ratio."""
    own = np.array([in_arm(r, arm, ratio) and r["neg_ratio"] == ratio for r in table.to_dict("records")], dtype=bool)
    return table[own]


def _curve(ax: Axes, study: Study, name: str, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    colour, marker = look(study.main_arms, name)
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


def loss_share(study: Study) -> tuple[Figure, str]:
    """Share of the loss by confidence bin over epochs."""
    return _shares(study, "loss_share", "of the loss")


def gradient_share(study: Study) -> tuple[Figure, str]:
    """Share of the gradient by confidence bin over epochs."""
    return _shares(study, "gradient_share", "of the gradient")


def _shown_ratio(study: Study, table: pd.DataFrame) -> int:
    """The ratio with most of the compared arms in the table; of equals, one of the first claim, then the lowest."""
    first = next(iter(study.registration.hypotheses.values())).claims[0].ratios
    ratios = dict.fromkeys((*first, *study.ratios))
    return max(ratios, key=lambda r: sum(not _of_arm(table, arm, r).empty for arm in study.main_arms.values()))


def _shares(study: Study, quantity: str, words: str) -> tuple[Figure, str]:
    table = study.companion("attention", "no run has recorded its dynamics", DYNAMICS)
    ratio = _shown_ratio(study, table)
    arms = {name: rows for name, arm in study.main_arms.items() if not (rows := _of_arm(table, arm, ratio)).empty}
    if not arms:
        raise NotRunError("none of the compared losses has recorded its dynamics", DYNAMICS)
    figure = Figure(figsize=(WIDTH, 4.9))
    axes = figure.subplots(2, len(arms), squeeze=False, sharex=True, sharey=True)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.95, len(BIN_NAMES)))
    for row, kind in zip(axes, ("positive", "negative")):
        for ax, (name, rows) in zip(row, arms.items()):
            columns = [f"{kind}_{quantity}_{n}" for n in range(len(BIN_NAMES))]
            ax.stackplot(rows["epoch"], rows[columns].to_numpy().T, colors=colours, labels=BIN_NAMES, linewidth=0)
            ax.set_title(label(study.main_arms[name]) if kind == "positive" else "")
            ax.margins(x=0, y=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
        row[0].set_ylabel(f"{kind}s' share\n{words}")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    axes[0, 0].set_ylim(0, 1)
    percent(axes[0, 0])
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5,
        title="$p_t$, the probability given to the truth",
    )  # fmt: skip
    runs = ", ".join(f"{label(study.main_arms[name])}: {rows['runs'].max()} runs" for name, rows in arms.items())
    return figure, (
        f"At 1:{ratio}; positives and negatives together make 100%. Recorded from every 16th step. "
        f"Means over the runs still training ({runs})."
    )


def calibration(study: Study) -> tuple[Figure, str]:
    """Reliability curves on validation at the selected epoch."""
    table = study.joined(study.companion("selected", "no run has recorded its dynamics", DYNAMICS))
    present = [r for r in study.ratios if (table["neg_ratio"] == r).any()]
    figure = Figure(figsize=(WIDTH, 3.7))
    axes = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    absent = False
    for ax, ratio in zip(axes, present):
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
        for name, arm in study.main_arms.items():
            rows = _of_arm(table, arm, ratio)
            absent |= rows.empty
            if not rows.empty:
                colour, marker = look(study.main_arms, name)
                ax.plot(*_reliability(rows), color=colour, marker=marker, markersize=4.5,
                        label=f"{label({'loss': arm['loss']})} {rows['ece'].mean():.3f}")  # fmt: skip
        ax.set_title(f"1:{ratio}")
        ax.set_xlabel("predicted probability")
        ax.legend(loc="lower right", fontsize=7.5, title="ECE", title_fontsize=7.5)
        percent(ax, "x")
        percent(ax)
        ax.set_aspect("equal", adjustable="box")
    axes[0].set_ylabel("share of positives")
    runs = ", ".join(f"{(table['neg_ratio'] == r).sum()} at 1:{r}" for r in present)
    return figure, (
        "Validation positives among negatives drawn as in training, at the selected epoch; bins of a tenth, runs "
        "pooled. On the dashed line a probability means what it says. "
        f"ECE: expected calibration error, mean over runs ({runs})."
        + (" Where a loss is absent, no run of it has recorded its dynamics." if absent else "")
    )


def _reliability(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean predicted and observed of each tenth, runs pooled; tenths without rows left out."""
    count, predicted, observed = (
        rows[[f"{what}_{n}" for n in range(10)]].to_numpy() for what in ("rows", "predicted", "observed")
    )
    total = count.sum(0)
    some = total > 0
    return (count * predicted).sum(0)[some] / total[some], (count * observed).sum(0)[some] / total[some]


def attention(study: Study) -> Table:
    """What each loss attends to at the selected epoch."""
    table = study.joined(study.companion("selected", "no run has recorded its dynamics", DYNAMICS))
    rows = []
    for ratio in study.ratios:
        for arm in study.registration.arms.values():
            found = {c: study.values(arm, ratio, c, table) for c in _SELECTED}
            if len(found["ece"]):
                v = {c: float(values.mean()) for c, values in found.items()}
                shares = [v[f"{k}_effective_sample_size"] / v[f"{k}_rows"] for k in ("positive", "negative")]
                rows.append(
                    [f"1:{ratio}", label(arm), f"{len(found['ece'])}", f"{v['positive_confidence']:.3f}",
                     f"{v['negative_confidence']:.3f}", *(f"{s:.0%}" for s in shares), f"{v['held_out_rate']:.3%}",
                     f"{v['held_out_weight']:.3f}", f"{v['held_out_weight_of_others']:.3f}", f"{v['ece']:.3f}"]
                )  # fmt: skip
    header = [
        "negatives", "loss", "seeds", "p_t positives", "p_t negatives", "effective positives", "effective negatives",
        "held out drawn", "their weight", "others' weight", "ECE",
    ]  # fmt: skip
    note = (
        "At the selected epoch, means over seeds. Effective: (sum w)² / sum w² of the weights over the rows. Held out: "
        "how often a negative was the user's validation positive, and the mean weight it got beside other negatives."
    )
    return Table("What the loss attends to", header, rows, note)


_SELECTED = (
    "positive_rows", "negative_rows", "positive_confidence", "negative_confidence", "positive_effective_sample_size",
    "negative_effective_sample_size", "held_out_rate", "held_out_weight", "held_out_weight_of_others", "ece",
)  # fmt: skip


