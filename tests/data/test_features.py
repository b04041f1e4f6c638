"""Features in the order of a split: of the data set, of a file, and of both."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import Prepare, members, write_zip
from omegaconf import OmegaConf
from toys import compose, keys_of

from ncf.core.config import component
from ncf.data import SPLITS, Interactions, Split
from ncf.data.features import item_columns, user_columns
from ncf.errors import DataError

USERS = b"1|24|M|technician|85711\n2|53|F|other|94043\n3|7|F|writer|0\n"


def split_of(interactions: Interactions) -> Split:
    split: Split = component("split", SPLITS, keys_of("split", "leave_one_out"))(interactions)
    return split


@pytest.fixture
def official(prepare: Prepare, tmp_path: Path) -> Any:
    """official(**settings) -> the split of a small set in the official layout of ml-100k, with u.user."""
    contents = {**members("ml-100k"), "ml-100k/u.user": USERS}

    def make(**settings: Any) -> Split:
        archive = str(write_zip(tmp_path / "set.zip", contents))  # type: ignore[arg-type]
        return split_of(prepare("ml-100k", archive=archive, **settings))

    return make


def by_name(columns: list) -> dict[str, list]:
    return {column.name: column.values.tolist() for column in columns}


def test_titles_lose_their_year_and_genres_stay(official: Any) -> None:
    found = by_name(item_columns(official()))  # movie 30 is not in the file of movies
    assert found["title"] == ["Élan, The", "Two", ""]
    assert found["genres"] == ["Comedy|Drama", "War", ""]
    np.testing.assert_array_equal(found["year"], [1995.0, 1996.0, np.nan])


def test_users_are_in_the_order_of_the_split(official: Any) -> None:
    split = official()
    assert split.user_ids.tolist() == [1, 2]
    assert by_name(user_columns(split)) == {
        "age": [24, 53],
        "gender": ["M", "F"],
        "occupation": ["technician", "other"],
    }


def test_a_file_adds_columns_replaces_those_of_its_names_and_may_lack_items(official: Any, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("movie,price,title:text\n30,2.5,New\n10,1,Newer\n999,7,Nowhere\n")
    split = official(item_features=str(path))
    found = by_name(item_columns(split))
    np.testing.assert_array_equal(found["price"], [1.0, np.nan, 2.5])
    assert found["title"] == ["Newer", "", "New"]
    assert found["genres"] == ["Comedy|Drama", "War", ""]
    assert split.digest == official().digest  # runs with and without can be compared, and mixed


def test_a_file_about_other_things_is_refused_with_the_data(official: Any, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,price\nx,1\ny,2\n")
    with pytest.raises(DataError) as caught:
        official(item_features=str(path))
    assert str(caught.value) == (
        f"{path}: expected features of the 3 items of the data, such as item 10, found none of them among 2, such as x"
    )
    with pytest.raises(DataError, match=r"^data\.user_features: no such file"):
        official(user_features=str(tmp_path / "none.csv"))


def test_data_without_features_says_what_brings_some(prepare: Prepare, tmp_path: Path) -> None:
    split = split_of(prepare("synthetic", users=20, items=30, interactions=120))
    with pytest.raises(
        DataError,
        match=r"found neither titles nor genres; data\.item_features=<file> brings some \(.*model\.weight=0\)$",
    ):
        item_columns(split)
    with pytest.raises(DataError, match=r"^synthetic: expected features of users.*data\.user_features=<file> brings"):
        user_columns(split)
    path = tmp_path / "users.csv"
    path.write_text("id,age\n0,5\n3,6\n")
    own = split_of(prepare("synthetic", users=20, items=30, interactions=120, user_features=str(path)))
    assert by_name(user_columns(own))["age"][3] == 6


def test_the_content_of_a_file_identifies_a_run_and_its_place_does_not(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    for path, text in zip(paths, ("id,x\n1,2\n", "id,x\n1,2\n", "id,x\n1,3\n")):
        path.write_text(text)
    digests = [compose(f"data.item_features={path}").data.item_features_sha256 for path in paths]
    assert digests[0] == digests[1] != digests[2]
    assert OmegaConf.select(compose(), "data.item_features_sha256") is None


def test_text_ids_are_text(prepare: Prepare, tmp_path: Path) -> None:
    data, own = tmp_path / "log.csv", tmp_path / "items.csv"
    data.write_text("user_id,item_id,rating,timestamp\n" + "".join(f"u{i},a{i % 2},5,{i}\n" for i in range(4)))
    own.write_text("id,size\na1,2\na0,1\n")
    found = split_of(prepare("csv", archive=str(data), threshold=4, delimiter=",", sha256=None, item_features=str(own)))
    assert by_name(item_columns(found)) == {"size": [1.0, 2.0]}


def test_ids_of_nineteen_digits_and_the_last_that_are_whole_numbers(prepare: Prepare, tmp_path: Path) -> None:
    ids = [1234567890123456789, 1234567890123456790, 2**63 - 1, 7]
    data, own = tmp_path / "log.csv", tmp_path / "items.csv"
    log = "".join(f"{user},{item},5,{user}\n" for user in range(3) for item in ids)
    data.write_text("user_id,item_id,rating,timestamp\n" + log)
    own.write_text("id,size\n" + "".join(f"{item},{item % 100}\n" for item in [*ids, 2**63]) + "x,5\n")
    found = split_of(prepare("csv", archive=str(data), threshold=4, delimiter=",", sha256=None, item_features=str(own)))
    assert found.item_ids.tolist() == sorted(ids)
    assert by_name(item_columns(found))["size"] == [item % 100 for item in sorted(ids)]


def test_of_two_spellings_of_an_id_the_first_counts(prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,price\n07,1\n7,2\n8,3\n")
    split = split_of(prepare("synthetic", users=20, items=30, interactions=120, item_features=str(path)))
    assert by_name(item_columns(split))["price"][split.item_ids.tolist().index(7)] == 1
