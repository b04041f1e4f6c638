"""From rows to units: every shape of table that people have, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.errors import DataError
from ncf.online.units import read_units, together

FRAME = pd.DataFrame(
    {
        "user": ["c", "a", "b", "d", "e"],
        "arm": ["B", "A", "B", "A", "A"],
        "clicks": [3, 0, 2, 1, 5],
        "country": ["de", "fr", "de", "de", "fr"],
        "pre": [0.5, 1.0, 2.0, 3.0, -1.0],
    }
)
LOG = pd.DataFrame(
    {
        "user": [10, 11, 10, 12, 11, 10, 14],
        "arm": [1, 0, 1, 0, 0, 1, 1],
        "day": [3, 3, 4, 5, 5, 5, 7],
        "clicks": [1, 2, 0, 4, 1, 1, 2],
    }
)


def read(frame: pd.DataFrame | Path, **options):
    """With the columns that every test has."""
    return read_units(frame, **{"unit": "user", "arm": "arm", "values": ["clicks"], **options})


def test_a_row_a_unit() -> None:
    found = read(FRAME, fixed=["pre"], groups=["country"])
    assert found.arms == ("A", "B")
    assert found.sizes == {"A": 3, "B": 2}
    np.testing.assert_array_equal(found.values["clicks"], [3, 0, 2, 1, 5])
    np.testing.assert_array_equal(found.fixed["pre"], FRAME["pre"])
    assert found.groups["country"].tolist() == ["de", "fr", "de", "de", "fr"]
    own, treated = found.against(1)
    assert (own.tolist(), treated.tolist()) == ([0, 1, 2, 3, 4], [True, False, True, False, False])
    assert found.log is None


def test_a_row_a_unit_and_day() -> None:
    found = read(LOG, time="day")
    assert found.arms == ("0", "1")
    np.testing.assert_array_equal(found.values["clicks"], [2, 3, 4, 2])  # 10, 11, 12, 14
    np.testing.assert_array_equal(found.count, [3, 2, 1, 1])
    assert found.log is not None
    assert found.log.labels == {0: "3", 1: "4", 2: "5", 4: "7"}
    assert [LOG["day"].to_numpy()[rows].tolist() for rows in found.log.by_day()] == [[3, 3], [4], [5, 5, 5], [7]]
    shuffled = LOG.sample(frac=1, random_state=1).reset_index(drop=True)
    again = read(shuffled, time="day").log
    assert again is not None
    assert [sorted(shuffled["day"].to_numpy()[rows]) for rows in again.by_day()] == [[3, 3], [4], [5, 5, 5], [7]]
    np.testing.assert_array_equal(read(LOG, rows="max").values["clicks"], [1, 2, 4, 2])
    np.testing.assert_allclose(read(LOG, rows="mean").values["clicks"], [2 / 3, 1.5, 4, 2])
    np.testing.assert_array_equal(together(np.array([1.0, 5, 2]), np.array([0, 1, 0]), np.array([2, 1]), "sum"), [3, 5])


@pytest.mark.parametrize(
    "days",
    [
        ["2026-01-03", "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-05", "2026-01-05", "2026-01-07"],
        pd.to_datetime(["2026-01-03 10:00:00", "2026-01-03 23:59:59", "2026-01-04", "2026-01-05", "2026-01-05",
                        "2026-01-05 12:30:00", "2026-01-07"], format="ISO8601"),
        pd.to_datetime(["2026-01-03", "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-05", "2026-01-05",
                        "2026-01-07"]).tz_localize("UTC"),
    ],
)  # fmt: skip
def test_dates_and_times_are_days(days) -> None:
    log = read(LOG.assign(day=days), time="day").log
    assert log is not None
    assert log.day.tolist() == [0, 0, 1, 2, 2, 2, 4]
    assert log.labels[4] == "2026-01-07"


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz", "tsv"])
def test_files(tmp_path, kind) -> None:
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    assert read(path).sizes == {"A": 3, "B": 2}


@pytest.mark.parametrize(
    ("arms", "control", "expected"),
    [
        (["new", "old", "new", "old", "old"], None, ("new", "old")),
        (["new", "old", "new", "old", "old"], "old", ("old", "new")),
        (["x", "control", "x", "control", "y"], None, ("control", "x", "y")),
        ([True, False, True, False, False], None, ("False", "True")),
        ([1.0, 0.0, 1.0, 0.0, 2.0], None, ("0", "1", "2")),
        ([10, 2, 10, 2, 2], None, ("2", "10")),
        (pd.Categorical(["b", "a", "b", "a", "a"], categories=["b", "a", "c"]), None, ("a", "b")),
    ],
)
def test_arms_and_their_control(arms, control, expected) -> None:
    found = read(FRAME.assign(arm=arms), control=control)
    assert found.arms == expected
    assert [found.arms[i] for i in found.arm] == [
        expected[[str(e) for e in expected].index(str(int(a) if isinstance(a, float) else a))] for a in list(arms)
    ]


def test_units_of_any_kind_have_the_same_values() -> None:
    for names in ([7, 5, 900_000_000, 3, 2], [5.5, 1.25, 9, 3, 2], pd.to_datetime([1, 2, 3, 4, 5]), [-3, -1, 0, 2, 9]):
        found = read(pd.concat([FRAME.assign(user=names)] * 2), rows="sum")
        assert sorted(found.values["clicks"]) == [0, 2, 4, 6, 10]


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"arm": ["A"] * 5}, {}, "expected two arms or more in arm, found 'A' alone"),
        ({"user": ["a", "a", "b", "d", "e"]}, {}, "expected each user in one arm, found 1 in two or more, 'a'"),
        ({"user": ["c", "a", "b", "a", "e"]}, {}, "expected one row a user, found 1 with more, 'a' in rows 2 and 4"),
        ({"clicks": ["3", "x", "2", "1", "5"]}, {}, "data, row 2: expected clicks as a number, found 'x'"),
        ({"clicks": [1, np.nan, 1, 1, 1]}, {}, "expected no missing values, found 1 of clicks"),
        ({"clicks": [1, np.inf, 1, 1, 1]}, {}, "finite"),
        ({"clicks": [1, -2, 1, 1, 1]}, {}, "data, row 2: expected no negative count in clicks, found -2"),
        ({"clicks": [1.0, -2.0, 1, 1, 1]}, {}, "no negative count"),
        ({"clicks": [1.5, -2.0, 1, 1, 1]}, {"rows": "max"}, "take the maximum of"),
        ({}, {"control": "C"}, "expected control 'C' among the arms in arm, found A, B"),
        ({}, {"values": ["click"]}, "did you mean 'clicks'"),
        ({}, {"arm": "user"}, "expected two columns"),
        ({"day": [1.5, 1, 2, 3, 4]}, {"time": "day"}, "found fractions"),
        ({"day": ["Monday"] * 5}, {"time": "day"}, "row 1: expected day as a day or a date"),
        ({"day": [1, 2, 3, 4, 1_700_000_000]}, {"time": "day"}, "at most 1000 days"),
        ({"day": ["1990-01-01", *["2026-01-01"] * 4]}, {"time": "day"}, "at most 1000 days"),
    ],
)
def test_refusals(change, options, says) -> None:
    with pytest.raises(DataError) as error:
        read(FRAME.assign(**change), **options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_known_of_a_unit_is_the_same_in_all_its_rows() -> None:
    with pytest.raises(DataError, match="expected day to be the same in all rows of a unit, found two for '10'"):
        read(LOG, rows="sum", groups=["day"])
    with pytest.raises(DataError, match="the same in all rows"):
        read(LOG, rows="sum", fixed=["day"])


def test_too_many_arms_are_a_measurement() -> None:
    frame = pd.DataFrame({"user": range(500), "arm": np.linspace(0, 1, 500), "clicks": 1})
    with pytest.raises(DataError, match="is it a measurement"):
        read(frame)


def test_negative_amounts_and_signed_counts_are_allowed() -> None:
    assert read(FRAME.assign(clicks=[1.5, -2.5, 1, 1, 1])).values["clicks"].min() == -2.5
    assert read(FRAME.assign(clicks=[1, -2, 1, 1, 1]), signed=True).values["clicks"].min() == -2


@pytest.mark.parametrize("kind", ["int8", "int16", "Int64", "float32"])
def test_days_of_narrow_numbers_do_not_wrap(kind: str) -> None:
    log = read(LOG.assign(day=pd.Series([-100, -100, 0, 1, 1, 1, 100]).astype(kind)), time="day").log
    assert log is not None
    assert log.day.tolist() == [0, 0, 100, 101, 101, 101, 200]
    assert log.labels == {0: "-100", 100: "0", 101: "1", 200: "100"}


EVENING = ["2026-03-28T23:30:00+01:00", "2026-03-29T00:30:00+01:00", "2026-03-29T23:30:00+02:00"]


@pytest.mark.parametrize(
    "days",
    [
        ["2026-03-28T00:30+09:00", "2026-03-29T00:30+09:00", "2026-03-29T23:30+09:00"],
        pd.to_datetime(EVENING, utc=True).tz_convert("Europe/Berlin"),
        EVENING,  # two offsets: the clocks changed
        ["2026-03-28 23:30 Z", "2026-03-29T00:30-0500", "2026-03-29"],
        [20260328, 20260329, 20260329],
    ],
)
def test_a_day_ends_at_the_midnight_of_its_own_zone(days) -> None:
    days = list(days)
    log = read(LOG.assign(day=[days[i] for i in (0, 0, 1, 2, 2, 2, 2)]), time="day").log
    assert log is not None
    assert log.day.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert log.labels == {0: "2026-03-28", 1: "2026-03-29"}


def test_whole_numbers_that_are_dates_have_no_gap_between_months() -> None:
    log = read(LOG.assign(day=[20260131, 20260131, 20260201, 20260201, 20260201, 20260202, 20260202]), time="day").log
    assert log is not None
    assert log.labels == {0: "2026-01-31", 1: "2026-02-01", 2: "2026-02-02"}
    with pytest.raises(DataError, match="at most 1000 days"):
        read(LOG.assign(day=[20260131, 20269999, 20260201, 20260201, 20260201, 20260202, 20260202]), time="day")


def test_units_beyond_a_signed_number() -> None:
    high = np.uint64(2**64 - 10) + np.arange(5, dtype=np.uint64)
    np.testing.assert_array_equal(read(FRAME.assign(user=high)).values["clicks"], FRAME["clicks"])


def test_numbers_and_names_in_one_column_and_lists_are_refused() -> None:
    with pytest.raises(DataError, match="names or numbers in arm, found values of kinds int and str"):
        read(FRAME.assign(arm=pd.Series([1, "A", 1, "A", "A"], dtype=object)))
    with pytest.raises(DataError, match="names or numbers in user, found lists"):
        read(FRAME.assign(user=[[1]] * 5))


def test_of_two_usual_names_the_first_by_name_is_the_control() -> None:
    assert read(FRAME.assign(arm=["control", "A", "control", "A", "A"])).arms == ("A", "control")
    assert read(FRAME.assign(arm=["control", "Alt", "control", "Alt", "Alt"])).arms == ("control", "Alt")
