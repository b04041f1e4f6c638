"""Checks of what statistics are given: bad input is a named error, never a warning and a NaN."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ncf.errors import NcfError
from ncf.stats.checks import (
    StatisticsError,
    aligned,
    differences,
    fraction,
    function,
    instance,
    number,
    one_of,
    pairs,
    positive,
    rounded_difference,
    sample,
    spread,
    whole,
)  # fmt: skip


def test_the_error_is_one_that_the_command_line_shows_in_one_line() -> None:
    assert issubclass(StatisticsError, NcfError)


def test_a_sound_sample_comes_back_as_float64() -> None:
    checked = sample(np.array([1, 2, 3], dtype=np.int32))
    assert checked.dtype == np.float64
    assert checked.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "least", "message"),
    [
        ([[1.0], [2.0]], 2, r"runs: expected a vector, got shape \(2, 1\)"),
        ([1.0], 2, "runs: expected at least 2 values, got 1"),
        ([], 1, "runs: expected at least 1 values, got 0"),
        ([1.0, float("nan"), 2.0], 2, "runs: expected finite values, got nan at position 1"),
        ([1.0, 2.0, float("-inf")], 2, "runs: expected finite values, got -inf at position 2"),
    ],
)
def test_a_bad_sample_is_named(values: list[float], least: int, message: str) -> None:
    with pytest.raises(StatisticsError, match=f"^{message}$"):
        sample(np.array(values), least, "runs")


def test_pairs_go_by_position_and_are_as_many() -> None:
    treatment, baseline = pairs(np.array([1.0, 2.0]), np.array([0, 1]))
    assert (treatment - baseline).tolist() == [1.0, 1.0]
    with pytest.raises(StatisticsError, match=r"expected treatment and baseline of equal shape, got \(3,\) and \(2,\)"):
        pairs(np.ones(3), np.ones(2))
    with pytest.raises(StatisticsError, match="baseline: expected finite values, got nan at position 0"):
        pairs(np.ones(2), np.array([np.nan, 1.0]))


def test_differences_that_are_equal_in_exact_arithmetic_are_equal() -> None:
    """Multiples of 1/942 and their differences, whose last bits are not the same."""
    hits = np.arange(1, 40) / 942
    raw = hits[1:] - hits[:-1]
    assert len(set(raw.tolist())) > 1
    assert len(set(rounded_difference(hits[1:], hits[:-1]).tolist())) == 1


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_rounding_goes_by_the_size_of_the_values(scale: float) -> None:
    treatment, baseline = scale * np.array([1.0, 2.0]), scale * np.array([0.9, 1.8])
    np.testing.assert_allclose(rounded_difference(treatment, baseline), treatment - baseline, rtol=1e-10)
    assert rounded_difference(np.zeros(2), np.zeros(2)).tolist() == [0.0, 0.0]


def test_no_difference_at_all_is_nothing_to_test() -> None:
    with pytest.raises(StatisticsError, match="all 3 differences are zero; there is nothing to test"):
        differences(np.array([0.1 + 0.2, 1.0, 2.0]), np.array([0.3, 1.0, 2.0]))
    assert differences(np.array([1.0, 2.0]), np.array([1.0, 1.5])).tolist() == [0.0, 0.5]


def test_values_that_are_all_equal_have_no_spread() -> None:
    with pytest.raises(StatisticsError, match=r"all 3 differences equal 0\.3; they have no spread"):
        spread(np.array([0.3, 0.1 + 0.2, 0.3]))
    values = np.array([0.3, 0.3001])
    assert spread(values) is values


def test_two_series_are_paired_by_their_labels() -> None:
    treatment = pd.Series([3.0, 1.0, 2.0], index=[44, 42, 43])
    baseline = pd.Series([10.0, 20.0, 30.0], index=[42, 43, 44])
    t, b = pairs(treatment, baseline)
    assert (t.tolist(), b.tolist()) == ([3.0, 1.0, 2.0], [30.0, 10.0, 20.0])
    assert pairs(treatment, baseline.to_numpy())[1].tolist() == [10.0, 20.0, 30.0]  # one has no labels: by position
    twice = pd.Series([1.0, 2.0], index=[42, 42])
    assert pairs(twice, twice + 1)[1].tolist() == [2.0, 3.0]  # the same labels in the same order


@pytest.mark.parametrize("labels", [[42, 43, 45], [42, 43, 43], ["42", "43", "44"], [42, 43]])
def test_series_of_other_labels_are_refused(labels: list[object]) -> None:
    with pytest.raises(StatisticsError, match="expected treatment and baseline with the same labels, each once"):
        pairs(pd.Series([1.0, 2.0, 3.0], index=[42, 43, 44]), pd.Series(np.ones(len(labels)), index=labels))


def test_tables_of_users_are_aligned_along_both_axes() -> None:
    t = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=[42, 43], columns=["u", "v"])
    assert aligned(t, t.iloc[::-1, ::-1], "users")[1].equals(t)
    with pytest.raises(StatisticsError, match="users: expected treatment and baseline with the same labels"):
        aligned(t, t.rename(columns={"u": "w"}), "users")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "2"], "runs: expected numbers, got"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), "runs: expected numbers, got"),
        ([1 + 2j, 3], "runs: expected numbers, got"),
        ([[1.0], [1.0, 2.0]], "runs: expected numbers, got"),
        ([1.0, None], "runs: expected numbers, got"),
        (np.ma.masked_equal([1.0, 2.0, 9.0], 9), "runs: expected no masked values, got 1"),
        ([1e-320, 2e-320], r"runs: expected sizes in \[1e-100, 1e\+100\], got 1.99998e-320 at most"),
        ([1e200, 1.0], r"runs: expected sizes in \[1e-100, 1e\+100\], got 1e\+200 at most"),
    ],
)
def test_what_is_not_numbers_of_ordinary_size_is_named(values: object, message: str) -> None:
    with pytest.raises(StatisticsError, match=f"^{message}"):
        sample(values, 2, "runs")


def test_numbers_come_in_many_forms() -> None:
    forms = [
        [1, 2],
        (1.0, 2.0),
        np.array([True, False]),
        pd.Series([1, 2], dtype="Int64"),
        np.ma.masked_array([1.0, 2]),
    ]
    assert [len(sample(form)) for form in forms] == [2] * len(forms)
    assert whole(np.int64(3), "n", 1) == 3
    assert number(np.float32(0.5), "x") == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: number("1", "x"), r"x: expected a number in \[-1e\+100, 1e\+100\], got '1'"),
        (lambda: number(True, "x"), "x: expected a number"),
        (lambda: number(10**400, "x"), "x: expected a number"),
        (lambda: positive(0, "sd"), r"sd: expected a number in \[1e-100, 1e\+100\], got 0"),
        (lambda: fraction(1, "level"), r"level: expected a number in \(0, 1\), got 1"),
        (lambda: fraction(5e-324, "level"), "level: expected at least 1e-100, got 4.94066e-324"),
        (lambda: whole(2.0, "seeds", 1), r"seeds: expected a whole number in \[1, 10,000,000\], got 2.0"),
        (lambda: whole(True, "seeds", 1), "seeds: expected a whole number"),
        (lambda: one_of("b", "rule", ["all", "any"]), "rule: expected one of all, any, got 'b'"),
        (lambda: instance(0, np.random.Generator, "rng"), "rng: expected a Generator, got 0"),
        (lambda: function("mean", "effect"), "effect: expected a function, got 'mean'"),
    ],
)
def test_a_bad_setting_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(StatisticsError, match=f"^{message}"):
        call()
