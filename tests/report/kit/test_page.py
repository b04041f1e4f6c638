"""The report itself: complete, self-contained, the same bytes again, and its numbers those of results.csv."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import REGISTRATION, presented, registration, runs, write
from scipy import stats

from ncf.errors import ConfigError
from ncf.report.kit import page
from ncf.report.kit.section import Cells, Chart, Listing, Section
from ncf.report.sections import chosen
from ncf.report.study import NotRunError, Study, load

PARTS = [part for section in chosen(None) for part in section.parts]
CHARTS = [part for part in PARTS if isinstance(part, Chart)]
TABLES = [part.name for part in PARTS if isinstance(part, Listing)]


class Outline(HTMLParser):
    """What a page links to and loads, and its open elements."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]


def outline(path: Path) -> Outline:
    parsed = Outline()
    parsed.feed(path.read_text())
    return parsed


@pytest.mark.slow
def test_every_figure_and_table_is_written(reported: Path) -> None:
    figures = {path.name for path in (reported / "figures").iterdir()}
    assert figures == {f"{chart.name}.svg" for chart in CHARTS}
    assert {path.name for path in (reported / "tables").iterdir()} == {
        f"{t}.{k}" for t in TABLES for k in ("md", "tex")
    }


def test_the_page_loads_nothing_and_runs_nothing(reported: Path) -> None:
    parsed = outline(reported / page.PAGE)
    assert not [link for link in parsed.loaded if not link.startswith(("#", "data:"))]
    assert "script" not in parsed.tags
    assert "@import" not in (reported / page.PAGE).read_text()
    assert parsed.tags.count("svg") == len(CHARTS)


def test_the_first_screen_says_what_was_asked_and_what_came_out(study: Study, reported: Path) -> None:
    text = (reported / page.PAGE).read_text()
    head = text[text.index("<main>") : text.index("<h2>")]
    assert study.registration.question in head
    for v in study.verdicts:
        assert f"{v.hypothesis}: {v.conclusion.status}" in head
        assert f"{v.hypothesis} {v.conclusion.sentence}; it needs all of them better." in head
        assert f"Intervals over seeds: {v.intervals}." in head
        assert v.statement in head
    assert f"All {len(study.runs)} registered runs are finished." in head


def test_each_figure_has_its_question_and_how_it_stands_to_the_registration(reported: Path) -> None:
    text = (reported / page.PAGE).read_text()
    for chart in CHARTS:
        part = text[text.index(f'<figure id="{chart.name}">') :].split("</figure>")[0]
        assert chart.question.replace("'", "&#39;") in part.replace("'", "&#39;")
        assert f">{chart.standing}</span>" in part


def arm(table: pd.DataFrame, ratio: int, column: str, **of: object) -> np.ndarray:
    rows = table[(table["neg_ratio"] == ratio) & (table[list(of)] == pd.Series(of)).all(axis=1)]
    return rows.sort_values("seed")[column].to_numpy()


@pytest.mark.parametrize(("ratio", "seeds"), [(10, 10), (50, 6)])
def test_the_readme_has_the_numbers_that_results_csv_gives(
    study: Study, reported: Path, ratio: int, seeds: int
) -> None:
    column, table = "test/ndcg@10", study.runs
    focal, bce = arm(table, ratio, column, loss="focal", gamma=2.0, alpha=0.25), arm(table, ratio, column, loss="bce")
    line = re.search(rf"- focal vs BCE, 1:{ratio}, NDCG@10: (.*)", (reported / page.README).read_text())
    assert line
    said = line[1]
    assert said.startswith(f"{focal.mean():.4f} against {bce.mean():.4f}, {focal.mean() / bce.mean() - 1:+.1%} [")
    assert f", {seeds} seeds, " in said
    p = {}
    for r, metric in itertools.product((10, 50), (column, "test/hit@10")):
        pair = [arm(table, r, metric, loss="focal", gamma=2.0, alpha=0.25), arm(table, r, metric, loss="bce")]
        p[r, metric] = stats.wilcoxon(*pair, method="exact").pvalue
    assert f"| H1 | focal vs BCE, 1:{ratio}, NDCG@10 | {seeds} |" in (reported / "tables/comparisons.md").read_text()
    corrected = dict(zip(p, stats_holm(list(p.values()))))[ratio, column]
    assert f"corrected p {float(f'{corrected:.1g}'):g}"[:12] == said[said.index("corrected p") :][:12]


