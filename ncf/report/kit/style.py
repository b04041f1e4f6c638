"""How the report's figures look."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ncf.study.registration import Selector

# Okabe and Ito (2008), told apart with any colour vision; each comes with a marker, so that print in grey works too.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
GREY, LIGHT = "#666666", "#DDDDDD"
WIDTH = 9.0  # inches, of every figure

FORMATS = ("svg", "png")
"""What every figure is written as, unless others are asked for."""

METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Format -> what keeps time and versions out of its files."""

RC: Any = {
    "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans"],  # Matplotlib's own; an SVG names every family of the list in every text
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100.0,
    "savefig.dpi": 150.0,
    "svg.fonttype": "none",  # text stays text: half the size, and it can be searched
    "pdf.fonttype": 42,  # TrueType: publishers refuse the default, Type 3
    "svg.hashsalt": "ncf",  # the same figure is the same bytes
}


def look(arms: dict[str, Selector], name: str) -> tuple[str, str]:
    """Colour and marker of an arm, by its place among all of them."""
    place = list(arms).index(name) % len(COLOURS)
    return COLOURS[place], MARKERS[place]


def titled(figure: Figure, question: str) -> Figure:
    """`figure` with the question that it answers."""
    figure.suptitle(question, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    return figure


def percent_ticks(axes: Axes, which: str = "y") -> None:
    """Ticks of a share of 1 as per cent."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(PercentFormatter(1.0))


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS) -> str:
    """`figure` as `name`.svg and so on in `folder`; the same figure gives the same bytes. The SVG is also returned."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=METADATA["svg"])
    svg = _shared(_rounded(drawn.getvalue()))
    for kind in formats:
        if kind == "svg":
            (folder / f"{name}.svg").write_text(svg, "utf-8")
        else:
            figure.savefig(folder / f"{name}.{kind}", metadata=METADATA[kind])
    return svg


def _rounded(svg: str) -> str:
    """The coordinates at a hundredth of a point, which nobody sees and a fifth of the file. Text stays as it is."""
    return re.sub(r'="[^"]*"', lambda value: re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", value[0]), svg)


def _shared(svg: str) -> str:
    """The style that all markers of a group have, once, on the group: it is most of a file with many markers."""
    markers = r'<g([^>]*)>\n(( *)<use [^>]* style="([^"]*)"/>\n(?:\3<use [^>]* style="\4"/>\n)+)( *)</g>'

    def stated_once(found: re.Match[str]) -> str:
        attributes, uses, _, style, indent = found.groups()
        each = f' style="{style}"'
        return f"<g{attributes}{each}>\n{uses.replace(each, '')}{indent}</g>"

    return re.sub(markers, stated_once, svg)
