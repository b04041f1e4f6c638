"""Synthetic worlds: exact size, distinct pairs, a seed that decides everything, skew and taste that show."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import Prepare

from ncf.data import SPLITS
from ncf.errors import ConfigError

SMALL = {"users": 600, "items": 300, "interactions": 12_000}


def test_sizes_are_exact_and_pairs_distinct(prepare: Prepare) -> None:
    data = prepare("synthetic", **SMALL)
    assert (data.num_users, data.num_items, len(data)) == (600, 300, 12_000)
    assert len(np.unique(data.users * 300 + data.items)) == 12_000
    assert np.bincount(data.users).min() >= 3
    assert np.bincount(data.users).max() <= 150
    split = SPLITS["leave_one_out"](data, ties="file", back=0)
    assert (len(split.train), len(split.valid), len(split.test)) == (10_800, 600, 600)


def test_the_seed_decides(prepare: Prepare, tmp_path: Path) -> None:
    first = prepare("synthetic", **SMALL)
    again = prepare("synthetic", **SMALL, root=str(tmp_path / "elsewhere"))
    other = prepare("synthetic", **SMALL, seed=1)
    assert first.digest == again.digest != other.digest
    assert np.array_equal(first.items, again.items)
    assert not np.array_equal(first.items, other.items)


def test_the_smallest_world(prepare: Prepare) -> None:
    assert prepare("synthetic", **SMALL | {"users": 2, "interactions": 2}).num_users == 2


@pytest.mark.parametrize(("key", "side"), [("popularity_skew", "items"), ("activity_skew", "users")])
def test_skew_shows(prepare: Prepare, key: str, side: str) -> None:
    def spread(skew: float) -> float:
        counts = np.bincount(getattr(prepare("synthetic", **SMALL, **{key: skew}), side))
        return float(counts.std() / counts.mean())

    assert spread(0.0) < 0.5 < spread(1.5)


def test_taste_groups_users(prepare: Prepare) -> None:
    def agreement(taste: float) -> float:
        data = prepare("synthetic", **SMALL, taste=taste, popularity_skew=0.0, activity_skew=0.0, factors=1)
        liked = np.zeros((data.num_users, data.num_items))
        liked[data.users, data.items] = 1
        singular = np.linalg.svd(liked - liked.mean(0), compute_uv=False)
        return float(singular[0] / singular[1])

    assert agreement(0.0) < 1.2 < agreement(3.0)


@pytest.mark.parametrize("interactions", [599, 90_001])
def test_impossible_sizes(prepare: Prepare, interactions: int) -> None:
    with pytest.raises(ConfigError, match=r"data\.interactions: expected 600 to 90000"):
        prepare("synthetic", users=600, items=300, interactions=interactions)


def test_the_densest_world(prepare: Prepare) -> None:
    assert (np.bincount(prepare("synthetic", users=20, items=10, interactions=100).users) == 5).all()
