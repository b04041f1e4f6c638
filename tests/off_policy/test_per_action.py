"""Numbers for each action: every shape reads the same, and means are those of the full table."""

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.off_policy.per_action import PerAction, expected, per_action


def test_every_shape_reads_the_number_of_the_action_at_its_position() -> None:
    n, position = 4, np.array([0, 1, 1, 0])
    table = np.arange(6.0).reshape(3, 2)
    action = np.array([2, 0, 1, 1])
    wanted = table[action, position]
    full = np.broadcast_to(table, (n, 3, 2))
    for values in (table, table[None], full):
        assert per_action(values, n, position).at(action).tolist() == wanted.tolist()
    by_round = full[np.arange(n), :, position]
    assert per_action(by_round, n, position).at(action).tolist() == wanted.tolist()
    assert per_action(table[:, 0], n).at(action).tolist() == table[action, 0].tolist()
    assert per_action(table, n, position).rounds().tolist() == by_round.tolist()


def test_as_many_actions_as_rounds_are_told_apart_by_a_leading_one() -> None:
    table = np.arange(6.0).reshape(3, 2)  # 3 actions, 2 positions, 3 rounds
    position, action = np.array([0, 1, 0]), np.array([2, 2, 0])
    assert per_action(table[None], 3, position).at(action).tolist() == [4, 5, 0]
    assert per_action(table, 3).at(np.array([1, 0, 1])).tolist() == [1, 2, 5]  # as (N, A)


def test_means_over_a_policy_are_those_of_the_full_table() -> None:
    stream = np.random.default_rng(0)
    policy = PerAction(stream.random((5, 7)), stream.integers(0, 5, 50))
    q = PerAction(stream.random((3, 7)), stream.integers(0, 3, 50))
    np.testing.assert_allclose(expected(policy, q), (policy.rounds() * q.rounds()).sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3, 2), (1, 3, 1), ()])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected"):
        per_action(np.zeros(shape), 4, np.array([0, 1, 1, 0]))


def test_numbers_for_other_rounds_are_refused() -> None:
    with pytest.raises(DataError, match="for 4 rounds, found 3"):
        per_action(PerAction(np.ones((1, 2)), np.zeros(3, int)), 4)
