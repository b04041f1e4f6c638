"""Leave-one-out by hand, against brute force, and the assertions that keep the future out of train."""

import dataclasses
from itertools import groupby

import numpy as np
import pytest
from data_helpers import interactions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.core.config import component
from ncf.data import SPLITS, Interactions, Pairs, Split
from ncf.data.split import Ties, leave_one_out, tied_last_positives
from ncf.errors import ConfigError, DataError

TOY = [(0, 0, 30), (1, 0, 5), (0, 1, 10), (0, 2, 20), (1, 1, 9), (2, 3, 7), (0, 3, 30)]


def pairs(part: Pairs) -> list[tuple[int, int]]:
    return list(zip(part.users.tolist(), part.items.tolist()))


def test_last_is_test_the_one_before_is_validation() -> None:
    split = leave_one_out(interactions_of(TOY), ties="file")
    assert pairs(split.train) == [(0, 1), (0, 2), (1, 0), (2, 3)]
    assert pairs(split.valid) == [(0, 0)]  # tied with item 3, but earlier in the file
    assert pairs(split.test) == [(0, 3), (1, 1)]  # user 1 has two positives, user 2 only one


@pytest.mark.parametrize(("ties", "last"), [("file", 1), ("reverse_file", 2), ("item_id", 2)])
def test_ties_follow_the_rule(ties: Ties, last: int) -> None:
    rows = [(0, 0, 1), (0, 2, 5), (0, 1, 5)]
    assert pairs(leave_one_out(interactions_of(rows), ties=ties).test) == [(0, last)]


def test_train_is_sorted_by_user_time_and_file() -> None:
    rows = [(1, 0, 3), (0, 4, 2), (0, 3, 1), (0, 2, 2), (1, 1, 2), (1, 2, 4), (1, 3, 4), (0, 0, 8), (0, 1, 9)]
    assert pairs(leave_one_out(interactions_of(rows), ties="file").train) == [(0, 3), (0, 4), (0, 2), (1, 1), (1, 0)]


def brute_force(rows: list[tuple[int, int, int]], ties: Ties) -> tuple[list, list, list]:
    numbered = [(user, time, {"file": n, "reverse_file": -n, "item_id": item}[ties], item)
                for n, (user, item, time) in enumerate(rows)]  # fmt: skip
    train, valid, test = [], [], []
    for user, group in groupby(sorted(numbered), key=lambda row: row[0]):
        items = [row[3] for row in group]
        if len(items) >= 2:
            test.append((user, items.pop()))
        if len(items) >= 2:
            valid.append((user, items.pop()))
        train += [(user, item) for item in items]
    return train, valid, test


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 6)), min_size=1, max_size=40,
                  unique_by=lambda row: row[:2]),
    ties=st.sampled_from(["file", "reverse_file", "item_id"]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_agrees_with_brute_force(rows: list[tuple[int, int, int]], ties: Ties) -> None:
    split = leave_one_out(interactions_of(rows), ties=ties)
    assert (pairs(split.train), pairs(split.valid), pairs(split.test)) == brute_force(rows, ties)
    assert len(split.train) + len(split.valid) + len(split.test) == len(rows)


def swapped(split: Split, **parts: Pairs) -> Split:
    return dataclasses.replace(split, **parts)


@pytest.fixture
def split() -> Split:
    return leave_one_out(interactions_of([(0, item, 10 * item) for item in range(5)]), ties="file")


def part(*rows: tuple[int, int, int]) -> Pairs:
    users, items, times = np.array(rows, np.int64).T
    return Pairs(users, items, times)


def test_a_future_interaction_in_train_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"item 1002 of user 100 is in train but later than the user's validation item"):
        swapped(split, train=part((0, 0, 0), (0, 2, 31)))


def test_a_validation_item_after_the_test_item_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"item 1003 of user 100 is in validation but later than the user's test item"):
        swapped(split, valid=part((0, 3, 41)))


def test_without_validation_train_is_held_against_test() -> None:
    two = leave_one_out(interactions_of([(0, 0, 1), (0, 1, 2)]), ties="file")
    with pytest.raises(DataError, match=r"item 1000 of user 100 is in train but later than the user's test item"):
        swapped(two, train=part((0, 0, 3)))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"train": part((0, 3, 0))}, "item 1003 of user 100 is in train and in validation"),
        ({"train": part((0, 4, 0))}, "item 1004 of user 100 is in train and in test"),
        ({"valid": part((0, 4, 0))}, "item 1004 of user 100 is in validation and in test"),
        ({"valid": part((0, 3, 30), (0, 2, 20))}, "is one of several validation items"),
        ({"test": part((0, 4, 40), (0, 2, 40))}, "is one of several test items"),
    ],
)
def test_overlapping_parts_are_named(split: Split, parts: dict[str, Pairs], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        swapped(split, **parts)


def test_timestamps_are_needed() -> None:
    timeless = dataclasses.replace(interactions_of(TOY), timestamps=None)
    with pytest.raises(DataError, match="expected timestamps, found none"):
        leave_one_out(timeless, ties="file")
    assert tied_last_positives(timeless) == 0


def test_tied_last_positives_counts_users() -> None:
    assert tied_last_positives(interactions_of(TOY)) == 1
    assert tied_last_positives(interactions_of([(0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 2, 2)])) == 1


def test_the_digest_covers_data_and_rule() -> None:
    toy = interactions_of(TOY)
    other: Interactions = dataclasses.replace(toy, digest="1" * 64)
    digests = {leave_one_out(data, ties=rule).digest for data in (toy, other) for rule in ("file", "item_id")}
    assert len(digests) == 4
    assert leave_one_out(toy, ties="file").digest == leave_one_out(toy, ties="file").digest


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"split\.ties"):
        component("split", SPLITS, {"name": "leave_one_out", "ties": "random"})
    with pytest.raises(ConfigError, match=r"split\.name: expected one of leave_one_out, got 'ratio'"):
        component("split", SPLITS, {"name": "ratio"})
