"""The assertions that keep the future out of train, and the parts apart."""

import dataclasses

import numpy as np
import pytest
from data_helpers import interactions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.data import Pairs, Split
from ncf.data.splitting import leave_one_out
from ncf.errors import DataError


def pairs(part: Pairs) -> list[tuple[int, int]]:
    return list(zip(part.users.tolist(), part.items.tolist()))


@pytest.fixture
def split() -> Split:
    return leave_one_out(interactions_of([(0, item, 10 * item) for item in range(5)]), ties="file", back=0)


def part(*rows: tuple[int, int, int]) -> Pairs:
    users, items, times = np.array(rows, np.int64).T
    return Pairs(users, items, times)


def test_a_future_interaction_in_train_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"1002 of user 100 is in train but later than the user's validation positive"):
        dataclasses.replace(split, train=part((0, 0, 0), (0, 2, 31)))


def test_what_is_later_within_a_second_is_named_too(split: Split) -> None:
    def at(nanoseconds: int) -> Pairs:
        return dataclasses.replace(part((0, 2, 30)), subseconds=np.array([nanoseconds], np.int32))

    after = r"1002 of user 100 is in train but later than the user's validation positive"  # which is at 30 s
    for valid in (split.valid, dataclasses.replace(split.valid, subseconds=np.array([4], np.int32))):
        latest = 0 if valid.subseconds is None else 4
        assert dataclasses.replace(split, train=at(latest), valid=valid).in_time
        with pytest.raises(DataError, match=after):
            dataclasses.replace(split, train=at(latest + 1), valid=valid)
    first, second = (
        at(5),
        dataclasses.replace(split.test, timestamps=np.array([30]), subseconds=np.array([4], np.int32)),
    )
    another = dataclasses.replace(second, users=np.array([1]))
    whole = {"num_users": 2, "user_ids": np.array([100, 101]), "valid": split.valid, "train": first, "test": another}
    assert dataclasses.replace(split, **(whole | {"valid": first_rows(split.valid, 0)})).in_time
    with pytest.raises(DataError, match=r"in train but later than a test positive of another user"):
        dataclasses.replace(split, **(whole | {"valid": first_rows(split.valid, 0)}), in_time_overall=True)


def first_rows(part: Pairs, count: int) -> Pairs:
    assert part.timestamps is not None
    return Pairs(part.users[:count], part.items[:count], part.timestamps[:count])


def test_a_validation_item_after_the_test_item_is_named(split: Split) -> None:
    with pytest.raises(DataError, match=r"1003 of user 100 is in validation but later than the user's test positive"):
        dataclasses.replace(split, valid=part((0, 3, 41)))


def test_without_validation_train_is_held_against_test() -> None:
    two = leave_one_out(interactions_of([(0, 0, 1), (0, 1, 2)]), ties="file", back=0)
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

    base = leave_one_out(
        interactions_of([(user, item, item) for user in (0, 1) for item in range(6)]), ties="file", back=0
    )
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


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (
            {"train": part((0, 0, 0), (1, 1, 11))},
            "1001 of user 101 is in train but later than a validation positive of",
        ),
        (
            {"valid": part((1, 2, 21), (1, 3, 12))},
            "1002 of user 101 is in validation but later than a test positive of",
        ),
        ({"train": part((1, 1, 21))}, "1001 of user 101 is in train but later than a validation positive of another"),
    ],
)
def test_the_future_of_other_users_is_named_where_the_split_is_in_time_overall(
    several: Split, parts: dict[str, Pairs], complaint: str
) -> None:
    """User 101's own later parts are later still, so that only user 100's tell."""
    late = {"valid": part((0, 2, 10), (1, 3, 30)), "test": part((0, 4, 20), (1, 5, 40)), **parts}
    for name in ("valid", "test"):
        late[name] = parts.get(name, late[name])
    dataclasses.replace(several, **late)
    with pytest.raises(DataError, match=rf"^split of toy: item {complaint}"):
        dataclasses.replace(several, **late, in_time_overall=True)


def test_parts_without_times_or_positives_hold_nothing_against_the_others(several: Split) -> None:
    empty = Pairs(*(np.zeros(0, np.int64) for _ in range(3)))
    for parts in ({"valid": empty}, {"test": empty}, {"train": empty}):
        dataclasses.replace(several, in_time_overall=True, **parts)
