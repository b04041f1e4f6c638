"""The page of what variety costs: NDCG against the similarity of a list's items over lambda, and the table of it."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ncf.core.files import write_text
from ncf.report.kit.inline import inline
from ncf.report.kit.markup import Table
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, WIDTH

_FIRST = ("similarity by genre", "similarity by co_occurrence")


def write(found: pd.DataFrame, path: Path, title: str) -> None:
    """Write the page of `ncf.runs.diversity.trade_off` to `path`, whole or not at all. Raises FileError."""
    figures = inline({"trade-off": (QUESTION, trade_off)}, found, path.parent)
    captions = {"trade-off": CAPTION}
    context = {"title": title, "figures": figures, "captions": captions, "table": table(found)}
    write_text(path, Prose(found, html=True).page("diversity.html.j2", context))


def table(found: pd.DataFrame) -> Table:
    """Return every metric over lambda."""
    rows = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in found.itertuples(index=False)]
    note = "The error is the standard error of the change of NDCG against the plain lists, paired by user."
    return Table("Metrics", list(found.columns), rows, note)


def trade_off(found: pd.DataFrame) -> Figure:
    """Draw NDCG, with its standard error, against similarity, a point for each lambda."""
    shown = [name for name in _FIRST if name in found]
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    plain, others = found.iloc[0], found.iloc[1:]
    for ax, name, colour in zip(axes, shown, COLOURS):
        ax.errorbar(others[name], others["ndcg"], yerr=others["error of the change"], color=colour, marker="o",
                    markersize=4, linewidth=1, elinewidth=0.6)  # fmt: skip
        ax.axhline(plain["ndcg"], color=GREY, linewidth=0.8, linestyle="--")
        for _, row in others.iterrows():
            ax.annotate(f"{row['lambda']:g}", (row[name], row["ndcg"]), textcoords="offset points", xytext=(3, 4),
                        fontsize=7)  # fmt: skip
        ax.set_xlabel(f"mean {name} in a list")
    axes[0].set_ylabel("NDCG")
    return figure


QUESTION = "How much accuracy does variety cost?"
CAPTION = (
    "Each point is one lambda, written beside it; bars are standard errors of the difference from the plain lists (the "
    "dashed line). "
    "Lists to the left have more variety. A lambda chosen on these users looks better than it is."
)
