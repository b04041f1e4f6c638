"""From a study to files: figures, tables, the page, the README."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup

from ncf.core.files import write_text
from ncf.errors import ConfigError
from ncf.report.kit.markup import Table
from ncf.report.kit.prose import Prose, line
from ncf.report.kit.section import Chart, Listing, Section, Standing
from ncf.report.kit.style import RC, save, titled
from ncf.report.study import NotRunError, Study

PAGE, README = "report.html", "README.md"


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
    """A figure or table whose data are not there; `command` makes them, empty if nobody said what does."""

    title: str
    missing: str
    command: str


Part = Drawn | Table | Absent


def write(study: Study, sections: Sequence[Section], output: Path) -> None:
    """Everything that the sections make of `study`: figures/, tables/, report.html and README.md in `output`.

    Raises:
        ConfigError: two figures or two tables have one name, or a section's template lacks a macro.
    """
    parts = [(section, part) for section in sections for part in section.parts]
    for (kind, name), count in Counter((type(part), part.name) for _, part in parts).items():
        if count > 1:
            raise ConfigError(f"report: {count} sections have a {kind.__name__.lower()} named {name}; expected one")
    for folder in ("figures", "tables"):  # emptied: nothing of an earlier report stays that this one does not make
        if (output / folder).exists():
            shutil.rmtree(output / folder)
        (output / folder).mkdir(parents=True)
    words = Prose(study)
    made = {part: _made(study, words, section, part, output) for section, part in parts}
    context: dict[str, Any] = {
        "sections": {section.title: [made[part] for part in section.parts] for section in sections},
        "figures": {part.name: figure for part, figure in made.items() if isinstance(part, Chart)},
        "tables": {part.name: table for part, table in made.items() if isinstance(part, Listing)},
        "remarks": [remark for section in sections for remark in remarks(study, words, section)],
        "additions": [words.macro(s.prose, "readme", s.readme(study)) for s in sections if s.readme],
        "registered_in": _registration_file(study, output),
    }
    write_text(output / PAGE, Prose(study, html=True).page(f"{PAGE}.j2", context))
    write_text(output / README, words.page(f"{README}.j2", context))


def _made(study: Study, words: Prose, section: Section, part: Chart | Listing, output: Path) -> Part:
    """A figure or table, written to `output`, or why it is not there."""
    try:
        if isinstance(part, Chart):
            return drawn(study, words, section, part, output / "figures")
        return tabulated(study, words, section, part, output / "tables")
    except NotRunError as absent:
        title = part.question if isinstance(part, Chart) else part.title
        return Absent(title, absent.missing, study.command(absent.made_by))


def drawn(study: Study, words: Prose, section: Section, chart: Chart, folder: Path) -> Drawn:
    """The figure as SVG and PNG in `folder`. Raises NotRunError."""
    with matplotlib.rc_context(RC):
        drawing = chart.draw(study)
        save(titled(drawing.figure, chart.question), folder, chart.name)
    caption = line(words.macro(section.prose, f"{chart.name}_caption", drawing.facts))
    svg = (folder / f"{chart.name}.svg").read_text()
    inline = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{chart.question}"', 1)
    return Drawn(chart.name, chart.question, chart.standing, caption, Markup(inline))


def tabulated(study: Study, words: Prose, section: Section, listing: Listing, folder: Path) -> Table:
    """The table as Markdown and LaTeX in `folder`. Raises NotRunError."""
    cells = listing.make(study)
    note = line(words.macro(section.prose, f"{listing.name}_note", cells.facts))
    table = Table(listing.title, cells.header, cells.rows, note)
    write_text(folder / f"{listing.name}.md", table.markdown())
    write_text(folder / f"{listing.name}.tex", table.latex())
    return table


def remarks(study: Study, words: Prose, section: Section) -> list[str]:
    """What a section remarks on what came out, as far as the tables have it."""
    known = {name: facts for name, find in section.remarks.items() if (facts := find(study)) is not None}
    return [line(words.macro(section.prose, name, facts)) for name, facts in known.items()]


def _registration_file(study: Study, folder: Path) -> str:
    """The name of the file in `folder` that is the study's registration; empty if none is."""
    files = sorted(folder.glob("*.yaml"))
    return next((f.name for f in files if hashlib.sha256(f.read_bytes()).hexdigest() == study.registration.sha256), "")
