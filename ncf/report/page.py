"""From a study to files: figures, tables, the page, the README."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ncf.core.files import write_text
from ncf.report import sentences
from ncf.report.figures import CHARTS, Standing
from ncf.report.markup import Table
from ncf.report.naming import label, metric_name
from ncf.report.study import NotRunError, Study
from ncf.report.style import RC, save, titled
from ncf.report.tables import TABLES

TEMPLATES = Path(__file__).parent / "templates"
PAGE, README = "report.html", "README.md"

SECTIONS: dict[str, tuple[str, ...]] = {  # what the page shows: names of figures and tables, figures first of a name
    "The registered comparisons": ("figure:forest", "table:comparisons", "figure:paired", "figure:gain"),
    "How sure, and how large": ("table:effects", "table:users", "table:design"),
    "All runs": ("figure:distribution", "table:results", "figure:heat_map", "table:alpha_ratio"),
    "The published code's mistake": ("figure:clamped", "table:clamped"),
    "Training": (
        "figure:curves", "figure:loss_share", "figure:gradient_share", "figure:calibration", "table:attention",
    ),
    "Another protocol, other groups": ("figure:sampled", "table:protocols", "figure:groups"),
    "What is missing": ("table:missing",),
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: its question, its standing, its caption, and itself as SVG to put into a page."""

    name: str
    question: str
    standing: Standing
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Absent:
    """A figure or table whose data are not there."""

    title: str
    missing: str
    command: str

    @property
    def sentence(self) -> str:
        return f"Not run yet: {self.missing}; this command runs it:"


def write(study: Study, output: Path) -> None:
    """Everything that the tables of `study` give: figures/, tables/, report.html and README.md in `output`."""
    figures = {name: drawn(study, name, _fresh(output / "figures", not n)) for n, name in enumerate(CHARTS)}
    tables = {name: _made(study, name, make) for name, make in TABLES.items()}
    folder = _fresh(output / "tables", True)
    for name, table in tables.items():
        if isinstance(table, Table):
            write_text(folder / f"{name}.md", table.markdown())
            write_text(folder / f"{name}.tex", table.latex())
    parts = {f"figure:{name}": f for name, f in figures.items()} | {f"table:{name}": t for name, t in tables.items()}
    context = {
        "study": study,
        "say": sentences,
        "label": label,
        "metric_name": metric_name,
        "sections": {title: [parts[name] for name in names] for title, names in SECTIONS.items()},
        "figures": figures,
        "tables": tables,
    }
    for template, name in ((f"{PAGE}.j2", PAGE), (f"{README}.j2", README)):
        write_text(output / name, _environment(html=name == PAGE).get_template(template).render(context))


def drawn(study: Study, name: str, folder: Path) -> Drawn | Absent:
    """The figure `name` as SVG and PNG in `folder`, or why it is not there."""
    chart = CHARTS[name]
    try:
        with matplotlib.rc_context(RC):
            figure, caption = chart.draw(study)
            save(titled(figure, chart.question), folder, name)
    except NotRunError as absent:
        return Absent(chart.question, absent.missing, absent.command)
    svg = (folder / f"{name}.svg").read_text()
    inline = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{chart.question}"', 1)
    return Drawn(name, chart.question, chart.standing, caption, Markup(inline))


def _made(study: Study, name: str, make: Callable[[Study], Table]) -> Table | Absent:
    try:
        return make(study)
    except NotRunError as absent:
        return Absent(name.replace("_", " ").capitalize(), absent.missing, absent.command)


def _fresh(folder: Path, clear: bool) -> Path:
    """`folder`, emptied if `clear`, so that nothing of an earlier report stays that this one does not make."""
    if clear and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment(html: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=html, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
