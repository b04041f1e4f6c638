"""Figures within a page: labelled, and only those that have something to show."""

from pathlib import Path

from matplotlib.figure import Figure

from ncf.report.kit.inline import inline


def drawn(found: list[float]) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot(found)
    return figure


def test_charts_that_show_nothing_are_left_out_and_questions_are_labels(tmp_path: Path) -> None:
    charts = {"a": ("Is <b> & c?", drawn), "b": ("Nothing?", lambda found: None)}
    figures = inline(charts, [1.0, 2.0], tmp_path)
    assert list(figures) == ["a"]
    assert figures["a"].startswith('<svg role="img" aria-label="Is &lt;b&gt; &amp; c?"')
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_where_formats_are_asked_for(tmp_path: Path) -> None:
    inline({"a": ("What?", drawn)}, [1.0], tmp_path, ["png"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
