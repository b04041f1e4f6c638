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


@pytest.fixture
def split() -> Split:
    return leave_one_out(interactions_of([(0, item, 10 * item) for item in range(5)]), ties="file")


def part(*rows: tuple[int, int, int]) -> Pairs:
    users, items, times = np.array(rows, np.int64).T
    return Pairs(users, items, times)


def test_a_future_interaction_in_train_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"1002 of user 100 is in train but later than the user's validation positive"):
        dataclasses.replace(split, train=part((0, 0, 0), (0, 2, 31)))


def test_a_validation_item_after_the_test_item_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"1003 of user 100 is in validation but later than the user's test positive"):
        dataclasses.replace(split, valid=part((0, 3, 41)))


def test_without_validation_train_is_held_against_test() -> None:
    two = leave_one_out(interactions_of([(0, 0, 1), (0, 1, 2)]), ties="file")
    with pytest.raises(DataError, match=r"item 1000 of user 100 is in train but later than the user's test positive"):
        dataclasses.replace(two, train=part((0, 0, 3)))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"train": part((0, 3, 0))}, "item 1003 of user 100 is in train and in validation"),
        ({"train": part((0, 4, 0))}, "item 1004 of user 100 is in train and in test"),
        ({"valid": part((0, 4, 0))}, "item 1004 of user 100 is in validation and in test"),
        ({"valid": part((0, 3, 30), (0, 3, 30))}, "item 1003 of user 100 is in validation twice"),
        ({"test": part((0, 4, 40), (0, 3, 41), (0, 4, 42))}, "item 1004 of user 100 is in test twice"),
    ],
)
def test_a_pair_in_two_parts_or_twice_in_a_held_out_one_is_named(
    split: Split, parts: dict[str, Pairs], complaint: str
) -> None:
    for in_time in (True, False):
        with pytest.raises(DataError, match=rf"^split of toy: {complaint}$"):
            dataclasses.replace(split, in_time=in_time, **parts)


@pytest.fixture
def several() -> Split:
    """Two users with items 0 and 1 in train, 2 and 3 in validation and 4 and 5 in test, at 0, 1, 10, 11, 20 and 21."""

    def own(*items: int) -> Pairs:
        return part(*((user, item, 10 * (item // 2) + item % 2) for user in (0, 1) for item in items))

    base = leave_one_out(interactions_of([(user, item, item) for user in (0, 1) for item in range(6)]), ties="file")
    return dataclasses.replace(base, train=own(0, 1), valid=own(2, 3), test=own(4, 5))


def test_a_user_may_have_several_held_out_positives(several: Split) -> None:
    assert pairs(several.valid) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert pairs(several.test) == [(0, 4), (0, 5), (1, 4), (1, 5)]


@pytest.mark.parametrize(
    ("name", "rows", "complaint"),
    [
        (
            "train",
            [(1, 0, 9), (1, 1, 11)],
            "1001 of user 101 is in train but later than the user's validation positive",
        ),
        (
            "valid",
            [(1, 2, 12), (1, 3, 21)],
            "1003 of user 101 is in validation but later than the user's test positive",
        ),
        ("test", [(0, 4, 20), (1, 5, 10)], "1003 of user 101 is in validation but later than the user's test positive"),
    ],
)
def test_the_past_ends_at_the_first_of_several_held_out_positives(
    several: Split, name: str, rows: list[tuple[int, int, int]], complaint: str
) -> None:
    late = {name: part(*rows)}
    with pytest.raises(DataError, match=rf"^split of toy: item {complaint}$"):
        dataclasses.replace(several, **late)
    assert pairs(getattr(dataclasses.replace(several, **late, in_time=False), name)) == [row[:2] for row in rows]


def test_one_second_may_be_shared_by_what_predicts_and_what_is_predicted(several: Split) -> None:
    same_time = part((0, 0, 10), (0, 1, 10), (1, 0, 10))
    assert pairs(dataclasses.replace(several, train=same_time).train) == pairs(same_time)


def test_a_part_without_times_is_held_only_against_the_others_pairs(several: Split) -> None:
    timeless = dataclasses.replace(several, train=Pairs(several.train.users, several.train.items))
    assert pairs(timeless.train) == pairs(several.train)
    with pytest.raises(DataError, match="item 1002 of user 100 is in train and in validation"):
        dataclasses.replace(several, train=Pairs(*(np.array(column) for column in ([0], [2]))))


def test_parts_may_be_empty_and_unsorted(several: Split) -> None:
    empty = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    backwards = Pairs(several.test.users[::-1], several.test.items[::-1])
    changed = dataclasses.replace(several, valid=empty, test=backwards)
    assert pairs(changed.test) == pairs(several.test)[::-1]


ROW = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["train", "valid", "test"]))


@given(rows=st.lists(ROW, max_size=8), in_time=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_split_is_refused_exactly_where_brute_force_finds_a_leak(
    rows: list[tuple[int, int, int, str]], in_time: bool
) -> None:
    parts = {name: [row[:3] for row in rows if row[3] == name] for name in ("train", "valid", "test")}
    held_out = [row[:2] for name in ("valid", "test") for row in parts[name]]
    leak = len(held_out) != len(set(held_out)) or bool({row[:2] for row in parts["train"]} & set(held_out))
    for before, after in (("train", "valid"), ("train", "test"), ("valid", "test")):
        for user, _, time in parts[before]:
            leak |= in_time and any(user == other and time > then for other, _, then in parts[after])
    columns = {name: np.array(own, np.int64).reshape(-1, 3).T for name, own in parts.items()}
    try:
        Split(
            **{name: Pairs(*own) for name, own in columns.items()}, num_users=3, num_items=4, user_ids=np.arange(3),
            item_ids=np.arange(4), titles=None, genres=None, name="toy", digest="0", in_time=in_time,
        )  # fmt: skip
        refused = False
    except DataError:
        refused = True
    assert refused == leak


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
