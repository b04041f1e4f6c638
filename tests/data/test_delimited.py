"""Delimited files of every kind that the keys of conf/data/csv.yaml can describe."""

from pathlib import Path
from typing import Any

import pytest
from data_helpers import Prepare, settings
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from ncf.core.config import component
from ncf.data import DATASETS, Interactions
from ncf.data.delimited import read_ratings
from ncf.data.ratings import Columns
from ncf.errors import ConfigError, DataError

CSV = "user_id,item_id,rating,timestamp\nu1,b,5,100\nu2,a,4.5,200\nu1,a,1,300\n"


def load(prepare: Prepare, tmp_path: Path, text: str | bytes, **changes: Any) -> Interactions:
    path = tmp_path / "my set.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return prepare("csv", archive=str(path), **changes)


def times(data: Interactions) -> list[int]:
    assert data.timestamps is not None
    return data.timestamps.tolist()


def test_ids_may_be_text(prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, CSV)
    assert (data.users.tolist(), data.items.tolist()) == ([0, 1], [1, 0])
    assert (data.user_ids.tolist(), data.item_ids.tolist()) == (["u1", "u2"], ["a", "b"])
    assert (data.user_ids.dtype.kind, data.name, times(data)) == ("U", "my set", [100, 200])


def test_ids_that_are_all_integers_sort_as_such(prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, CSV.replace("u1", "10").replace("u2", "9"))
    assert data.user_ids.tolist() == [9, 10]
    assert load(prepare, tmp_path, CSV.replace("u1", "10").replace("u2", "09")).user_ids.tolist() == ["09", "10"]
    assert load(prepare, tmp_path, CSV.replace("u1", "1" * 20)).user_ids.tolist() == ["1" * 20, "u2"]


def test_recbole_atomic_files(prepare: Prepare, tmp_path: Path) -> None:
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t4\t881250949\n1\t3\t5\t881250950.0\n"
    data = load(prepare, tmp_path, text, delimiter="\t")
    assert (data.item_ids.tolist(), times(data)) == ([2, 3], [881250949, 881250950])


def test_no_header_no_rating_no_time(prepare: Prepare, tmp_path: Path) -> None:
    names = {"columns": ["who", "what", "why"], "user": "who", "item": "what", "rating": None, "timestamp": None}
    data = load(prepare, tmp_path, "a;x;?\nb;x;!\n", delimiter=";", threshold=None, **names)
    assert (data.user_ids.tolist(), data.ratings.tolist(), data.timestamps) == (["a", "b"], [1, 1], None)


def test_quoted_fields_and_windows_files(prepare: Prepare, tmp_path: Path) -> None:
    text = "\ufeff" + CSV.replace("u1", '"Ann, B"').replace("\n", "\r\n")
    assert load(prepare, tmp_path, text).user_ids.tolist() == ["Ann, B", "u2"]
    assert load(prepare, tmp_path, CSV.replace("user_id", '"user_id"')).user_ids.tolist() == ["u1", "u2"]


def test_colons_and_other_columns(prepare: Prepare, tmp_path: Path) -> None:
    text = "x::user_id::item_id::rating::timestamp\n0::a::b::5::1\n"
    assert load(prepare, tmp_path, text, delimiter="::").user_ids.tolist() == ["a"]


@pytest.mark.parametrize(
    ("text", "changes", "complaint"),
    [
        (CSV.replace("4.5", "high"), {}, ", line 3: expected rating as a finite number, found 'high'"),
        (CSV.replace("4.5", "1e39"), {}, ", line 3: expected rating within the range of float32, found '1e+39'"),
        (CSV.replace(",a,4.5", ",,4.5"), {}, ", line 3: expected item_id of 1 to 256 characters, found ''"),
        (CSV.replace("u2", "u" * 257), {}, ", line 3: expected user_id of 1 to 256 characters"),
        (CSV.replace("200", "200.5"), {}, ", line 3: expected timestamp in whole seconds since 1970"),
        (CSV.replace("200", "1e12"), {}, ", line 3: expected timestamp in whole seconds since 1970"),
        (CSV.replace("4.5", "4.7"), {"scale": [0.5, 5, 0.5]}, ", line 3: expected a rating from 0.5 to 5 in steps"),
        (CSV + "u1,b,3,1\n", {}, ", line 5: expected each (user, item) pair once, found user u1 and item b again"),
        (CSV + "\n", {}, ", line 5: expected 4 fields (user_id, item_id, rating, timestamp) separated by ','"),
        (CSV + '"u1,b,3,1\n', {}, ", line 5: expected matching quotes"),
        (CSV, {"user": "user"}, ", line 1: expected a column 'user', found 'user_id, item_id, rating, timestamp'"),
        (CSV.replace("timestamp", "rating"), {}, ", line 1: expected each column name once"),
        (CSV, {"delimiter": ";"}, ", line 1: expected a column 'user_id'"),
        (CSV.splitlines()[0], {}, ", line 2: expected at least one rating, found 'the end of the file'"),
        ("", {}, "expected lines of text, found an empty file"),
        (CSV.encode("utf-16"), {}, ", line 1: expected UTF-8 text, found 'UTF-16 text"),
        (CSV.replace("u2", "ü").encode("latin-1"), {}, ", line 3: expected utf-8 text, found 'byte 0xfc at column 1'"),
        (CSV.replace("u2", "u\0"), {}, ", line 3: expected text without NUL bytes"),
    ],
)
def test_the_bad_line_is_named(
    prepare: Prepare, tmp_path: Path, text: str | bytes, changes: dict, complaint: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(prepare, tmp_path, text, **changes)
    assert complaint in str(caught.value)
    assert "my set.csv" in str(caught.value)


def test_missing_file_and_contradicting_settings(prepare: Prepare, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.archive: no such file: .*none\.csv"):
        prepare("csv", archive=str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match=r"data\.threshold: expected null, because data\.rating is null"):
        load(prepare, tmp_path, CSV, rating=None)
    with pytest.raises(ConfigError, match=r"data\.delimiter"):
        component("data", DATASETS, settings("csv", archive="x", delimiter="ab"))
    with pytest.raises(ConfigError, match=r"data\.archive"):
        component("data", DATASETS, settings("csv", archive=None))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read_fuzzed(path: Path, data: bytes) -> None:
    """The outcome is ratings or a DataError; anything else fails the test."""
    path.write_bytes(data)
    try:
        ratings = read_ratings(path, ",", None, Columns("user_id", "item_id", "rating", "timestamp"), None)
    except DataError:
        return
    assert len(ratings.users) == len(ratings.items) == len(ratings.ratings) > 0


LINE = st.lists(st.text(max_size=8), min_size=3, max_size=5).map(",".join)
FILES = st.one_of(
    st.binary(max_size=200),
    st.lists(LINE, max_size=5).map(lambda lines: (CSV + "\n".join(lines)).encode("utf-8", "surrogatepass")),
)


@given(data=FILES)
@effort(max_examples=150, deadline=None)
def test_fuzzed_files(scratch: Path, data: bytes) -> None:
    read_fuzzed(scratch / "fuzz.csv", data)


@pytest.mark.slow
@given(data=FILES)
@effort(max_examples=5000, deadline=None)
def test_fuzzed_files_at_length(scratch: Path, data: bytes) -> None:
    read_fuzzed(scratch / "fuzz.csv", data)
