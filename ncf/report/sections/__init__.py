"""The sections that a report can have, by name: a closed registry, to which only code adds.

A module of your own adds one with `register`, and `python -m ncf.report --import my_sections` brings it in.
"""

from collections.abc import Sequence

from ncf.errors import ConfigError
from ncf.report.kit.section import Section
from ncf.report.sections import comparisons, effects, groups, missing, protocol, runs, training

SECTIONS: dict[str, Section] = {
    "comparisons": comparisons.SECTION,
    "effects": effects.SECTION,
    "runs": runs.SECTION,
    "training": training.SECTION,
    "protocol": protocol.SECTION,
    "groups": groups.SECTION,
    "missing": missing.SECTION,
}
OWN = tuple(SECTIONS)
"""The library's own sections, which a report has unless its registration names others."""


def register(name: str, section: Section) -> None:
    """Make `section` what a registration's `report` calls `name`. Raises ConfigError if another one has the name."""
    if SECTIONS.get(name, section) is not section:
        raise ConfigError(f"report: a section named {name} is already registered; expected another name")
    SECTIONS[name] = section


def chosen(names: Sequence[str] | None) -> list[Section]:
    """The sections of these names, by default the library's own. Raises ConfigError for an unknown name."""
    for name in names or ():
        if name not in SECTIONS:
            raise ConfigError(
                f"report.sections: expected some of {', '.join(SECTIONS)}, got {name!r}; --import brings in your own"
            )
    return [SECTIONS[name] for name in (OWN if names is None else names)]
