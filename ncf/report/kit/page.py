"""From a study to files: figures, tables, the page, the README."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from tqdm import tqdm

from ncf.core.files import write_text
from ncf.core.outside import open_regular
from ncf.errors import ConfigError, DataError
from ncf.report.kit.markup import Table
from ncf.report.kit.prose import Prose, line
from ncf.report.kit.section import Chart, Listing, Section, Standing
from ncf.report.kit.style import FORMATS, RC, save, titled
from ncf.report.staging import staged
from ncf.report.study import TABLES, NotRunError, Study

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


def write(study: Study, sections: Sequence[Section], output: Path, formats: Sequence[str] = FORMATS) -> None:
    """Everything that the sections make of `study`, in `output`: figures/, tables/, report.html and README.md.

    What an earlier report wrote there is replaced; see `ncf.report.staging.staged`.

    Raises:
        ConfigError, FileError, DataError: as `build` and `staged`.
    """
    refuse_doubles(sections)
    with staged(output, keeps=TABLES) as folder:
        build(study, sections, folder, output, formats)


def refuse_doubles(sections: Sequence[Section]) -> None:
    """Raise ConfigError if two figures or two tables have one name."""
    parts = [part for section in sections for part in section.parts]
    for (kind, name), count in Counter((type(part), part.name) for part in parts).items():
        if count > 1:
            raise ConfigError(f"report: {count} sections have a {kind.__name__.lower()} named {name}; expected one")


def build(study: Study, sections: Sequence[Section], folder: Path, output: Path, formats: Sequence[str]) -> None:
    """The whole report in the empty `folder`, as it is to lie in `output`.

    Raises:
        ConfigError: a section's template lacks a macro.
    """
    for part in ("figures", "tables"):
        (folder / part).mkdir()
    words = Prose(study)
    parts = [(section, part) for section in sections for part in section.parts]
    bar = tqdm(parts, desc="figures and tables", unit="", delay=2, leave=False)
    made = {part: _made(study, words, section, part, folder, formats) for section, part in bar}
    context: dict[str, Any] = {
        "sections": {section.title: [made[part] for part in section.parts] for section in sections},
        "figures": {part.name: figure for part, figure in made.items() if isinstance(part, Chart)},
        "image": next((kind for kind in ("png", "svg") if kind in formats), formats[0]),
        "tables": {part.name: table for part, table in made.items() if isinstance(part, Listing)},
        "remarks": [remark for section in sections for remark in remarks(study, words, section)],
        "additions": [words.macro(s.prose, "readme", s.readme(study)) for s in sections if s.readme],
        "registered_in": _registration_file(study, output),
    }
    write_text(folder / PAGE, Prose(study, html=True).page(f"{PAGE}.j2", context))
    write_text(folder / README, words.page(f"{README}.j2", context))


def _made(
    study: Study, words: Prose, section: Section, part: Chart | Listing, output: Path, formats: Sequence[str]
) -> Part:
    """A figure or table, written to `output`, or why it is not there."""
    try:
        if isinstance(part, Chart):
            return drawn(study, words, section, part, output / "figures", formats)
        return tabulated(study, words, section, part, output / "tables")
    except NotRunError as absent:
        title = part.question if isinstance(part, Chart) else part.title
        return Absent(title, absent.missing, study.command(absent.made_by))


def drawn(
    study: Study, words: Prose, section: Section, chart: Chart, folder: Path, formats: Sequence[str] = FORMATS
) -> Drawn:
    """The figure in `folder`, a file for each of `formats`. Raises NotRunError."""
    with matplotlib.rc_context(RC):
        drawing = chart.draw(study)
        svg = save(titled(drawing.figure, chart.question), folder, chart.name, formats)
    caption = line(words.macro(section.prose, f"{chart.name}_caption", drawing.facts))
    inline = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(chart.question)}"', 1)
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
    return next((f.name for f in sorted(folder.glob("*.yaml")) if _sha256(f) == study.registration.sha256), "")


def _sha256(path: Path) -> str:
    """The digest of a file; empty for one that cannot be read, or that is too large for a registration."""
    try:
        with open_regular(path, 2**20, DataError) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except (DataError, OSError):
        return ""