def stats_holm(p: list[float]) -> list[float]:
    """Holm 1979, plainly."""
    adjusted, largest = {}, 0.0
    for place, n in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, p[n] * (len(p) - place)))
        adjusted[n] = largest
    return [adjusted[n] for n in range(len(p))]


def test_what_was_not_run_is_said_with_its_command_and_never_drawn(tmp_path: Path) -> None:
    table = runs(registration())
    some = table[table["seed"].isin([42, 43, 44, 45]) & (table["neg_ratio"] == 4)]
    write(tmp_path, some[(some["loss"] == "bce") | (some["gamma"] == 2.0)], companions=False)
    commands = {"runs": "make runs", "gentle": "make gentle", "dynamics": "make dynamics"}
    page.write(
        presented(load(tmp_path, registration()), commands=commands, names={"gentle": "a gentle γ"}),
        chosen(None),
        tmp_path,
    )
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"forest", "gain", "distribution"}
    text, readme = ((tmp_path / name).read_text() for name in (page.PAGE, page.README))
    assert text.count("Not run yet:") == len(CHARTS) - len(drawn) + 3
    assert (
        "Not run yet: no run has recorded its dynamics; this command runs it: <code>make dynamics</code>"
        in " ".join(text.split())
    )
    assert "Not decided yet: H1, H2 and H3 are undecided." in readme
    assert "| a gentle γ | 1:4 | 0 of 6 | 42 to 44 | make gentle |" in readme
    assert "make runs runs all that is missing, and nothing twice." in readme


def test_nothing_of_the_forest_is_said_before_there_are_runs_enough(tmp_path: Path) -> None:
    write(tmp_path, runs(registration()).query("seed == 42"), companions=False)
    page.write(load(tmp_path, registration()), chosen(["comparisons"]), tmp_path)
    readme = (tmp_path / page.README).read_text()
    assert "Not run yet: no registered comparison has three seeds in both arms.\n" in readme
    assert "forest.png" not in readme
    assert "## What is missing" not in readme  # no such section was asked for


def test_text_from_the_registration_cannot_become_markup(study: Study, tmp_path: Path) -> None:
    def absent(_: Study) -> Cells:
        raise NotRunError("<b>missing</b>")

    spiked = study.registration.model_copy(update={"question": "<script>alert(1)</script>"})
    sections = [Section("<i>title</i>", tmp_path / "none.j2", (Listing("a", "<u>table</u>", absent),))]
    page.write(Study(spiked, study.runs, study.protocol, study.companions), sections, tmp_path)
    assert {"script", "b", "i", "u"}.isdisjoint(outline(tmp_path / page.PAGE).tags)


def test_the_registration_is_linked_where_it_lies_beside_the_page(study: Study, tmp_path: Path) -> None:
    page.write(study, [], tmp_path)
    assert "were registered before the runs" in (tmp_path / page.README).read_text()
    (tmp_path / "plan.yaml").write_text(REGISTRATION)
    page.write(study, [], tmp_path)
    assert "were [registered](plan.yaml) before the runs" in (tmp_path / page.README).read_text()


def test_two_figures_of_one_name_are_refused_before_anything_is_written(study: Study, tmp_path: Path) -> None:
    twice = [Section(title, tmp_path / "none.j2", chosen(["groups"])[0].parts) for title in ("One", "Two")]
    with pytest.raises(ConfigError, match="2 sections have a chart named groups"):
        page.write(study, twice, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_readme_says_what_each_section_adds_to_it(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        "{% macro readme() %}\n## Mine\n\n- {{ n }}\n{% endmacro %}{% macro odd() %}\nOdd:\n{{ n }}.\n{% endmacro %}"
    )
    remarks = {"odd": lambda _: {"n": 2}, "even": lambda _: None}
    page.write(study, [Section("Mine", tmp_path / "mine.j2", (), remarks, lambda _: {"n": 1})], tmp_path)
    readme = (tmp_path / page.README).read_text()
    assert "## What surprised\n\n- Odd: 2.\n\n" in readme
    assert "\n\n## Mine\n\n- 1\n\n## Limits\n\n" in readme


def test_limits_name_the_commits_of_the_runs_if_there_are_several(study: Study, tmp_path: Path) -> None:
    table = study.runs.copy()
    table.loc[:9, "commit"] = "1" * 40
    page.write(study, [], tmp_path)
    assert "commits" not in (tmp_path / page.README).read_text()
    page.write(Study(study.registration, table, study.protocol, study.companions), [], tmp_path)
    said = f"- The runs were made at 2 commits ({len(table) - 10} at 000000000000, 10 at 111111111111);"
    assert said in (tmp_path / page.README).read_text()
