"""Nearest neighbours by sorting, against a matrix of distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf.causal.nearest import Chosen, match

VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=25).map(lambda v: np.array(v) / 8.0)


def order_of(seeker: float, pool: np.ndarray, ties: str) -> list[int]:
    """Positions of the pool, the nearest first: of equal distances the lower value, then the place."""
    place = np.arange(len(pool)) if ties != "last" else -np.arange(len(pool))
    return sorted(range(len(pool)), key=lambda j: (abs(pool[j] - seeker), pool[j] > seeker, place[j]))


@given(
    VALUES,
    VALUES,
    st.integers(1, 4),
    st.sampled_from([np.inf, 0.25, 0.0]),
    st.sampled_from(["average", "first", "last"]),
)
def test_with_replacement_by_brute_force(
    seekers: np.ndarray, pool: np.ndarray, k: int, caliper: float, ties: str
) -> None:
    found = match(seekers, pool, neighbours=k, caliper=caliper, ties=ties)
    expected = []
    for i, seeker in enumerate(seekers):
        ranked = [j for j in order_of(seeker, pool, ties) if abs(pool[j] - seeker) <= caliper]
        chosen = ranked[:k]
        if ties == "average" and chosen:
            reach = abs(pool[chosen[-1]] - seeker)
            chosen = [j for j in ranked if abs(pool[j] - seeker) <= reach]
        expected += [(i, j) for j in chosen]
    assert sorted(zip(*(p.tolist() for p in found.pairs()))) == sorted(expected)


@given(VALUES, VALUES, st.integers(1, 3), st.sampled_from([np.inf, 0.25]))
def test_without_replacement_by_brute_force(seekers: np.ndarray, pool: np.ndarray, k: int, caliper: float) -> None:
    found = match(seekers, pool, neighbours=k, caliper=caliper, replace=False)
    free, expected = set(range(len(pool))), []
    for i in np.argsort(-seekers, kind="stable"):
        for j in [j for j in order_of(seekers[i], pool, "first") if j in free][:k]:
            if abs(pool[j] - seekers[i]) <= caliper:
                free.remove(j)
                expected.append((int(i), j))
    assert sorted(zip(*(p.tolist() for p in found.pairs()))) == sorted(expected)


@given(VALUES, VALUES, st.integers(1, 3), st.sampled_from([np.inf, 0.1]))
def test_sums_over_ranges_are_sums_over_pairs(seekers: np.ndarray, pool: np.ndarray, k: int, caliper: float) -> None:
    found = match(seekers, pool, neighbours=k, caliper=caliper)
    who, stand_in = found.pairs()
    y = np.random.default_rng(0).normal(1e6, 1, (len(pool), 2))
    counts = np.bincount(who, minlength=len(seekers))
    np.testing.assert_array_equal(found.counts, counts)
    sums = np.column_stack([np.bincount(who, y[stand_in, c], len(seekers)) for c in (0, 1)])
    np.testing.assert_allclose(found.means(y), sums / np.maximum(counts, 1)[:, None], rtol=1e-9)
    np.testing.assert_allclose(found.means(y[:, 0]), sums[:, 0] / np.maximum(counts, 1), rtol=1e-9)
    used, squares = found.used()
    np.testing.assert_allclose(used, np.bincount(stand_in, 1 / counts[who], len(pool)), atol=1e-12)
    np.testing.assert_allclose(squares, np.bincount(stand_in, 1 / counts[who] ** 2, len(pool)), atol=1e-12)
    chosen = match(seekers, pool, neighbours=k, caliper=caliper, ties="first")
    assert isinstance(chosen, Chosen)
    who, stand_in = chosen.pairs()
    np.testing.assert_allclose(chosen.used()[0], np.bincount(stand_in, 1 / chosen.counts[who], len(pool)), atol=1e-12)


def test_a_rounding_error_makes_and_breaks_no_tie() -> None:
    pool = np.array([0.1 + 0.2, 0.3, 0.7])  # 0.30000000000000004 and 0.3
    assert match(np.array([0.5]), pool).counts.tolist() == [3]
    assert match(np.array([0.3]), pool).counts.tolist() == [2]
    assert match(np.array([0.5]), pool, ties="first").pairs()[1].tolist() == [0]
    assert match(np.array([0.5]), pool, ties="last").pairs()[1].tolist() == [1]
    assert match(np.array([0.5]), pool, replace=False).pairs()[1].tolist() == [0]


def test_ties_are_never_spelled_out() -> None:
    """A hundred thousand that are each as near to a hundred thousand others."""
    seekers, pool = np.zeros(100_000), np.r_[np.zeros(100_000), np.ones(10)]
    found = match(seekers, pool)
    assert found.counts.min() == 100_000
    assert found.used()[0][0] == pytest.approx(1)
    assert found.used()[0][-1] == 0
