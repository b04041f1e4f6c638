"""Effect sizes against worked examples and their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.stats.effects import EFFECTS, cliff_delta, cohen_dz, mean_difference, rank_biserial, relative_change

CORN = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
small = st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 5)), min_size=3, max_size=12)


def test_effects_of_worked_examples_are_as_published():
    assert rank_biserial(CORN, 0 * CORN) == pytest.approx((96 - 24) / 120)
    assert cohen_dz(SLEEP, 0 * SLEEP) == pytest.approx(1.2846, abs=1e-4)
    assert mean_difference(SLEEP, 0 * SLEEP) == pytest.approx(1.58)
    assert relative_change(np.array([3.0, 4]), np.array([2.0, 3])) == pytest.approx(0.4)
    assert cliff_delta(np.array([1.0, 2, 3]), np.array([0.0, 2, 2])) == pytest.approx((5 - 2) / 9)


@given(small)
def test_effects_agree_with_their_definitions(rows):
    t, b = np.array(rows, dtype=float).T
    above = sum(float(np.sign(x - y)) for x in t for y in b)
    assert cliff_delta(t, b) == pytest.approx(above / len(t) ** 2)
    d = (t - b)[t != b]
    order = {v: np.mean([i + 1 for i, w in enumerate(sorted(np.abs(d))) if w == v]) for v in np.abs(d)}
    signed = [np.sign(x) * order[abs(x)] for x in d]
    assert rank_biserial(t, b) == pytest.approx(sum(signed) / max(1, sum(map(abs, signed))))


@given(small.filter(lambda rows: len({a - b for a, b in rows}) > 1))
def test_effects_change_their_sign_when_the_arms_are_swapped(rows):
    t, b = np.array(rows, dtype=float).T
    assert np.sign(cohen_dz(t, b)) == np.sign(mean_difference(t, b)) or abs(mean_difference(t, b)) < 1e-12
    for effect in (mean_difference, cohen_dz, rank_biserial, cliff_delta):
        assert effect(b, t) == pytest.approx(-effect(t, b))
    assert -1 <= rank_biserial(t, b) <= 1
    assert -1 <= cliff_delta(t, b) <= 1


@settings(deadline=None)
@given(st.integers(0, 20))
def test_resamples_at_once_equal_one_at_a_time(seed):
    t, b = np.random.default_rng(seed).integers(1, 9, (2, 6, 7)).astype(float)
    for effect in EFFECTS.values():
        np.testing.assert_allclose(effect(t, b), [effect(x, y) for x, y in zip(t, b)])


def test_full_dominance_is_one():
    t, b = np.array([3.0, 4, 5]), np.array([1.0, 1, 2])
    assert (rank_biserial(t, b), cliff_delta(t, b)) == (1, 1)
    assert rank_biserial(t, t) == 0
