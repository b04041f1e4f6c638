"""Segments: the effect of each part, corrected, and whether they differ."""

import numpy as np
import pytest
from scipy import stats

from ncf.errors import DataError
from ncf.online.means import ratio, welch
from ncf.online.segments import heterogeneity, segments
from ncf.stats.multiplicity import holm

RNG = np.random.default_rng(2)
N = 900
PARTS = RNG.choice(["a", "b", "c"], N).astype(object)
TREATED = RNG.random(N) < 0.5
Y = RNG.normal(size=N) + (PARTS == "b") * TREATED


def test_each_part() -> None:
    found = segments({"country": PARTS}, Y, None, TREATED, 0.9)
    own = [welch(Y[name == PARTS], TREATED[name == PARTS], level=0.9).absolute for name in "abc"]
    assert [s.value for s in found] == ["a", "b", "c"]
    assert [s.effect for s in found] == pytest.approx([e.value for e in own])
    assert [s.low for s in found] == pytest.approx([e.low for e in own])
    assert [s.p_adjusted for s in found] == pytest.approx(holm(np.array([e.p() for e in own])))
    assert found[0].p_differs < 0.001
    assert sum(s.n for s in found) == N


def test_ratios_and_shares_and_parts_too_small() -> None:
    under = np.ones(N) + RNG.poisson(1, N)
    top = RNG.poisson(under).astype(float)
    over = segments({"country": PARTS}, top, under, TREATED, 0.95)
    c = PARTS == "c"
    assert over[2].effect == pytest.approx(ratio(top[c], under[c], TREATED[c]).absolute.value)
    shares = segments({"country": PARTS}, (Y > 0).astype(float), None, TREATED, 0.95)
    assert all(abs(s.effect) < 1 for s in shares)
    lone = PARTS.copy()
    lone[0] = "z"
    assert [s.value for s in segments({"c": lone}, Y, None, TREATED, 0.95)] == ["a", "b", "c"]
    assert segments({"c": np.arange(40).astype(object)}, Y[:40], None, TREATED[:40], 0.95) == ()


def test_heterogeneity_is_cochrans() -> None:
    effects, errors = RNG.normal(0, 1, (2000, 5)), np.ones(5)
    p = np.array([heterogeneity(row, errors) for row in effects])
    assert abs((p <= 0.05).mean() - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert heterogeneity(np.array([0.0, 2.0]), np.ones(2)) == pytest.approx(stats.chi2.sf(2.0, 1))
    assert heterogeneity(np.array([1.0]), np.ones(1)) == 1
    assert heterogeneity(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == 1


def test_a_column_of_too_many_values() -> None:
    with pytest.raises(DataError, match="at most 50 values of user, found 60"):
        segments({"user": np.arange(60).astype(str).astype(object)}, Y[:60], None, TREATED[:60], 0.95)


def test_a_part_without_a_denominator_is_left_out() -> None:
    under = np.where(PARTS == "b", 0.0, 1.0)
    assert [s.value for s in segments({"c": PARTS}, under * 0.5, under, TREATED, 0.95)] == ["a", "c"]
