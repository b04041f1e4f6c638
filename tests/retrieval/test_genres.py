"""Genres of items and users."""

from dataclasses import replace

import numpy as np
import pytest
from toys import pairs, random_split

from ncf.errors import DataError
from ncf.retrieval.genres import item_genres, user_genres


def test_a_user_has_the_mixture_of_what_they_have() -> None:
    split = replace(random_split(3, 4), genres=np.array(["A|B", "B", "", "C"]), train=pairs([(0, 0), (0, 1), (1, 2)]),
                    valid=pairs([]), test=pairs([]))  # fmt: skip
    genres = item_genres(split)
    assert genres.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert user_genres(split, genres).tolist() == [[0.25, 0.75, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("genres", [None, np.array(["", "", "", ""])])
def test_data_without_genres_is_one_line(genres: np.ndarray | None) -> None:
    with pytest.raises(
        DataError,
        match=r"^toy: expected genres of items, found none \(.*data\.item_features.*\); .*co_occurrence needs none$",
    ):
        item_genres(replace(random_split(3, 4), genres=genres))
