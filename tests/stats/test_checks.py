"""Checks of what statistics are given: bad input is a named error, never a warning and a NaN."""

import numpy as np
import pytest

from ncf.errors import NcfError
from ncf.stats.checks import StatisticsError, differences, pairs, rounded_difference, sample, spread


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
