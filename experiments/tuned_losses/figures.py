# ruff: noqa: RUF001
"""The page's figures, each with its question in the title."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.tuned_losses.analysis import Decided
from experiments.tuned_losses.design import Design
from ncf.report.kit.style import COLOURS, GREY, LIGHT, MARKERS, WIDTH, percent_ticks, titled


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
        ax.set_title(d.contrast.name.replace("_", "-"))
        ax.set_xlabel("block; right: mean and 95% interval")
        percent_ticks(ax)
    return titled(figure, "How far apart are the tuned losses, block by block?")


def budget(curves: pd.DataFrame) -> Figure:
    """Expected best validation value of n trials."""
    figure = Figure(figsize=(WIDTH, 3.2))
    ax = figure.subplots()
    for place, arm in enumerate(curves):
        ax.plot(curves.index, curves[arm], marker=MARKERS[place], color=COLOURS[place], markersize=4,
                label=str(arm).replace("_", "-"))  # fmt: skip
    ax.set_xlabel("trials")
    ax.set_ylabel("expected best validation NDCG@10")
    ax.legend()
    return titled(figure, "What does a larger tuning budget buy?")


def gamma(chosen: pd.DataFrame, design: Design) -> Figure:
    """The gammas and alphas that tuning chose for focal loss."""
    own = chosen[chosen["arm"] == "focal"]
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2)
    low, high = design.weights["gamma"]
    left.hist(own["loss.gamma"], bins=np.linspace(low, high, 13), color=COLOURS[0])
    left.axhline(len(own) / 12, color=GREY, linestyle="--", label="by chance")
    left.set_xlabel("γ that tuning chose")
    left.set_ylabel("repetitions")
    left.legend()
    right.plot(own["loss.gamma"], own["loss.alpha"], "o", color=COLOURS[0], markersize=3)
    right.set_xlabel("γ")
    right.set_ylabel("α")
    return titled(figure, "Where does the optimum of γ lie?")
