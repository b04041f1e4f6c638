"""Parquet files: the same positives as of the text that they stand for, or one line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import Prepare

from ncf.data import Interactions
from ncf.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLUMNS = {"user_id": [3, 3, 7], "item_id": ["b", "a", "b"], "rating": [5, 4, 1], "timestamp": [100, 300, 200]}


def load(prepare: Prepare, tmp_path: Path, columns: dict[str, Any], **changes: Any) -> Interactions:
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    return prepare("csv", archive=str(tmp_path / "x.parquet"), **changes)


def test_a_table_gives_what_its_text_gives(prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, COLUMNS | {"extra": [None, 1, 2]})
    lines = [",".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True)]
    (tmp_path / "x.csv").write_text("\n".join([",".join(COLUMNS), *lines]))
    text = prepare("csv", archive=str(tmp_path / "x.csv"))
    for name in ("users", "items", "ratings", "timestamps", "user_ids", "item_ids"):
        assert np.array_equal(getattr(data, name), getattr(text, name)), name
    assert data.user_ids.dtype == np.int64


def test_dates_categories_and_clicks(prepare: Prepare, tmp_path: Path) -> None:
    dates = pa.array([100_000, 300_000, 200_000], pa.timestamp("ms", "UTC"))
    coded = pa.array(["b", "a", "b"]).dictionary_encode()
    data = load(prepare, tmp_path, COLUMNS | {"timestamp": dates, "item_id": coded}, time="iso", threshold=None)
    assert data.timestamps is not None
    assert (data.timestamps.tolist(), data.item_ids.tolist()) == ([100, 300, 200], ["a", "b"])
    clicks = {name: COLUMNS[name] for name in ("user_id", "item_id")}
    assert len(load(prepare, tmp_path, clicks, rating=None, timestamp=None, threshold=None)) == 3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_keep_what_is_below_a_second(unit: str, zone: str | None, prepare: Prepare, tmp_path: Path) -> None:
    below = {"s": 0, "ms": 1, "us": 1, "ns": 1}[unit]
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    dates = pa.array([100 * per_second + below, 300 * per_second, 200 * per_second], pa.timestamp(unit, zone))
    data = load(prepare, tmp_path, COLUMNS | {"timestamp": dates}, time="iso", threshold=None)
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [100, 300, 200]
    found = None if data.subseconds is None else data.subseconds.tolist()
    assert found == (None if unit == "s" else [10**9 // per_second, 0, 0])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rating": [5, None, 1]}, "line 2: expected a value of rating, found 'none'"),
        ({"rating": ["5", "4", "1"]}, "expected rating as a number, found string"),
        ({"rating": [5.0, float("nan"), 1.0]}, "line 2: expected rating as a finite number, found 'nan'"),
        ({"user_id": [1.5, 2.5, 3.5]}, "expected user_id as whole numbers or text, found double"),
        ({"timestamp": pa.array([1, 2, 3], pa.timestamp("s"))}, r"data\.time=iso reads dates"),
        ({"item_id": ["b", "", "c"]}, "line 2: expected item_id of 1 to 256 characters"),
    ],
)
def test_what_does_not_fit_is_named(prepare: Prepare, tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        load(prepare, tmp_path, COLUMNS | changes)
    with pytest.raises(DataError, match="expected columns 'user_id', 'item_id', found 'a'"):
        load(prepare, tmp_path, {"a": [1]}, rating=None, timestamp=None, threshold=None)


def test_a_damaged_file_and_one_of_endless_rows(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as Parquet") as caught:
        prepare("csv", archive=str(tmp_path / "x.parquet"))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"expected a Parquet file of data, found 2,000,000 rows in"):
        load(prepare, tmp_path, {name: np.zeros(2_000_000, np.int8) for name in COLUMNS})


def test_without_pyarrow_one_line_says_what_to_install(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table(COLUMNS), tmp_path / "x.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"x\.parquet: reading Parquet needs pyarrow; pip install 'ncf\[export\]'"):
        prepare("csv", archive=str(tmp_path / "x.parquet"))


@pytest.mark.parametrize("coded", [False, True])
def test_a_small_file_of_long_texts_is_refused_before_it_unfolds(coded: bool, prepare: Prepare, tmp_path: Path) -> None:
    users = pa.array(["x" * (5000 if coded else 2**21)] * 20)
    columns = {"user_id": users.dictionary_encode() if coded else users, "item_id": list(range(20))}
    clicks = {"rating": None, "timestamp": None, "threshold": None}
    with pytest.raises(DataError, match=r"x\.parquet: expected user_id of at most 1024 bytes, found"):
        load(prepare, tmp_path, columns, **clicks)
