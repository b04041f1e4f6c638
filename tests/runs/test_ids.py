"""Ids of the data files and their indices."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ncf.errors import ConfigError, DataError
from ncf.runs.ids import indices, places, refuse_count


def test_numbers_and_texts_are_found_and_text_may_spell_a_number() -> None:
    numbers, texts = np.array([2, 10, 30]), np.array(["2", "a,b", "x"])
    assert indices("user", numbers, [30, 2]).tolist() == indices("user", numbers, ["30", " 2"]).tolist() == [2, 0]
    assert indices("item", texts, ["x", "a,b"]).tolist() == indices("item", texts, np.array(["x", "a,b"])).tolist()
    assert indices("item", texts, [2]).tolist() == [0]
    assert indices("item", texts, []).dtype == np.int64


@pytest.mark.parametrize("asked", [3, "3", "x", 2.5, None, "02"])
def test_an_unknown_id_is_named_with_what_is_known(asked: object) -> None:
    with pytest.raises(DataError, match=rf"^user: expected an id among the 3 users .*\(2 to 30\), got {asked!r}"):
        indices("user", np.array([2, 10, 30]), [asked])


def test_texts_have_no_range() -> None:
    """In the order of characters the last of these is "9"."""
    with pytest.raises(DataError, match=r"among the 3 users with positives \(such as 100\), got 'x'$"):
        indices("user", np.array(["100", "20", "9"]), ["x"])


def test_similar_ids_are_suggested() -> None:
    with pytest.raises(DataError, match=r"got 'alpha1'; similar ids: alpha$"):
        indices("item", np.array(["alpha", "omega"]), ["alpha1"])


def test_whole_floats_stand_for_integers_and_numbers_for_how_they_are_spelt() -> None:
    numbers, floats, texts = np.array([2, 10, 30]), np.array(["10.0", "2.0"]), np.array(["10", "2", "2.0", "2.5"])
    for asked in (
        [30.0, 2.0],
        np.array([30.0, 2.0]),
        pd.Series([30.0, 2.0]),
        torch.tensor([30, 2]),
        [np.float32(30), 2],
    ):
        assert indices("user", numbers, asked).tolist() == [2, 0]
    assert places(floats, [2, 2.0, "2.0", "2", 10]).tolist() == [1, 1, 1, -1, 0]
    assert places(texts, [2, 2.0, "2", 2.5, 3, 10.0]).tolist() == [1, 2, 1, 3, -1, 0]


@pytest.mark.parametrize("asked", [np.nan, np.inf, -np.inf, 2**70, -(2**70), 1e300])
def test_numbers_beyond_all_ids_are_unknown(asked: float) -> None:
    for known in (np.array([2, 10]), np.array(["2", "x"])):
        with pytest.raises(DataError, match=r"^user: expected an id among the 2 users"):
            indices("user", known, [asked])


@pytest.mark.parametrize("asked", [[[1], [2, 3]], np.zeros((2, 2)), [[1]], 3.0, {1: 2}, {1}, "x", None, np.array(3)])
def test_ids_come_in_a_flat_list(asked: Any) -> None:
    with pytest.raises(DataError, match=r"^user: expected a (flat )?list of ids, got"):
        indices("user", np.array([1, 2]), asked)


@pytest.mark.parametrize("count", [0, -1, 2.5, 2.0, None, True, "3", [3], np.float64(3)])
def test_counts_are_whole_and_positive(count: Any) -> None:
    with pytest.raises(ConfigError, match=r"^k: expected a whole number of at least 1, got"):
        refuse_count("k", count)
    refuse_count("k", np.int64(3))
