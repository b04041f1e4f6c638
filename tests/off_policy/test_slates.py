"""Lists: brute force over every list and every reward, and the estimators at one position."""

import itertools

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.off_policy import estimators, slates
from ncf.off_policy.rounds import rounds
from ncf.off_policy.slates import Slates

LOGGING, POLICY = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])


def ordered(chance: np.ndarray, items: tuple[int, ...]) -> list[float]:
    """Chances of each item of a list given those above it, drawn without replacement."""
    left, found = 1.0, []
    for item in items:
        found.append(chance[item] / left)
        left -= chance[item]
    return found


def clicks(items: tuple[int, ...], cascade: bool) -> list[float]:
    """Chance of a click at each position; in a cascade users are content after a good item above."""
    own = [0.1 + 0.3 * item for item in items]
    return [p * (0.2 if cascade and k and items[k - 1] == 2 else 1) for k, p in enumerate(own)]


def worlds(cascade: bool) -> list[tuple[float, float, Slates, Slates, tuple[int, ...]]]:
    """Every list of two with every reward: its chance when logged, its value's part, and weights of both kinds."""
    found = []
    for items in itertools.permutations(range(3), 2):
        p, pi = ordered(LOGGING, items), ordered(POLICY, items)
        marginal = [
            [sum(np.prod(ordered(c, other)) for other in itertools.permutations(range(3), 2) if other[k] == items[k])
             for k in range(2)]
            for c in (POLICY, LOGGING)
        ]  # fmt: skip
        for reward in itertools.product((0.0, 1.0), repeat=2):
            chance = np.prod([c if r else 1 - c for c, r in zip(clicks(items, cascade), reward)])
            conditional = Slates(np.array([reward] * 2), np.array([np.divide(pi, p)] * 2))
            alone = Slates(np.array([reward] * 2), np.array([np.divide(*marginal)] * 2))
            found.append((np.prod(p) * chance, np.prod(pi) * chance * sum(reward), conditional, alone, items))
    return found


@pytest.mark.parametrize("cascade", [False, True])
def test_over_all_lists_each_estimator_is_right_where_its_assumption_holds(cascade: bool) -> None:
    stream = np.random.default_rng(0)
    table = stream.random((2, 3))  # any model of the reward from a position on
    mean = dict.fromkeys(("list", "independent", "interaction", "cascade"), 0.0)
    value = 0.0
    for chance, part, conditional, alone, items in worlds(cascade):
        value += part
        left = POLICY.copy()
        left[items[0]] = 0
        q_logged = np.array([[table[0, items[0]], table[1, items[1]]]] * 2)
        q_policy = np.array([[POLICY @ table[0], left @ table[1] / left.sum()]] * 2)
        mean["list"] += chance * slates.slate_ips(conditional).value
        mean["independent"] += chance * slates.independent_ips(alone).value
        mean["interaction"] += chance * slates.reward_interaction_ips(conditional).value
        mean["cascade"] += chance * slates.cascade_dr(conditional, q_logged, q_policy).value
    for name in ("list", "interaction", "cascade"):
        assert mean[name] == pytest.approx(value, rel=1e-12)
    right = mean["independent"] == pytest.approx(value, rel=1e-12)
    assert right is not cascade  # where users look down the list, it is seen to fail


def test_with_one_position_all_are_ips_and_cascade_dr_is_dr() -> None:
    stream = np.random.default_rng(1)
    action = stream.integers(0, 3, 50)
    reward, q = stream.random(50), stream.random(3)
    log = rounds(reward, action, LOGGING[action], POLICY, q)
    one = Slates(reward[:, None], log.weight[:, None])
    for function in (slates.slate_ips, slates.independent_ips, slates.reward_interaction_ips):
        found, wanted = function(one), estimators.ips(log)
        assert (found.value, found.standard_error) == pytest.approx((wanted.value, wanted.standard_error), rel=1e-12)
        assert found.effective_n == pytest.approx(wanted.effective_n)
    found = slates.cascade_dr(one, log.q_logged[:, None], log.q_policy[:, None])
    assert found.value == pytest.approx(estimators.dr(log).value, rel=1e-12)
    assert found.standard_error == pytest.approx(estimators.dr(log).standard_error, rel=1e-9)


def test_tables_of_the_reward_from_a_position_on_by_hand() -> None:
    log = Slates(np.array([[1.0, 1], [0, 1], [0, 0]]), np.ones((3, 2)))
    item, policy = np.array([[0, 1], [0, 1], [1, 0]]), np.full((3, 2, 2), 0.5)
    there = np.ones((3, 2), bool)
    q_logged, q_policy = slates.cascade_tables(log, item, policy, there, np.ones(3, bool))
    last = np.array([(0 + 2 / 3) / 2, (2 + 2 / 3) / 3])  # items 0 and 1 at the second position
    np.testing.assert_allclose(q_logged[:, 1], last[item[:, 1]])
    np.testing.assert_allclose(q_policy[:, 1], last.mean())
    targets = np.array([1, 0, 0]) + last.mean()
    first = np.array([(targets[:2].sum() + targets.mean()) / 3, (targets[2] + targets.mean()) / 2])
    np.testing.assert_allclose(q_logged[:, 0], first[item[:, 0]])


def test_a_position_that_a_list_lacks_says_nothing() -> None:
    log = Slates(np.array([[1.0, 0], [0, 0]]), np.array([[2.0, 1], [0.5, 1]]))
    there = np.array([[True, False], [True, False]])
    q_logged, q_policy = slates.cascade_tables(
        log, np.zeros((2, 2), int), np.full((2, 2, 2), 0.5), there, np.ones(2, bool)
    )
    assert q_logged[:, 1].tolist() == q_policy[:, 1].tolist() == [0, 0]
    assert slates.reward_interaction_ips(log).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reward", "weight", "message"),
    [
        (np.ones(3), np.ones(3), "expected rewards and weights"),
        (np.ones((1, 2)), np.ones((1, 2)), "at least 2 lists"),
        (np.ones((2, 2)), np.array([[1.0, 1], [1, -1]]), "list 2: expected finite rewards and weights"),
        (np.array([[1.0, np.nan], [1, 1]]), np.ones((2, 2)), "list 1"),
    ],
)
def test_lists_that_are_none(reward: np.ndarray, weight: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Slates(reward, weight)


def test_predictions_of_another_shape() -> None:
    log = Slates(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(DataError, match="q_policy"):
        slates.cascade_dr(log, np.ones((2, 2)), np.ones(2))


def test_the_effective_size_is_that_of_the_position_where_it_is_least() -> None:
    weight = np.array([[1.0, 1], [1, 1], [1, 4]])
    found = slates.independent_ips(Slates(np.ones((3, 2)), weight))
    assert found.effective_n == pytest.approx(36 / 18)
    assert found.details["largest_weight"] == 4
