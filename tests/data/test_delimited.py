"""Delimited files of every kind that the keys of conf/data/csv.yaml can describe."""

import bz2
import gzip
import lzma
import time
from pathlib import Path
from typing import Any

import pytest
from data_helpers import Prepare, settings
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from ncf.core.config import component
from ncf.data import DATASETS, Interactions, compressed
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


@pytest.mark.parametrize("written", ["\\t", "tab", "\t"])
def test_a_tab_however_it_is_written(prepare: Prepare, tmp_path: Path, written: str) -> None:
    data = load(prepare, tmp_path, CSV.replace(",", "\t"), delimiter=written)
    assert data.digest == load(prepare, tmp_path, CSV.replace(",", "\t"), delimiter="\t").digest
    assert data.user_ids.tolist() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        ("x.csv", ","), ("x.tsv", "\t"), ("x.TSV", "\t"), ("x.tab", "\t"), ("x.inter", "\t"), ("x.inter.gz", "\t"),
        ("x.csv.gz", ","), ("x", ","), ("x.tsv/x.csv", ","),
    ],
)  # fmt: skip
def test_the_delimiter_follows_from_the_name_of_the_file(name: str, delimiter: str) -> None:
    assert settings("csv", archive=name)["delimiter"] == delimiter


def test_a_file_without_a_header_is_recognised(
    prepare: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load(prepare, tmp_path, CSV.partition("\n")[2])
    assert (data.user_ids.tolist(), times(data)) == (["u1", "u2"], [100, 200])
    assert "my set.csv has no header line; its columns are taken to be user_id, item_id, rating, time" in caplog.text
    clicks = {"rating": None, "timestamp": None, "threshold": None}
    assert len(load(prepare, tmp_path, "1,7\n1,8\n2,7\n", **clicks)) == 3
    assert len(load(prepare, tmp_path, "1,1,1,1\n", threshold=None)) == 1


@pytest.mark.parametrize(
    "text",
    ["who,what,score,when\na,b,5,1\n", "u1,b,five,100\n", "who,item_id,5,100\n", "1,2,5\n", "1,2,5,100,7\n"],
)
def test_a_header_of_other_names_is_no_row(prepare: Prepare, tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"line 1: expected (a column|columns)"):
        load(prepare, tmp_path, text)


def test_gzip_is_read_as_what_it_holds(prepare: Prepare, tmp_path: Path) -> None:
    halves = gzip.compress(CSV[:40].encode()) + gzip.compress(CSV[40:].encode())
    for content in (gzip.compress(CSV.encode()), halves):
        assert load(prepare, tmp_path, content).user_ids.tolist() == ["u1", "u2"]
    with pytest.raises(DataError, match=r"my set\.csv: .*cut off"):
        load(prepare, tmp_path, gzip.compress(CSV.encode())[:-12])
    padded = gzip.compress(CSV.encode())[:-12] + bytes(4)  # cut off, with an end that declares nothing
    with pytest.raises(DataError, match=r"my set\.csv: cannot be read \("):
        load(prepare, tmp_path, padded)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04" + bytes(100), "a zip archive or a spreadsheet"),
        (bz2.compress(CSV.encode()), "bzip2-compressed data"),
        (lzma.compress(CSV.encode()), "xz-compressed data"),
        (b"SQLite format 3\0" + bytes(100), "a database"),
        (bytes(range(256)), "binary data"),
    ],
)
def test_a_compressed_or_binary_file_is_called_so(prepare: Prepare, tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=rf"expected text, gzip-compressed text or Parquet, found {found}$"):
        load(prepare, tmp_path, content)


def gzip_bomb(repeats: int) -> bytes:
    """A megabyte of rows, many times; every one of the members unfolds without a byte too many."""
    return gzip.compress(CSV.partition("\n")[0].encode() + b"\n") + repeats * gzip.compress(b"1,1,5,100\n" * 100_000)


def test_a_gzip_bomb_is_refused_by_what_it_declares_or_as_it_unfolds(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "_ALWAYS_ALLOWED", 1 << 20)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"at most 200 times its size, found an end that declares 10,000,000 bytes"):
        load(prepare, tmp_path, gzip.compress(b"1,1,5,100\n" * 1_000_000))
    assert time.monotonic() - started < 1
    with pytest.raises(DataError, match=r"at most 200 times its size, found \d[\d,]+ bytes or more"):
        load(prepare, tmp_path, gzip_bomb(20))


@pytest.mark.parametrize(
    ("time", "written"),
    [
        ("ms", ["100000", "200999", "300000"]),
        ("ms", ["100000.0", "2.0e5", "300000"]),
        ("iso", ["1970-01-01T00:01:40Z", "1970-01-01 00:03:20", "1970-01-01T01:05:00.5+01:00"]),
    ],
)
def test_times_in_milliseconds_and_dates(prepare: Prepare, tmp_path: Path, time: str, written: list[str]) -> None:
    text = CSV
    for seconds, other in zip(("100", "200", "300"), written, strict=True):
        text = text.replace(f",{seconds}\n", f",{other}\n")
    data = load(prepare, tmp_path, text, time=time, threshold=None)
    assert times(data) == [100, 200, 300]
    assert data.digest != load(prepare, tmp_path, CSV, threshold=None).digest


