# ruff: noqa: RUF001
"""The page's figures, each with its question in the title."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.tuned_losses.analysis import Decided
from experiments.tuned_losses.design import Contrast, Design
from ncf.report.kit.style import COLOURS, GREY, LIGHT, MARKERS, WIDTH, percent_ticks, titled

NAMES = {"bce": "BCE", "alpha_bce": "α-BCE", "focal": "focal loss", "ndcg@10": "NDCG@10", "hit@10": "HR@10"}
_BINS = 12  # of the gammas that tuning chose


def title(contrast: Contrast) -> str:
    """Such as "focal loss − BCE"."""
    return f"{NAMES[contrast.treatment]} − {NAMES[contrast.baseline]}"


def blocks(values: pd.DataFrame, decided: Sequence[Decided], design: Design) -> Figure:
    """The relative differences of the blocks, the mean with its interval, and the region of no worthwhile effect."""
    figure = Figure(figsize=(WIDTH, 3.2))
    for place, (d, ax) in enumerate(zip(decided, figure.subplots(1, len(decided), sharey=True), strict=True)):
        relative = (values[d.contrast.treatment] - values[d.contrast.baseline]) / values[d.contrast.baseline].mean()
        ax.axhspan(-design.smallest_effect, design.smallest_effect, color=LIGHT, linewidth=0)
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.plot(values.index, relative, MARKERS[place], color=COLOURS[place], markersize=4)
        reach = [[d.result.relative - d.result.low], [d.result.high - d.result.relative]]
        ax.errorbar([len(values) + 1], [d.result.relative], reach, fmt=MARKERS[place], color="black", capsize=3)
        ax.set_title(title(d.contrast))
        if not place:
            ax.set_ylabel(f"change of test {NAMES[design.monitor]}")
        ax.set_xlabel("block; right: mean and 95% interval")
        percent_ticks(ax)
    return titled(figure, "How far apart are the tuned losses, block by block?")


def budget(curves: pd.DataFrame) -> Figure:
    """Expected best validation value of n trials."""
    figure = Figure(figsize=(WIDTH, 3.2))
    ax = figure.subplots()
    for place, arm in enumerate(curves):
        ax.plot(curves.index, curves[arm], marker=MARKERS[place], color=COLOURS[place], markersize=4,
                label=NAMES[str(arm)])  # fmt: skip
    ax.set_xlabel("trials")
    ax.set_ylabel("expected best validation NDCG@10")
    ax.legend()
    return titled(figure, "What does a larger tuning budget buy?")


def gamma(chosen: pd.DataFrame, alone: pd.DataFrame, design: Design) -> Figure:
    """The gammas that tuning chose for focal loss, and what gamma changes when nothing else does."""
    own = chosen[chosen["arm"] == "focal"]
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2)
    edges = np.linspace(*design.weights["gamma"], _BINS + 1)
    left.hist(own["loss.gamma"], bins=edges, color=COLOURS[0])
    left.axhline(len(own) / _BINS, color=GREY, linestyle="--", label="by chance")
    left.set_xlabel("γ that tuning chose")
    left.set_ylabel("repetitions")
    left.legend()
    right.axhline(0, color=GREY, linewidth=0.8)
    right.errorbar(alone["gamma"], alone["change"], 2 * alone["error"], fmt=MARKERS[0], color=COLOURS[0], capsize=3)
    right.set_xlabel(f"γ, all else equal, {design.rungs[0].epochs} epochs")
    right.set_ylabel("change of validation NDCG@10")
    percent_ticks(right)
    return titled(figure, "Where does the optimum of γ lie?")
