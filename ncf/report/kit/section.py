"""What a report is made of: sections of figures, tables and remarks, each with its words in a template."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from ncf.report.study import Study

Standing = Literal["registered", "descriptive", "exploratory"]
"""Registered: a registered comparison. Descriptive: registered runs without a registered test. Exploratory: neither."""

Facts = Mapping[str, Any]
"""What a macro of a template is told beside `study`."""


@dataclass(frozen=True)
class Drawing:
    """A figure, and the facts that its caption needs."""

    figure: Figure
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Cells:
    """A table's header and rows, and the facts that its note needs."""

    header: list[str]
    rows: list[list[str]]
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """A figure to be; its caption is the macro `<name>_caption`.

    Attributes:
        name: of its files.
        question: which it answers.
        standing: to the registration.
        draw: raises NotRunError where the data are not there.
    """

    name: str
    question: str
    standing: Standing
    draw: Callable[[Study], Drawing]


@dataclass(frozen=True)
class Listing:
    """A table to be; its note is the macro `<name>_note`. `make` raises NotRunError where the data are not there."""

    name: str
    title: str
    make: Callable[[Study], Cells]


@dataclass(frozen=True)
class Section:
    """One topic of a report.

    Attributes:
        title: its heading.
        prose: its words, a Jinja template: a macro for each figure, table and remark. See `ncf.report.kit.prose`.
        parts: figures and tables in their order.
        remarks: macro -> the facts of a remark on what came out; None where the tables hold too little for it.
        readme: the facts of the macro `readme`, which adds a part to README.md; None if the section adds none.
    """

    title: str
    prose: Path
    parts: tuple[Chart | Listing, ...]
    remarks: Mapping[str, Callable[[Study], Facts | None]] = field(default_factory=dict)
    readme: Callable[[Study], Facts] | None = None
