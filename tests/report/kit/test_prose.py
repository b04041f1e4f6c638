"""The words of a report: sentences that follow from the study's tables, and templates that lack a word."""

from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from ncf.errors import ConfigError
from ncf.report.kit.prose import TEMPLATES, Prose, line
from ncf.report.study import Study


def said(study: Study, macro: str, **facts: object) -> str:
    return line(Prose(study).macro(TEMPLATES / "sentences.j2", macro, facts))


def judged(study: Study, *statuses: str) -> Study:
    """The study with these statuses of its claims in place of its own."""
    other = Study(study.registration, study.runs, study.protocol, study.companions)
    verdicts = [
        replace(v, conclusion=replace(v.conclusion, status=status))
        for v, status in zip(study.verdicts, statuses, strict=True)
    ]
    object.__setattr__(other, "verdicts", verdicts)
    return other


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("refuted",) * 3, "No: H1, H2 and H3 are refuted."),
        (("fails",) * 3, "Not as registered: H1, H2 and H3 fail."),
        (("holds", "fails", "holds"), "Yes, as far as was registered: H2 fails and H1 and H3 hold."),
        (("undecided", "holds", "refuted"), "Not shown: H2 holds, H3 is refuted and H1 is undecided."),
    ],
)
def test_the_headline_answers_the_first_hypothesis_and_counts_all(
    study: Study, statuses: tuple[str, ...], expected: str
) -> None:
    assert said(judged(study, *statuses), "headline") == expected


def test_without_all_runs_the_headline_says_that_nothing_is_decided(study: Study) -> None:
    some = Study(study.registration, study.runs[study.runs["seed"] < 46], study.protocol, study.companions)
    assert said(some, "headline") == "Not decided yet: H1, H2 and H3 are undecided."
    finished = (some.runs["seed"] < 46).sum()
    assert said(some, "progress").startswith(f"{finished} of {len(study.runs)} registered runs are finished;")
    assert said(study, "progress") == f"All {len(study.runs)} registered runs are finished."


def test_runs_of_another_registration_are_pointed_out(study: Study) -> None:
    assert said(study, "registered_as").startswith("Every run carries")
    other = Study(study.registration, study.runs.assign(registration="f" * 64), study.protocol, study.companions)
    assert f"the runs carry {'f' * 64}. What was changed after its runs began is exploratory." in said(
        other, "registered_as"
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [("make grid", "Not run yet: the grid; this command runs it:"), ("", "Not run yet: the grid.")],
)
def test_what_was_not_run_is_said_with_its_command_if_there_is_one(
    study: Study, tmp_path: Path, command: str, expected: str
) -> None:
    template = tmp_path / "mine.j2"
    template.write_text('{% import "sentences.j2" as say %}{% macro a() %}{{ say.not_run(part) }}{% endmacro %}')
    facts = {"part": {"missing": "the grid", "command": command}}
    assert line(Prose(study).macro(template, "a", facts)) == expected


def test_a_template_without_the_word_that_is_asked_for_is_named(study: Study, tmp_path: Path) -> None:
    template = tmp_path / "mine.j2"
    template.write_text("{% macro a() %}{% endmacro %}")
    with pytest.raises(ConfigError, match=r"mine\.j2: expected a macro named b, found none"):
        Prose(study).macro(template, "b", {})


def test_a_wrapped_line_is_one_line_and_markup_stays_markup() -> None:
    assert line("  a\n  b\n") == "a b"
    assert line(Markup("&lt;a&gt;\n b")) == Markup("&lt;a&gt; b")
    assert isinstance(line(Markup("a\nb")), Markup)


def test_what_is_filled_in_is_escaped_in_html_only(study: Study, tmp_path: Path) -> None:
    template = tmp_path / "mine.j2"
    template.write_text("{% macro a() %}<p>{{ word }}{% endmacro %}")
    assert Prose(study, html=True).macro(template, "a", {"word": "<b>"}) == "<p>&lt;b&gt;"
    assert Prose(study).macro(template, "a", {"word": "<b>"}) == "<p><b>"


def test_a_template_that_has_changed_says_what_it_says_now(study: Study, tmp_path: Path) -> None:
    """Templates are compiled once a process, by their text."""
    template, prose = tmp_path / "mine.j2", Prose(study)
    for word in ("one", "two"):
        template.write_text(f"{{% macro a() %}}{word}{{% endmacro %}}")
        assert (prose.macro(template, "a", {}), Prose(study).macro(template, "a", {})) == (word, word)


def test_the_design_names_the_data_where_the_protocol_does(study: Study) -> None:
    rest = "are paired by seed (11 at 1:4, 10 at 1:10, 6 at 1:50). Each comparison is an exact two-sided Wilcoxon"
    assert said(study, "design").startswith(f"Runs on ml-100k {rest}")
    without = Study(study.registration, study.runs, {}, study.companions)
    assert said(without, "design").startswith(f"Runs {rest}")
