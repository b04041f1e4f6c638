"""What is evaluated, and what each held-out positive is not ranked against."""

import numpy as np
import pytest
from tiny_splits import TinySplit, part, split, targets_of_test, targets_of_validation

from ncf.errors import DataError
from ncf.evaluation import Targets


def seen_of(targets: Targets) -> dict[int, set[int]]:
    """Row -> its seen items, read through the offsets that the chunks use."""
    starts, items = targets.seen_starts, targets.seen_items.tolist()
    return {row: set(items[starts[row] : starts[row + 1]]) for row in range(len(targets))}


SMALL = TinySplit(
    train=part([(2, 4), (0, 1), (2, 0), (0, 3), (1, 2)]),
    valid=part([(2, 1), (0, 0)]),
    test=part([(0, 2), (2, 3)]),
    num_users=3,
    num_items=5,
)


def test_validation_leaves_out_train_items() -> None:
    targets = targets_of_validation(SMALL)
    assert targets.users.tolist() == [2, 0]
    assert targets.items.tolist() == [1, 0]
    assert seen_of(targets) == {0: {4, 0}, 1: {1, 3}}
    assert targets.candidates.tolist() == [3, 3]


def test_test_leaves_out_train_and_validation_items() -> None:
    targets = targets_of_test(SMALL)
    assert targets.users.tolist() == [0, 2]
    assert seen_of(targets) == {0: {1, 3, 0}, 1: {4, 0, 1}}
    assert targets.candidates.tolist() == [2, 2]


def test_validation_does_not_depend_on_the_test_part() -> None:
    other = TinySplit(SMALL.train, SMALL.valid, part([(0, 4)]), 3, 5)
    a, b = targets_of_validation(SMALL), targets_of_validation(other)
    assert a.seen_items.tolist() == b.seen_items.tolist()
    assert not hasattr(a, "test")


def test_a_user_without_a_target_has_no_row() -> None:
    assert 1 not in targets_of_validation(SMALL).users.tolist()


def test_a_user_without_seen_items_is_ranked_among_all() -> None:
    targets = targets_of_validation(TinySplit(part([(0, 1)]), part([(1, 2), (0, 0)]), part([]), 2, 4))
    assert targets.candidates.tolist() == [4, 3]
    assert seen_of(targets) == {0: set(), 1: {1}}


def test_a_repeated_interaction_is_left_out_once() -> None:
    targets = targets_of_validation(TinySplit(part([(0, 1), (0, 1)]), part([(0, 2)]), part([]), 1, 4))
    assert targets.candidates.tolist() == [3]


def test_seen_items_match_the_split_at_random() -> None:
    tiny = split(num_users=30, num_items=12, seed=3)
    targets = targets_of_test(tiny)
    for row, seen in seen_of(targets).items():
        user = int(targets.users[row])
        expected = {int(i) for p in (tiny.train, tiny.valid) for i in p.items[p.users == user]}
        assert seen == expected
    assert np.array_equal(np.diff(targets.seen_starts), np.bincount(targets.seen_rows.numpy(), minlength=30))


def test_several_positives_of_a_user_are_rows_of_their_own_with_the_same_seen_items() -> None:
    several = TinySplit(part([(0, 0), (1, 5)]), part([(0, 1), (0, 2)]), part([(0, 4), (1, 0), (0, 3)]), 2, 6)
    valid, test = targets_of_validation(several), targets_of_test(several)
    assert list(zip(valid.users.tolist(), valid.items.tolist())) == [(0, 1), (0, 2)]
    assert seen_of(valid) == {0: {0}, 1: {0}}
    assert valid.candidates.tolist() == [5, 5]
    assert list(zip(test.users.tolist(), test.items.tolist())) == [(0, 4), (1, 0), (0, 3)]
    assert seen_of(test) == {0: {0, 1, 2}, 1: {5}, 2: {0, 1, 2}}
    assert test.candidates.tolist() == [3, 5, 3]


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(DataError, match="test: expected at least one positive"):
        targets_of_test(TinySplit(part([(0, 1)]), part([(0, 2)]), part([]), 1, 4))


def test_a_leaked_positive_is_refused() -> None:
    leaky = TinySplit(part([(0, 1)]), part([(0, 2)]), part([(0, 2)]), 1, 4)
    with pytest.raises(DataError, match="user u0 has already seen item i2"):
        targets_of_test(leaky)
