"""Logged feedback: what is written is read back, and bad rows are named."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import full_disk

from ncf.data.feedback import Columns, LoggedFeedback, append, columns_of, read, write
from ncf.errors import DataError, FileError


@pytest.fixture
def log() -> LoggedFeedback:
    return LoggedFeedback(
        np.array(["x", "=y", "z"], object), np.array([0.1, 1.0, 1 / 34]), np.array([1.0, 0, 0.5]),
        user=np.array([3, 4, 3]), position=np.array([1, 2, 1]), time=np.array([1.5, 2, 3]),
        policy=np.array(["a", "b", "a"], object), slate=np.array([1, 1, 2]),
        context=np.array([[0.5, 1], [2, 3], [4, 5]]),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_what_is_written_is_read_back_to_the_bit(name: str, log: LoggedFeedback, tmp_path: Path) -> None:
    write(log, tmp_path / name)
    again = read(tmp_path / name)
    assert again.label == str(tmp_path / name)
    for field, values in log.columns().items():
        assert again.columns()[field].tolist() == values.tolist(), field


def test_columns_of_ones_own_and_what_is_found_without_asking(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"who": [1, 2], "what": ["a", "b"], "p": [0.5, 0.5], "y": [1, 0], "slate": [7, 8], "f": [0, 1]}
    )
    frame.to_csv(tmp_path / "own.csv", index=False)
    columns = columns_of(tmp_path / "own.csv", user="who", item="what", propensity="p", reward="y", context=("f",))
    assert columns == Columns("what", "y", "p", user="who", slate="slate", context=("f",))
    found = read(tmp_path / "own.csv", columns)
    assert (found.item.tolist(), found.user.tolist(), found.slate.tolist()) == (["a", "b"], [1, 2], [7, 8])
    assert found.context.tolist() == [[0], [1]]
    assert found.position is None


@pytest.mark.parametrize(
    ("time", "seconds"),
    [([5, 6.5], [5, 6.5]), (["1970-01-01 00:00:05+00:00", "1970-01-01T01:00:06.5+01:00"], [5, 6.5])],
)
def test_times_are_seconds_or_dates(time: list, seconds: list[float]) -> None:
    frame = pd.DataFrame({"item": [1, 2], "propensity": [0.5, 0.5], "reward": [0, 1], "time": time})
    assert read(frame).time.tolist() == seconds


BASE = {"item": [1, 2, 3], "propensity": [0.5, 0.5, 0.5], "reward": [0, 1, 0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.5, 0, 0.5]}, "row 2: expected propensity as a probability above 0 and at most 1, found 0.0"),
        (
            {"propensity": [0.5, 0.5, 1.01]},
            "row 3: expected propensity as a probability above 0 and at most 1, found 1.01",
        ),
        ({"propensity": [-0.1, 0.5, 1]}, "row 1: expected propensity"),
        ({"propensity": [0.5, None, 0.5]}, "found 1 of propensity in 3 rows, the first in row 2"),
        ({"propensity": ["0.5", "high", "0.5"]}, "row 2: expected propensity as a number, found 'high'"),
        ({"reward": [1, 0, np.nan]}, "found 1 of reward in 3 rows, the first in row 3"),
        ({"reward": [1, 0, np.inf]}, "row 3: expected reward as a finite number"),
        ({"position": [1, 1.5, 2]}, "row 2: expected position as a whole number, found 1.5"),
        ({"time": ["2020-01-01", "then", "2020-01-01"]}, "row 2: expected time as seconds or a date, found 'then'"),
        ({"context_0": [1, 2, np.inf]}, "row 3: expected context_0 as a finite number"),
        ({"item": [1, None, 2]}, "found 1 of item"),
    ],
)
def test_bad_rows_are_named(change: dict[str, list], message: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({**BASE, **change})
    with pytest.raises(DataError, match=message):
        read(frame)
    frame.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "log.csv")


def test_missing_columns_suggest_near_ones(tmp_path: Path) -> None:
    pd.DataFrame({"item": [1], "propensty": [0.5], "reward": [1]}).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"expected a column 'propensity', .* did you mean 'propensty'"):
        read(tmp_path / "log.csv")


def test_a_table_that_is_none() -> None:
    with pytest.raises(DataError, match="expected rows, found none"):
        LoggedFeedback(np.array([]), np.array([]))
    with pytest.raises(DataError, match="expected reward of each of 2 rows, found shape"):
        LoggedFeedback(np.array([1, 2]), np.ones(2), np.ones(3))
    with pytest.raises(DataError, match=r"row 2: expected propensity as .*, found none"):
        LoggedFeedback(np.array([1, 2]), np.array([0.5, np.nan]))


def test_rows_of_one_policy(log: LoggedFeedback) -> None:
    assert log.of_policy("a").item.tolist() == ["x", "z"]
    with pytest.raises(DataError, match="expected rows of policy 'c', found only a, b"):
        log.of_policy("c")
    with pytest.raises(DataError, match="expected a column that names policies"):
        LoggedFeedback(np.array([1]), np.ones(1)).of_policy("a")


def test_repeated_rows_count_only_where_rows_can_be_told_apart(log: LoggedFeedback) -> None:
    assert log.repeated() == 0
    assert log.take(np.array([0, 0, 1, 0])).repeated() == 2
    assert LoggedFeedback(np.array([1, 1]), np.ones(2)).repeated() == 0


def test_a_log_grows_and_waits_for_its_rewards(tmp_path: Path) -> None:
    waiting = LoggedFeedback(np.array([1, 2]), np.array([0.5, 0.25]), user=np.array([7, 7]))
    path = tmp_path / "log.csv"
    append(waiting, path)
    append(waiting, path)
    assert path.read_text() == "item,propensity,user,reward\n" + 2 * "1,0.5,7,\n2,0.25,7,\n"
    with pytest.raises(DataError, match="found 4 of reward in 4 rows"):
        read(path)
    with pytest.raises(
        DataError, match="expected the columns item,propensity,reward, found item,propensity,user,reward"
    ):
        append(LoggedFeedback(np.array([1]), np.ones(1)), path)


def test_places_that_cannot_be_written(log: LoggedFeedback, tmp_path: Path) -> None:
    for write_to in (write, append):
        with pytest.raises(DataError, match="expected a name that ends in"):
            write_to(log, tmp_path / "log.txt")
        os.mkfifo(tmp_path / f"{write_to.__name__}.csv")
        with pytest.raises(DataError, match="expected a regular file"):
            write_to(log, tmp_path / f"{write_to.__name__}.csv")
    with pytest.raises(DataError, match="cannot write"):
        write(log, tmp_path / "none" / "log.csv")
    with pytest.raises(FileError, match="cannot write"):
        append(log, tmp_path / "none" / "log.csv")
    with full_disk(10), pytest.raises(DataError, match="cannot write"):
        write(log, tmp_path / "full.csv")
    assert not (tmp_path / "full.csv").exists()


def test_ids_beyond_64_bits_with_sign_stay_apart_and_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(f"item,propensity,reward\n{2**64 - 1},0.5,1\n{2**64 - 2},0.5,1\n1,0.5,0\n")
    assert read(tmp_path / "log.csv").item.tolist() == [str(2**64 - 1), str(2**64 - 2), "1"]


@pytest.mark.parametrize("position", [1e300, -1e17, 0.5])
def test_a_position_that_no_index_holds_is_refused(position: float) -> None:
    frame = pd.DataFrame({"item": [1, 2], "propensity": 0.5, "reward": 1.0, "position": [1.0, position]})
    with pytest.raises(DataError, match="row 2: expected position as a whole number, found"):
        read(frame)
