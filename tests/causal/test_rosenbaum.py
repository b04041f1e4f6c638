"""Rosenbaum's bounds against the exact worst case, scipy, and what gamma means."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ncf.causal.rosenbaum import bounds, breaking_point
from ncf.stats.checks import StatisticsError

DIFFERENCES = np.random.default_rng(4).normal(0.6, 1, 60)


def test_without_hidden_bias_it_is_wilcoxons_test() -> None:
    found = bounds(DIFFERENCES, [1]).iloc[0]
    expected = stats.wilcoxon(DIFFERENCES, alternative="greater", method="exact").pvalue
    assert found["p_high"] == pytest.approx(expected, rel=1e-9)
    many = np.random.default_rng(4).normal(0.2, 1, 300)
    expected_many = stats.wilcoxon(many, alternative="greater", method="approx", correction=False).pvalue
    assert bounds(many, [1]).iloc[0]["p_high"] == pytest.approx(expected_many, rel=1e-9)
    assert bounds(-DIFFERENCES, [1]).iloc[0]["p_high"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 1.7, 3.0])
def test_the_bound_is_the_exact_worst_case(gamma: float) -> None:
    """Every assignment of 14 pairs, each unit with the larger outcome treated with odds gamma."""
    d = DIFFERENCES[:14]
    ranks = stats.rankdata(np.abs(d))
    observed = max(ranks[d > 0].sum(), ranks[d < 0].sum())
    signs = np.array(list(itertools.product([0, 1], repeat=14)))
    chance = np.prod(np.where(signs == 1, gamma, 1) / (1 + gamma), axis=1)
    exact = chance[signs @ ranks >= observed].sum()
    assert bounds(d, [gamma]).iloc[0]["p_high"] == pytest.approx(exact, rel=1e-9)


def test_the_breaking_point_is_where_the_bound_crosses() -> None:
    gamma = breaking_point(DIFFERENCES, 0.05)
    assert 1 < gamma < 10
    assert bounds(DIFFERENCES, [gamma]).iloc[0]["p_high"] == pytest.approx(0.05, abs=1e-9)
    assert breaking_point(np.random.default_rng(1).normal(0, 1, 40)) == 1
    table = bounds(DIFFERENCES)
    assert (np.diff(table["p_high"]) > 0).all()
    assert (np.diff(table["p_low"]) < 0).all()


def test_zeros_are_left_out_and_others_refused() -> None:
    np.testing.assert_array_equal(bounds(np.r_[DIFFERENCES, 0, 0]), bounds(DIFFERENCES))
    with pytest.raises(StatisticsError, match="expected a difference that is not zero"):
        bounds(np.zeros(5))
    with pytest.raises(StatisticsError, match="gamma"):
        bounds(DIFFERENCES, [0.5])


@pytest.mark.parametrize(("unit", "zero"), [(0.1, 0.0), (1.0, 0.1), (1e-7, 0.3), (3e5, 0.7)])
def test_ties_are_ties_in_any_unit_and_from_any_zero(unit: float, zero: float) -> None:
    rng = np.random.default_rng(2)
    treated, untreated = rng.integers(0, 5, 60) + 1, rng.integers(0, 5, 60)
    moved = (unit * treated + zero) - (unit * untreated + zero)
    pd.testing.assert_frame_equal(bounds(moved), bounds((treated - untreated).astype(float)))
    assert breaking_point(moved) == pytest.approx(breaking_point((treated - untreated).astype(float)), rel=1e-12)
