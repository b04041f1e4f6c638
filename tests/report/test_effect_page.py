"""The page of an effect: what each figure shows, and nothing that comes from data runs."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from lalonde import SIMPLE, lalonde
from matplotlib.backends.backend_agg import FigureCanvasAgg
from observed import drawn

from ncf.causal import Effect, effect, units
from ncf.report import effect_page
from ncf.report.kit.style import RC

UNITS, _ = drawn(14, 500)


@pytest.fixture(scope="module")
def found() -> Effect:
    """An analysis with every estimator."""
    return effect(lalonde(), "treat", "re78", SIMPLE, estimator="all", trim=(0.1, 0.9))


def test_the_page_holds_every_figure_table_and_warning(found: Effect, tmp_path: Path) -> None:
    effect_page.write(found, tmp_path / "p.html", "re78")
    page = (tmp_path / "p.html").read_text()
    for name, (question, _) in effect_page.FIGURES.items():
        assert f'<figure id="{name}">' in page
        assert f'aria-label="{question}"' in page
    for table in effect_page.tables(found):
        assert table.title.replace("'", "&#39;") in page
    assert page.index('id="overlap"') < page.index('id="balance"') < page.index('id="estimates"')
    assert "black, hisp: the same in all units" in page
    assert "145 and 359 were kept" in page
    assert "http" not in re.sub(r'xmlns[:\w]*="[^"]*"|<!DOCTYPE svg[^>]*>|<dc:[^>]*>|rdf:resource="[^"]*"', "", page)


def test_the_love_plot_is_one_sided_with_its_line(found: Effect) -> None:
    with matplotlib.rc_context(RC):
        (axes,) = effect_page.love(found).axes
    assert axes.get_xlim()[0] == 0
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["0.1"].get_xdata(), 0.1)
    names = [label.get_text() for label in axes.get_yticklabels()]
    table = found.balance[found.balance["estimator"] == "ipw"].set_index("confounder")
    np.testing.assert_allclose(lines["before"].get_xdata(), table.loc[names, "smd_before"].abs())
    np.testing.assert_allclose(lines["after, ipw"].get_xdata(), table.loc[names, "smd_after"].abs())
    assert (np.diff(lines["before"].get_xdata()) <= 0).all()


def test_the_histogram_counts_each_arm_on_its_side(found: Effect) -> None:
    with matplotlib.rc_context(RC):
        (axes,) = effect_page.histogram(found).axes
    for bars, sign in zip(axes.containers, (1, -1), strict=True):
        heights = np.array([bar.get_height() for bar in bars])
        assert (heights * sign >= 0).all()
        assert (heights**2).sum() == pytest.approx(1)


def test_the_contour_crosses_zero_at_the_robustness_value(found: Effect) -> None:
    with matplotlib.rc_context(RC):
        figure = effect_page.contour(found)
    assert figure is not None
    star = next(line for line in figure.axes[0].lines if line.get_marker() == "*")
    resting = found.results[-1].omitted
    assert resting is not None
    x, y = star.get_xdata()[0], star.get_ydata()[0]
    assert resting.bias(y, x) == pytest.approx(abs(resting.effect.value))


def test_without_what_a_figure_needs_it_is_left_out(tmp_path: Path) -> None:
    found = effect(UNITS, estimator="ipw")
    effect_page.write(found, tmp_path / "p.html", "y")
    page = (tmp_path / "p.html").read_text()
    assert 'id="sensitivity"' not in page
    assert "Rosenbaum" not in page


def test_names_from_data_stay_text(tmp_path: Path) -> None:
    evil = units(UNITS.treatment, UNITS.outcome, UNITS.confounders, ["<script>alert(1)</script>", "$\\frac{1}{0}$"])
    effect_page.write(effect(evil, estimator=["dml", "match"]), tmp_path / "p.html", "<b>y</b>")
    page = (tmp_path / "p.html").read_text()
    assert "<script>" not in page
    assert "<b>y</b>" not in page
    assert r"$\frac{1}{0}$" in page


@pytest.mark.slow
def test_the_same_analysis_is_the_same_page(tmp_path: Path) -> None:
    for name in ("a", "b"):
        effect_page.write(effect(UNITS, estimator=["aipw", "match"]), tmp_path / f"{name}.html", "y")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_numbers_are_written_out_and_the_sample_is_named(found: Effect, tmp_path: Path) -> None:
    effect_page.write(found, tmp_path / "p.html", "re78")
    page = re.sub(r"<svg.*?</svg>", "", (tmp_path / "p.html").read_text(), flags=re.S)
    assert not re.search(r"<td>-?[\d.]+e\+\d", page)  # 1e+03 for an error of 1,000 dollars
    assert page.count("ATE, of the units kept: ") == 4
    assert "In brackets: 95% intervals." in page
    assert "up to gamma times as likely" in page
    bounds = next(table for table in effect_page.tables(found) if table.title.startswith("Rosenbaum"))
    assert "0" not in {row[1] for row in bounds.rows}  # a small p is no 0


def test_names_of_confounders_on_the_contour_do_not_overlap(found: Effect) -> None:
    with matplotlib.rc_context(RC):
        figure = effect_page.contour(found)
        assert figure is not None
        FigureCanvasAgg(figure).draw()
        names = [text for text in figure.axes[0].texts if text.get_text() in SIMPLE]
        boxes = [text.get_window_extent() for text in names]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