def test_a_bad_time_is_refused_by_its_line_with_the_setting_that_may_read_it(prepare: Prepare, tmp_path: Path) -> None:
    for unit, value, complaint in (
        ("s", "1580000000000", r"line 3: expected timestamp in whole seconds .*\(data\.time=ms reads milliseconds\)"),
        ("s", "2020-01-31", r"line 3: expected timestamp as a finite number, found '2020-01-31'; data\.time=iso reads"),
        ("ms", "-1", "line 3: expected timestamp in whole milliseconds since 1970"),
        ("iso", "yesterday", "line 3: expected timestamp as a date from 1970 to 2099, such as .*, found 'yesterday'"),
        ("iso", "1969-12-31", "line 3: expected timestamp as a date"),
        ("iso", "2100-01-01", "line 3: expected timestamp as a date"),
        ("iso", "", "line 3: expected timestamp as a date"),
    ):
        text = CSV.replace("200", value)
        text = text if unit != "iso" else text.replace(",100\n", ",2001-01-01\n")
        with pytest.raises(DataError, match=complaint):
            load(prepare, tmp_path, text, time=unit)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (
            ["1", "1.0", "2"],
            "1 of the 3 ids in column user_id differ from another only by blanks or '.0' ('1' and '1.0'",
        ),
        (["a", " a", "a "], "2 of the 3 ids in column user_id"),
        (["1.0", "1.00", "x"], "1 of the 3 ids in column user_id"),
        (["1.0", "2.0", "3.0"], None),
        (["1.5", "1", "01"], None),
    ],
)
def test_ids_that_differ_only_by_blanks_or_a_zero_are_warned_of(
    prepare: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture, ids: list[str], said: str | None
) -> None:
    text = CSV.partition("\n")[0] + "\n" + "".join(f"{one},i,5,1\n" for one in ids)
    for _ in range(2):  # also when it is read from the cache
        caplog.clear()
        assert load(prepare, tmp_path, text).num_users == len(ids)
        assert ("differ from another" in caplog.text) == (said is not None)
        assert said is None or said in caplog.text


CLICKS = {"rating": None, "threshold": None, "timestamp": None}


@pytest.mark.parametrize(
    ("text", "columns", "changes"),
    [
        ("a,x\nb,y\n", ["user_id", "item_id"], CLICKS),
        ("1,2\n3,4\n", ["user_id", "item_id"], CLICKS),
        ("1,2,7\n3,4,8\n", ["user_id", "item_id", "rating"], {"timestamp": None}),
        ("1,2,7\n3,4,8\n", ["user_id", "item_id", "timestamp"], {"rating": None, "threshold": None}),
    ],
)
def test_what_the_advice_for_a_file_without_header_says_reads_it(
    prepare: Prepare, tmp_path: Path, text: str, columns: list[str], changes: dict
) -> None:
    assert load(prepare, tmp_path, text, columns=columns, **changes).num_users <= 2


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
        (
            CSV,
            {"delimiter": ";"},
            ", line 1: expected columns 'user_id', 'item_id', 'rating', 'timestamp', found "
            "'user_id,item_id,rating,timestamp'; data.delimiter=',' would separate them",
        ),
        (
            "who,item_id\na,b\n",
            {},
            ", line 1: expected columns 'user_id', 'rating', 'timestamp', found 'who, item_id'; set "
            "data.user, data.rating, data.timestamp to the names in the file, or data.rating=null "
            "data.timestamp=null split=ratio if it has none",
        ),
        ("1,2,3,4,5\n", {}, "values, not names, set data.columns to the names of all 5 columns, [user_id,item_id,...]"),
        (
            "1,2\n",
            {},
            "; if these are values, not names, set data.columns=[user_id,item_id] "
            "data.rating=null data.timestamp=null split=ratio",
        ),
        (
            "a,x\n",
            CLICKS,
            "set data.columns=[user_id,item_id] data.rating=null "
            "data.timestamp=null split=ratio, else set data.user, data.item to the names in the file",
        ),
        (
            "1,2,7\n",
            {},
            "set data.columns=[user_id,item_id,rating] data.timestamp=null split=ratio, or "
            "data.columns=[user_id,item_id,timestamp] data.rating=null",
        ),
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
    with pytest.raises(
        ConfigError, match=r"data\.threshold: expected null, which makes .*, because data\.rating is null, got 4"
    ):
        load(prepare, tmp_path, CSV, rating=None, threshold=4)
    with pytest.raises(ConfigError, match=r"data\.delimiter: expected one character, or :: or tab, got 'ab'"):
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
