"""The page's two figures, each with its question in the title."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.baselines.arms import ARMS, METRICS, NAMES
from ncf.report.kit.style import COLOURS, GREY, WIDTH, titled

_BASELINE, _NCF = (COLOURS[0], "o"), (COLOURS[4], "D")  # colour and marker: told apart in grey, too
_FLOOR = 0.5  # of popularity's value: a model below it would squeeze all others into a corner


def drawn(results: pd.DataFrame) -> list[str]:
    """The arms that the figures have room for, the worst in test NDCG@10 first."""
    means = results.groupby("arm")[f"test/{METRICS[0]}"].mean().sort_values()
    return [str(name) for name in means.index if means[name] >= _FLOOR * means["popularity"]]


def who_wins(results: pd.DataFrame, intervals: pd.DataFrame) -> Figure:
    """Each model's mean with its interval over seeds and users, and its seeds as small points; one panel a metric."""
    order = drawn(results)
    figure = Figure(figsize=(WIDTH, 4.6))
    for metric, ax in zip(METRICS, figure.subplots(1, len(METRICS), sharey=True), strict=True):
        bounds = intervals[intervals["metric"] == metric].set_index("arm")
        for place, name in enumerate(order):
            colour, marker = _look(name)
            values = results.loc[results["arm"] == name, f"test/{metric}"]
            ax.plot(bounds.loc[name, ["low", "high"]].to_numpy(float), [place, place], color=colour, linewidth=1.4)
            if len(values) > 1:
                ax.plot(values, [place - 0.25] * len(values), "|", color=GREY, markersize=5)
            ax.plot(values.mean(), place, marker, color=colour, markersize=6)
        ax.set_xlabel(f"test {NAMES[metric]}")
        _models(ax, order)
    _legend(figure)
    return titled(figure, "Which model ranks best on MovieLens-100K?")


def against_neumf(results: pd.DataFrame, compared: pd.DataFrame, reference: str) -> Figure:
    """Each model's difference from NeuMF trained with BCE, and its interval over seeds and users."""
    table = compared[compared["against"] == reference]
    order = [name for name in drawn(results) if name != reference]
    figure = Figure(figsize=(WIDTH, 4.4))
    for metric, ax in zip(METRICS, figure.subplots(1, len(METRICS), sharey=True), strict=True):
        rows = table[table["metric"] == metric].set_index("arm")
        ax.axvline(0, color=GREY, linewidth=1)
        for place, name in enumerate(order):
            (colour, marker), row = _look(name), rows.loc[name]
            ax.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.4)
            hollow = "white" if row["p_both"] > 0.05 else colour
            ax.plot(row["difference"], place, marker, color=colour, markerfacecolor=hollow, markersize=6)
        ax.set_xlabel(f"test {NAMES[metric]}, difference from NeuMF")
        _models(ax, order)
    _legend(figure)
    return titled(figure, "Which models differ from NeuMF trained with BCE?")


def _look(name: str) -> tuple[str, str]:
    return _NCF if ARMS[name].ncf else _BASELINE


def _models(ax: Axes, order: list[str]) -> None:
    ax.set_yticks(range(len(order)), [ARMS[name].title for name in order])
    ax.grid(axis="y", visible=False)


def _legend(figure: Figure) -> None:
    ax = figure.axes[0]
    handles = [
        ax.plot([], [], marker, color=colour, label=label, markersize=6)[0]
        for (colour, marker), label in ((_BASELINE, "baseline"), (_NCF, "He et al. 2017"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
