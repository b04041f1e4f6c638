"""Policies: they are distributions, have the limits they should, and the published one is published digit for digit."""

import itertools
import json

import numpy as np
import pytest

from ncf.errors import ConfigError, DataError
from ncf.off_policy import policies

from .conftest import REFERENCE

SCORES = np.array([[1.0, 2.0, 2.0], [0.0, -np.inf, 3.0]])


def test_softmax_by_hand_and_its_limits() -> None:
    np.testing.assert_allclose(policies.softmax(SCORES[1:], 1.0), [[1 / (1 + np.e**3), 0, np.e**3 / (1 + np.e**3)]])
    np.testing.assert_allclose(policies.softmax(SCORES, 1e-9), [[0, 0.5, 0.5], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(policies.softmax(SCORES[:1], 1e9), [[1 / 3] * 3], rtol=1e-8)
    np.testing.assert_allclose(policies.softmax(SCORES[:1] + 1e6, 0.5), policies.softmax(SCORES[:1], 0.5), rtol=1e-9)


def test_epsilon_greedy_by_hand_and_its_limits() -> None:
    np.testing.assert_allclose(policies.epsilon_greedy(SCORES, 0.3), [[0.1, 0.8, 0.1], [0.15, 0, 0.85]])
    assert policies.epsilon_greedy(SCORES, 0).tolist() == [[0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(policies.epsilon_greedy(SCORES, 1), [[1 / 3] * 3, [0.5, 0, 0.5]])


@pytest.mark.parametrize("temperature", [0.0, -0.1, np.nan, np.inf])
def test_a_temperature_that_is_none(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature: expected a number above 0"):
        policies.softmax(SCORES, temperature)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, np.nan])
def test_an_epsilon_that_is_none(epsilon: float) -> None:
    with pytest.raises(ConfigError, match="epsilon"):
        policies.epsilon_greedy(SCORES, epsilon)


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_scores_that_say_nothing(bad: list[float]) -> None:
    with pytest.raises(DataError, match="in row 2"):
        policies.softmax(np.array([[0.0, 1.0], bad]), 1.0)


def test_uniform_and_empirical() -> None:
    assert policies.uniform(2, 4).rounds().tolist() == [[0.25] * 4] * 2
    with pytest.raises(ConfigError, match="at least 1"):
        policies.uniform(2, 0)
    action, position = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2])
    found = policies.empirical(action, 3, position)
    np.testing.assert_allclose(found.values, [[2 / 3, 1 / 3, 0], [1 / 3] * 3, [0, 0, 1]])


@pytest.mark.parametrize("campaign", ["men", "all"])
def test_the_published_policy_of_the_open_bandit_dataset_has_the_sums_of_a_distribution(campaign: str) -> None:
    table = np.array(json.loads((REFERENCE / f"obd_bts_action_dist_{campaign}.json").read_text())["p"])
    np.testing.assert_allclose(table.sum(axis=0), 1, rtol=1e-12)


def test_thompson_sampling_agrees_with_integration() -> None:
    """Beta(1, 1) against Beta(2, 1): the second is larger with chance 2/3."""
    found = policies.bernoulli_thompson(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 2, draws=20_000)
    error = np.sqrt(2 / 9 / 20_000)
    assert abs(found[1, 0] - 2 / 3) < 3 * error
    np.testing.assert_allclose(found.sum(axis=0), 1)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    with pytest.raises(ConfigError, match="positions"):
        policies.bernoulli_thompson(np.ones(2), np.ones(2), 3)


def test_without_replacement_every_list_has_its_chance() -> None:
    chance = np.array([0.5, 0.3, 0.2])
    lists = np.array(list(itertools.permutations(range(3))))
    given = policies.without_replacement(np.broadcast_to(chance, (6, 3, 3)), lists)
    np.testing.assert_allclose(given.sum(axis=2), 1)
    found = np.take_along_axis(given, lists[:, :, None], 2)[:, :, 0]
    np.testing.assert_allclose(found.prod(axis=1).sum(), 1)
    first = lists.tolist().index([1, 0, 2])
    np.testing.assert_allclose(found[first], [0.3, 0.5 / 0.7, 1])


def test_a_position_that_a_list_lacks_leaves_its_item_to_those_below() -> None:
    chance, there = np.full((1, 2, 2), 0.5), np.array([[False, True]])
    assert policies.without_replacement(chance, np.zeros((1, 2), int), there).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


def test_drawn_lists_are_as_frequent_as_their_propensities_say() -> None:
    scores, runs = np.array([0.0, 0.5, -0.3, -np.inf]), 20_000
    stream = np.random.default_rng(0)
    items, propensity = policies.draw_lists(np.tile(scores, (runs, 1)), 3, 0.7, [stream] * runs)
    assert set(items.ravel()) == {0, 1, 2}
    for number in itertools.permutations(range(3)):
        drawn = (items == number).all(axis=1)
        chance = propensity[drawn][0].prod()
        np.testing.assert_allclose(propensity[drawn].prod(axis=1), chance, rtol=1e-12)
        assert abs(drawn.mean() - chance) < 3 * np.sqrt(chance * (1 - chance) / runs)
    table = np.broadcast_to(policies.softmax(scores[None], 0.7), (runs, 3, 4))
    given = np.take_along_axis(policies.without_replacement(table, items), items[:, :, None], 2)[:, :, 0]
    np.testing.assert_allclose(propensity, given, rtol=1e-12)


def test_a_cold_draw_is_the_ranking_and_a_list_ends_where_nothing_is_left() -> None:
    scores = np.array([[0.1, 0.3, -np.inf, 0.2]])
    items, propensity = policies.draw_lists(scores, 4, 1e-6, [np.random.default_rng(0)])
    assert items.tolist() == [[1, 3, 0, 2]]
    assert propensity.tolist() == [[1, 1, 1, 0]]
    with pytest.raises(ConfigError, match="temperature: expected a number above 0, got -1"):
        policies.draw_lists(scores, 1, -1, [np.random.default_rng(0)])
