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
    found = policies.without_replacement(np.broadcast_to(chance, (6, 3, 3)), lists)
    np.testing.assert_allclose(found.prod(axis=1).sum(), 1)
    first = lists.tolist().index([1, 0, 2])
    np.testing.assert_allclose(found[first], [0.3, 0.5 / 0.7, 1])
