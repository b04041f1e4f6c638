"""The page of what variety costs: NDCG against the similarity of a list's items over lambda, and the table of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.core.files import write_text
from ncf.report.kit.inline import inline
from ncf.report.kit.markup import Table
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, WIDTH

_ALIKE = ("similarity by genre", "similarity by co_occurrence")
_AIMS = {"calibrated": ("miscalibration", *_ALIKE[:1]), "popularity_cap": ("popularity", *_ALIKE)}
"""What a re-ranker lowers, where that is not the similarity of a list's items: the first two known are drawn."""

_ROOM = 0.04  # of an axis: points nearer than this to one with a label have none


def write(found: pd.DataFrame, path: Path, title: str) -> None:
    """Write the page of `ncf.runs.diversity.trade_off` to `path`, whole or not at all. Raises FileError."""
    figures = inline({"trade-off": (QUESTION, trade_off)}, found, path.parent)
    captions = {"trade-off": CAPTION}
    context = {"title": title, "figures": figures, "captions": captions, "table": table(found)}
    write_text(path, Prose(found, html=True).page("diversity.html.j2", context))


def table(found: pd.DataFrame) -> Table:
    """Return every metric over lambda."""
    rows = [[_cell(name, v) for name, v in zip(found.columns, row)] for row in found.itertuples(index=False)]
    note = "The error is the standard error of the change of NDCG against the plain lists, paired by user."
    return Table(f"Metrics of lists of {_cutoff(found)}, means over users", list(found.columns), rows, note)


def _cell(name: str, value: Any) -> str:
    if name == "lambda":
        return f"{value:g}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _cutoff(found: pd.DataFrame) -> int:
    return int(found["candidates"].iloc[0])  # plain lists are all of their candidates


def trade_off(found: pd.DataFrame) -> Figure:
    """Draw NDCG, with its standard error, against what the re-ranker lowers, a point for each lambda."""
    shown = [name for name in _AIMS.get(found["rerank"].iloc[-1], _ALIKE) if name in found][:2]
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    plain, others = found.iloc[0], found.iloc[1:]
    for ax, name, colour in zip(axes, shown, COLOURS):
        ax.errorbar(others[name], others["ndcg"], yerr=others["error of the change"], color=colour, marker="o",
                    markersize=4, linewidth=1, elinewidth=0.6)  # fmt: skip
        ax.axhline(plain["ndcg"], color=GREY, linewidth=0.8, linestyle="--")
        _label(ax, others[[name, "ndcg"]].to_numpy(float), others["lambda"].tolist())
        ax.set_xlabel(f"mean {name.replace('_', '-')} in a list")
    axes[0].set_ylabel(f"NDCG@{_cutoff(found)}")
    return figure


def _label(ax: Axes, points: np.ndarray, weights: list[float]) -> None:
    """Write each lambda beside its point (L, 2), but for points too near to one that has its label."""
    places = ax.transAxes.inverted().transform(ax.transData.transform(points))
    labelled: list[np.ndarray] = []
    for place, point, weight in zip(places, points, weights):
        if all(np.linalg.norm(place - other) >= _ROOM for other in labelled):
            ax.annotate(f"{weight:g}", tuple(point), textcoords="offset points", xytext=(3, 4), fontsize=7)
            labelled.append(place)


QUESTION = "How much accuracy does variety cost?"
CAPTION = (
    "Each point is one lambda, written beside it where there is room; bars are one standard error of the difference "
    "from the plain lists (the dashed line) to either side. Lists further left are less alike, miscalibrated or "
    "popular. A lambda chosen on these users looks better than it is."
)
