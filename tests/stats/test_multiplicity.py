"""Holm's, Bonferroni's and Benjamini and Hochberg's corrections against worked examples and the step-down procedure."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.multiplicity import benjamini_hochberg, bonferroni, corrected_level, holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


def test_corrections_of_worked_examples_are_as_published():
    """R: p.adjust(c(.01, .02, .03, .04), "holm"); and Holm 1979's steps by hand, in another order."""
    assert holm(np.array([0.01, 0.02, 0.03, 0.04])).tolist() == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm(np.array([0.03, 0.005, 0.9, 0.012])).tolist() == pytest.approx([0.06, 0.02, 0.9, 0.036])
    assert bonferroni(np.array([0.01, 0.02, 0.3, 0.4])).tolist() == pytest.approx([0.04, 0.08, 1, 1])


def step_down(p: np.ndarray, alpha: float) -> list[bool]:
    """Holm as he wrote it: reject from the smallest on, stop at the first that fails."""
    rejected = [False] * len(p)
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > alpha:
            break
        rejected[index] = True
    return rejected


@given(families, st.floats(0.001, 0.2))
def test_holm_rejects_what_the_procedure_rejects(p, alpha):
    assert (holm(p) <= alpha).tolist() == step_down(p, alpha)


@given(families)
def test_holm_is_monotone_and_between_raw_and_bonferroni(p):
    adjusted = holm(p)
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (adjusted >= p).all()
    assert (adjusted <= bonferroni(p) + 1e-15).all()
    assert holm(p[::-1])[::-1].tolist() == adjusted.tolist()


REFERENCE = json.loads((Path(__file__).parents[1] / "online" / "reference" / "ab_references.json").read_text())


def test_the_textbook_family():
    """statsmodels' multipletests on Benjamini and Hochberg's kind of example."""
    own = REFERENCE["multiplicity"]
    p = np.array(own["p"])
    for correct, name in ((bonferroni, "bonferroni"), (holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        assert correct(p) == pytest.approx(own[name], rel=1e-8)


@given(families)
def test_benjamini_hochberg_is_monotone_and_below_holm(p):
    adjusted = benjamini_hochberg(p)
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (adjusted >= p).all()
    assert (adjusted <= holm(p) + 1e-12).all()
    assert adjusted == pytest.approx(stats.false_discovery_control(p), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("p", [[], [np.nan, 0.1], [1.2], [-0.1, 0.5]])
@pytest.mark.parametrize("correct", [holm, bonferroni, benjamini_hochberg])
def test_bad_families_are_refused(p, correct):
    with pytest.raises(StatisticsError, match="p-values: expected"):
        correct(np.array(p, dtype=float))


@pytest.mark.parametrize("correct", [holm, bonferroni, benjamini_hochberg])
def test_many_families_at_once_are_as_one_at_a_time(correct):
    p = np.random.default_rng(0).uniform(size=(3, 2, 5))
    assert correct(p).tolist() == [[correct(family).tolist() for family in block] for block in p]


def test_intervals_at_the_corrected_level_hold_together():
    """Normal means of known spread: all five of them inside at once, as often as the level says or more often."""
    level = corrected_level(0.95, 5)
    assert level == pytest.approx(0.99)
    z = np.random.default_rng(0).normal(size=(20_000, 5))
    together = (np.abs(z) <= stats.norm.isf((1 - level) / 2)).all(1).mean()
    assert together >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 20_000)
