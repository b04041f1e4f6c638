"""Sections by name: the library's own, those that code adds, and no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ncf.errors import ConfigError
from ncf.report.kit.section import Chart, Section
from ncf.report.sections import SECTIONS, chosen, register

MINE = Section("Mine", Path("mine.j2"), ())


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(SECTIONS)
    yield
    SECTIONS.clear()
    SECTIONS.update(before)


def test_a_report_has_all_of_the_librarys_sections_unless_it_names_some() -> None:
    assert [section.title for section in chosen(None)][:3] == [
        "The registered comparisons", "How sure, and how large", "All runs",
    ]  # fmt: skip
    assert chosen(["missing", "runs"]) == [SECTIONS["missing"], SECTIONS["runs"]]
    assert chosen([]) == []


def test_a_section_that_code_adds_is_shown_where_it_is_named() -> None:
    register("mine", MINE)
    register("mine", MINE)  # imported twice
    assert chosen(["mine"]) == [MINE]
    assert MINE not in chosen(None)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ConfigError, match="a section named runs is already registered; expected another name"):
        register("runs", MINE)


def test_an_unknown_section_is_one_line_that_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"expected some of comparisons, .*, got 'heat_map'; --import") as caught:
        chosen(["runs", "heat_map"])
    assert "\n" not in str(caught.value)


def test_names_of_files_are_distinct_and_every_word_has_its_macro() -> None:
    parts = [(section, part) for section in chosen(None) for part in section.parts]
    assert len({(type(part), part.name) for _, part in parts}) == len(parts)
    for section, part in parts:
        macro = f"{part.name}_{'caption' if isinstance(part, Chart) else 'note'}"
        assert f"macro {macro}()" in section.prose.read_text()
