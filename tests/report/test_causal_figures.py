"""The figures that causal analyses share draw what their tables say."""

import numpy as np
import pandas as pd
import pytest

from ncf.report import causal_figures


def test_scores_are_drawn_as_square_roots_of_shares_upwards_and_downwards() -> None:
    bins = pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1.0], "treated": [1, 3], "untreated": [16, 0]})
    (axes,) = causal_figures.overlap(bins, kept=(0.2, 0.8)).axes
    heights = [bar.get_height() for bar in axes.patches[:4]]
    assert heights == pytest.approx([0.5, np.sqrt(0.75), -1.0, 0.0])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["kept", "treated", "untreated"]


def test_differences_after_adjustment_stand_beside_their_own_confounder() -> None:
    before = pd.Series({"b": -0.4, "a": 0.2})
    (axes,) = causal_figures.love(before, {"ipw": pd.Series({"a": -0.01, "b": 0.02})}).axes
    first, after = axes.lines[:2]
    assert list(first.get_xdata()) == [0.4, 0.2]
    assert list(after.get_xdata()) == [0.02, 0.01]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]


def test_an_event_study_has_a_hollow_mark_where_its_effect_is_zero_by_construction() -> None:
    study = pd.DataFrame({
        "time": [-2, 0], "value": [0.1, 0.5], "low": [0.0, 0.4], "high": [0.2, 0.6], "band_low": [-0.1, 0.3],
        "band_high": [0.3, 0.7],
    })  # fmt: skip
    (axes,) = causal_figures.events({"twfe": study}, {"twfe": -1}).axes
    values, hollow = axes.lines[-2:]
    assert list(values.get_ydata()) == [0.1, 0.5]
    assert (list(hollow.get_xdata()), list(hollow.get_ydata())) == ([-1], [0])
    assert len(causal_figures.events({"twfe": study}).axes[0].lines) == len(axes.lines) - 1


def test_the_line_of_comparisons_is_their_weighted_mean() -> None:
    pairs = pd.DataFrame({"kind": [0, 0, 1], "weight": [0.5, 0.3, 0.2], "estimate": [1.0, 2.0, -1.0]})
    (axes,) = causal_figures.comparisons(pairs).axes
    assert axes.lines[-1].get_ydata() == pytest.approx([0.9, 0.9])
    assert list(axes.lines[0].get_ydata()) == [1.0, 2.0]


def test_a_dollar_sign_begins_no_formula() -> None:
    assert causal_figures.plain("spend in $") == r"spend in \$"
