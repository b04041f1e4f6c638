"""Times as files write them: nothing is cut before they are put in order, and what is no time is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.data.table import Block
from ncf.data.times import LATEST, NANO, Time, checked_times, first_instant, instants, joined, shown
from ncf.errors import DataError


def read(time: Time, values: list[object]) -> list[tuple[int, int]]:
    """(second, nanosecond) of each."""
    column = np.array(values, object if time == "iso" else np.float64)
    seconds, below = checked_times(Block(1, {"t": column}), "t", "f", time)
    return list(zip(seconds.tolist(), [0] * len(seconds) if below is None else below.tolist(), strict=True))


def test_milliseconds_are_kept() -> None:
    assert read("ms", [0, 999, 1000, 1577872800900]) == [(0, 0), (0, 999_000_000), (1, 0), (1577872800, 900_000_000)]
    assert read("ms", [LATEST * 1000 - 1]) == [(LATEST - 1, 999_000_000)]


def test_dates_are_kept_to_the_nanosecond() -> None:
    dates = ["1970-01-01T00:00:00.1Z", "1970-01-01T01:00:00.000001+01:00", "1970-01-01 00:00:01", "1970-01-02"]
    expected = [(0, 100_000_000), (0, 1000), (1, 0), (86400, 0)]
    assert read("iso", dates) == expected
    assert read("iso", [*dates, "2099-12-31T23:59:59.999999999"]) == [*expected, (LATEST - 1, NANO - 1)]


@pytest.mark.parametrize("word", ["now", "today"])
@pytest.mark.parametrize("other", ["2020-01-01", "2020-01-01T00:00:00.123456789Z"])
def test_words_that_mean_the_present_are_no_dates(word: str, other: str) -> None:
    with pytest.raises(DataError, match=rf"^f, line 2: expected t as a date from 1970 to 2099, .*, found '{word}'$"):
        read("iso", [other, word])


@pytest.mark.parametrize("text", ["-5", "1969-12-31T23:59:59.9Z", "2100-01-01", "9999-12-31", "NaT", "", "x", " now"])
def test_what_is_no_date_of_our_times_is_named(text: str) -> None:
    for others in (["2020-01-01"], ["2020-01-01T00:00:00.123456789Z"]):
        with pytest.raises(DataError, match=r"^f, line 2: expected t as a date from 1970 to 2099"):
            read("iso", [*others, text])


def test_more_decimal_places_than_are_kept_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^f, line 2: expected t with at most 9 decimal places, found '2020-01-01T00:0"
    ):
        read("iso", ["2020-01-01", "2020-01-01T00:00:00.1234567891Z"])


@pytest.mark.parametrize(
    ("time", "unit"),
    [("s", r"seconds since 1970, .* \(below a second, data\.time=ms reads "), ("ms", "milliseconds since 1970")],
)
def test_numbers_with_a_fraction_are_refused(time: Time, unit: str) -> None:
    with pytest.raises(DataError, match=rf"^f, line 2: expected t in whole {unit}.*, found '1\.5'$"):
        read(time, [1, 1.5])


def test_blocks_are_joined_and_whole_seconds_stay_plain() -> None:
    some, none = np.array([5], np.int32), np.zeros(1, np.int32)
    second = np.array([7])
    seconds, below = joined([(second, none), (second, some)])
    assert seconds is not None
    assert below is not None
    assert (seconds.tolist(), below.tolist()) == ([7, 7], [0, 5])
    assert joined([(second, none), (second, none)])[1] is None
    assert joined([(second, None)])[1] is None
    assert joined([]) == (None, None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, LATEST - 1), st.integers(0, NANO - 1)), min_size=1))
def test_instants_order_as_seconds_and_then_what_is_below(times: list[tuple[int, int]]) -> None:
    seconds, below = (np.array(column, kind) for column, kind in zip(zip(*times), (np.int64, np.int32)))
    order = np.argsort(instants(seconds, below), kind="stable")
    assert [times[n] for n in order] == sorted(times)
    assert instants(seconds, None) is seconds
    assert (instants(seconds, None, fine=True) <= instants(seconds, below)).all()


def test_the_first_instant_of_a_date_or_share() -> None:
    ordered = np.array([10, 20, 30, 40])
    assert first_instant(0.5, ordered, fine=False) == 30
    assert first_instant("1970-01-01T00:00:10.000001", ordered, fine=False) == 11  # nothing in second 10 is later
    assert first_instant("1970-01-01T00:00:10", ordered, fine=False) == 10
    assert first_instant("1970-01-01T00:00:10.900001", ordered, fine=True) == 10_900_001_000


def test_how_an_instant_is_shown() -> None:
    assert shown(86400, fine=False) == "1970-01-02 00:00:00"
    assert shown(86400 * NANO + 900_000_000, fine=True) == "1970-01-02 00:00:00.9"
    assert shown(86400 * NANO, fine=True) == "1970-01-02 00:00:00"


def test_a_date_finer_than_python_reads_is_refused_not_cut() -> None:
    with pytest.raises(ValueError, match=r"^expected a date with at most 6 decimal places$"):
        first_instant("2020-01-01T00:00:00.1234567", np.array([1]), fine=True)
