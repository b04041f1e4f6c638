"""Figures within a page of HTML."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from ncf.report.kit.style import RC, save, titled

Found = TypeVar("Found")


def inline(
    charts: Mapping[str, tuple[str, Callable[[Found], Figure | None]]], found: Found, folder: Path,
    formats: Sequence[str] = (),
) -> dict[str, Markup]:  # fmt: skip
    """Draw every chart of what was found that has something to show; return its SVG by name, labelled for readers.

    Args:
        charts: name -> the question that the chart answers, its title, and what draws it, or returns None.
        found: what is drawn.
        folder: where the figures go as files too.
        formats: of these files; none: no file is written.
    """
    figures = {}
    for name, (question, draw) in charts.items():
        with matplotlib.rc_context(RC):
            if (figure := draw(found)) is not None:
                svg = save(titled(figure, question), folder, name, formats)
                label = f'<svg role="img" aria-label="{escape(question)}"'
                figures[name] = Markup(svg[svg.index("<svg") :].replace("<svg", label, 1))
    return figures
