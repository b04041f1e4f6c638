"""Ids of the data files and their indices."""

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.runs.ids import indices


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
