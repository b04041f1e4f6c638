"""What sections are made of: parts that know nothing more unless they say so, and cannot be changed once registered."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ncf.report.kit.section import Cells, Drawing, Section


def test_without_facts_a_part_tells_its_template_nothing_and_shares_nothing() -> None:
    first, second = Drawing(Figure()), Cells([], [])
    assert first.facts == second.facts == {}
    assert first.facts is not Drawing(Figure()).facts


def test_a_section_adds_no_remarks_and_nothing_to_the_readme_unless_it_says_so() -> None:
    section = Section("Mine", Path("mine.j2"), ())
    assert (section.remarks, section.readme) == ({}, None)
    with pytest.raises(FrozenInstanceError):
        section.title = "Another"  # type: ignore[misc]
