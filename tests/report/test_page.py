"""The report itself: complete, self-contained, the same bytes again, and its numbers those of results.csv."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import registration, runs, write
from scipy import stats

from ncf.report import page
from ncf.report.figures import CHARTS
from ncf.report.sentences import registered_as
from ncf.report.study import Study, load
from ncf.report.tables import TABLES


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


def test_every_figure_and_table_is_written(reported: Path) -> None:
    figures = {path.name for path in (reported / "figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in CHARTS for kind in ("svg", "png")}
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
        assert f"{v.hypothesis}: {v.outcome}" in head
        assert v.statement in head
    assert "All 572 registered runs are finished." in head


def test_each_figure_has_its_question_and_how_it_stands_to_the_registration(reported: Path) -> None:
    text = (reported / page.PAGE).read_text()
    for name, chart in CHARTS.items():
        part = text[text.index(f'<figure id="{name}">') :].split("</figure>")[0]
        assert chart.question.replace("'", "&#39;") in part.replace("'", "&#39;")
        assert f">{chart.standing}</span>" in part


def test_again_from_its_own_tables_the_report_is_the_same_to_the_byte(
    study: Study, reported: Path, tmp_path: Path
) -> None:
    page.write(Study(study.registration, study.runs, study.protocol, study.companions), tmp_path)
    first = {path.relative_to(reported): path.read_bytes() for path in reported.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert first.keys() == again.keys()
    assert [str(path) for path in first if first[path] != again[path]] == []


def arm(table: pd.DataFrame, ratio: int, column: str, **of: object) -> np.ndarray:
    rows = table[(table["neg_ratio"] == ratio) & (table[list(of)] == pd.Series(of)).all(axis=1)]
    return rows.sort_values("seed")[column].to_numpy()


@pytest.mark.parametrize(("ratio", "seeds"), [(10, 36), (50, 10)])
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
    some = table[table["seed"].isin([42, 43, 44, 45]) & (table["loss"] != "focal_clamped") & (table["neg_ratio"] == 4)]
    write(tmp_path, some[(some["loss"] == "bce") | (some["gamma"] == 2.0)], companions=False)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "clamped.svg").write_text("of an earlier report")
    page.write(load(tmp_path, registration()), tmp_path)
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"forest", "gain", "distribution"}
    text = (tmp_path / page.PAGE).read_text()
    assert text.count("Not run yet:") == len(CHARTS) - len(drawn) + 4
    assert (
        "Not run yet: the γ × α grid; this command runs it: <code>python -m ncf.train -m experiment=grid</code>" in text
    )
    assert "Not decided yet: H1, H2 and H3 are inconclusive." in text
    readme = (tmp_path / page.README).read_text()
    assert "| published code&#39;s loss | 1:4 | 0 of 10 | 42 to 46 |" not in readme
    assert "| published code's loss | 1:4 | 0 of 10 | 42 to 46 | python -m ncf.train -m experiment=clamped |" in readme


def test_text_from_the_registration_cannot_become_markup(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "drawn", lambda *of: page.Absent("question", "<b>missing</b>", "command"))
    spiked = study.registration.model_copy(update={"question": "<script>alert(1)</script>"})
    page.write(Study(spiked, study.runs, study.protocol, study.companions), tmp_path)
    tags = outline(tmp_path / page.PAGE).tags
    assert "script" not in tags
    assert "b" not in tags


def test_runs_of_another_registration_are_pointed_out(study: Study) -> None:
    assert registered_as(study).startswith("Every run carries")
    other = Study(study.registration, study.runs.assign(registration="f" * 64), study.protocol, study.companions)
    assert "the runs carry ffff" in registered_as(other)
    assert "exploratory" in registered_as(other)
