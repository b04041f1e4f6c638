"""What recommended lists are like, and metrics by groups, worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.evaluation.beyond_accuracy import average_popularity, by_group, coverage, gini, groups, novelty

COUNTS = np.array([2, 1, 1, 0])  # of the lists (0, 1) and (0, 2)
POPULARITY = np.array([8, 4, 0, 2])


def test_coverage_is_the_share_of_the_catalogue_in_any_list() -> None:
    assert coverage(COUNTS) == 0.75
    assert coverage(np.array([5, 0, 0, 0])) == 0.25


def test_the_gini_index_is_the_mean_difference_of_two_items_counts_over_twice_their_mean() -> None:
    expected = sum(abs(a - b) for a in COUNTS for b in COUNTS) / (2 * 4 * sum(COUNTS))
    assert gini(COUNTS) == pytest.approx(expected)


def test_the_gini_index_is_nought_where_all_are_alike_and_near_one_for_a_single_item() -> None:
    assert gini(np.ones(4, np.int64)) == 0
    assert gini(np.eye(1, 1000, dtype=np.int64)[0] * 100) == pytest.approx(0.999)


def test_novelty_is_self_information_in_bits_and_an_unknown_item_counts_as_one_users() -> None:
    assert novelty(COUNTS, POPULARITY, 16) == pytest.approx((1 + 2 + 1 + 4) / 4)


def test_average_popularity_is_the_mean_count_of_what_is_recommended() -> None:
    assert average_popularity(COUNTS, POPULARITY) == 5


def test_empty_lists_have_no_mean() -> None:
    nothing = np.zeros(4, np.int64)
    assert coverage(nothing) == 0
    assert np.isnan([gini(nothing), novelty(nothing, POPULARITY, 16), average_popularity(nothing, POPULARITY)]).all()


def test_groups_are_about_equal_in_number() -> None:
    assert groups(np.arange(9), 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert groups(np.array([1, 1, 1, 1, 2, 5, 9, 9, 9]), 3)[[0, 5, 8]].tolist() == [0, 1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 5))
def test_equal_sizes_are_in_one_group_and_larger_ones_never_in_a_lower(sizes: list[int], count: int) -> None:
    found = groups(np.array(sizes), count)
    assert set(found.tolist()) <= set(range(count))
    for a, x in zip(sizes, found):
        for b, y in zip(sizes, found):
            assert x == y if a == b else (x <= y if a < b else x >= y)


def test_the_means_of_groups_add_up_to_the_whole() -> None:
    group = np.array([2, 0, 0, 2, 1, 0])
    found = by_group(torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0, 4.0]), group)
    assert found == {0: (3, 3.0), 1: (1, 7.0), 2: (2, 3.0)}
