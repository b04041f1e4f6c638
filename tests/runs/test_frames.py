"""A frame as the file of a run: its content, and errors that speak of the frame."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ncf
from ncf.errors import DataError
from ncf.runs.frames import file_of

QUIET = ["trainer.progress=false"]
FRAME = pd.DataFrame(
    {"user_id": np.repeat(np.arange(12), 8), "item_id": [(u * i) % 23 for u in range(12) for i in range(8)]}
)
FRAME = FRAME.drop_duplicates(ignore_index=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(frame: pd.DataFrame) -> str:
    return file_of(frame, Path("x")).content.decode()


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        "u" + FRAME.astype(str),
        FRAME.assign(rating=4.5, timestamp=7),
        FRAME.assign(time=pd.date_range("2020", periods=len(FRAME))),
        FRAME.assign(time=pd.date_range("2020", periods=len(FRAME), tz="Asia/Tokyo")),
        FRAME.assign(user_id='"a", b'),
    ],
)
def test_ids_of_runs_rest_on_what_pandas_writes(frame: pd.DataFrame) -> None:
    """The SHA-256 of this text is part of a run's identity."""
    assert written(frame) == frame.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S%z")


@pytest.mark.parametrize("kind", [float, "float32", "Float64", "Int64", "int8", "category", object])
def test_whole_numbers_are_integers_in_whatever_column_pandas_keeps_them(kind: Any) -> None:
    assert written(FRAME.astype(kind)) == written(FRAME)
    assert written(FRAME.astype(float).astype(kind)) == written(FRAME)


def test_a_number_with_a_fraction_stays_as_it_is() -> None:
    assert written(pd.DataFrame({"user": [1.0, 2.5], "item": [1, 2]})) == "user,item\n1.0,1\n2.5,2\n"
    assert written(pd.DataFrame({"user": [1.0, "u"], "item": [1, 2]})) == "user,item\n1,1\nu,2\n"


DAY = datetime.date(2020, 1, 31)
NOON = datetime.datetime(2020, 1, 31, 12, tzinfo=datetime.UTC)
BERLIN = datetime.datetime(2020, 1, 31, 13, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([DAY, DAY], ["2020-01-31T00:00:00+0000"] * 2),
        ([NOON, BERLIN], ["2020-01-31T12:00:00+0000"] * 2),
        (pd.Series([NOON, BERLIN], dtype=object), ["2020-01-31T12:00:00+0000"] * 2),
        (pd.to_datetime(["2020-01-31T12:00:00.25", "2020-01-31"], format="ISO8601"),
         ["2020-01-31T12:00:00.250000", "2020-01-31T00:00:00.000000"]),
        (pd.to_datetime(["2020-01-31T12:00:00.000000001+01:00"] * 2), ["2020-01-31T11:00:00.000000001"] * 2),
    ],
)  # fmt: skip
def test_dates_and_datetimes_are_written_in_full(times: Any, expected: list[str]) -> None:
    file = file_of(pd.DataFrame({"user": [1, 2], "item": [3, 4], "time": times}), Path("x"))
    assert [line.rpartition(",")[2] for line in file.content.decode().splitlines()[1:]] == expected
    assert file.settings["data.time"] == "iso"


def test_the_later_of_two_milliseconds_is_held_out(here: Path) -> None:
    start = pd.Timestamp("2020-01-01")
    times = [start + pd.Timedelta(days=u, milliseconds=10 * (8 - i)) for u in range(12) for i in range(8)]
    frame = pd.DataFrame({"user": np.repeat(range(12), 8), "item": list(range(8)) * 12, "time": times})
    frame = pd.concat([frame, pd.DataFrame({"user": [99], "item": [98], "time": [start]})])
    split = ncf.fit("popularity", frame, overrides=[*QUIET, "evaluation.cutoffs=[3]"]).split
    assert set(split.item_ids[split.test.items]) == {0}
    assert set(split.item_ids[split.valid.items]) == {1}


def holed(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = FRAME.assign(rating=5, timestamp=3).astype(object)
    frame.loc[row, column] = value
    return frame.set_index(np.full(len(frame), 77))  # rows are counted, whatever the index says


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (holed("rating", 4, "good"), "data, row 4: expected rating as a finite number, found 'good'"),
        (holed("rating", 4, np.inf), "data, row 4: expected rating as a finite number, found 'inf'"),
        (holed("timestamp", 6, -1), "data, row 6: expected timestamp in whole seconds since 1970"),
        (holed("timestamp", 6, "2020-01-01"), "data, row 6: expected timestamp as a finite number, .*data.time=iso"),
        (holed("user_id", 0, ""), "data, row 0: expected user_id of 1 to 256 characters, found ''"),
        (holed("item_id", 9, "x" * 300), "data, row 9: expected item_id of 1 to 256 characters"),
        (holed("item_id", 9, "line 7"), None),
        (holed("item_id", 9, 'u",\u2028 \x85'), None),
        (holed("user_id", 5, "a\nb"), r"data: expected ids without .* column 'user_id', found 'a\\nb' in row 5"),
        (holed("user_id", 5, "a\rb"), r".* found 'a\\rb' in row 5"),
        (holed("item_id", 5, "a\0"), r".* column 'item_id', found 'a\\x00' in row 5"),
        (holed("item_id", 5, "\ud800"), r".* found '\\ud800' in row 5"),
        (holed("item_id", 5, None), "data: expected a value in column 'item_id' of each row, found none in row 5"),
        (FRAME.assign(user_id=np.inf), "data: expected finite ids in column 'user_id', found inf in row 0"),
        (pd.concat([FRAME, FRAME[2:3]]),
         r"data, row \d+: expected each .* pair once, found user .* and item .* again \(first in row 2\)"),
        (FRAME.assign(time=pd.Timestamp("1920-01-01")), "data, row 0: expected time as a date from 1970 to 2099"),
        (FRAME.assign(rating=1), r"data: no rating reaches data.threshold=4.0 \(the highest is 1\)"),
        (FRAME[FRAME["item_id"] < 3].assign(user_id=1).drop_duplicates(), r"data: "),
        (FRAME[:0], "data: expected rows, found a frame without any"),
        (pd.concat([FRAME, FRAME[["item_id"]]], axis=1), "data: expected one column 'item_id', found 2 of them"),
        (FRAME.set_axis(pd.MultiIndex.from_product([FRAME.columns, ["x"]]), axis=1),
         "data: expected one column 'user_id', found columns of several levels"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_frame_is_said_of_the_frame(here: Path, frame: pd.DataFrame, message: str | None) -> None:
    if message is None:
        ncf.fit("popularity", frame, overrides=QUIET)
        return
    with pytest.raises(DataError, match=f"^{message}") as caught:
        ncf.fit("popularity", frame, overrides=QUIET)
    assert "\n" not in str(caught.value)
    assert "csv" not in str(caught.value)
    assert " line 1" not in str(caught.value)
