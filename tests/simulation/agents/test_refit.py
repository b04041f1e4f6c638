"""Any model of the package as an agent."""

import pytest
import torch
from toy_worlds import agent, defaults, regrets, world

from ncf.errors import ConfigError, DataError
from ncf.models import MODELS
from ncf.simulation.agents.refit import Refit

FEATURES = {"content", "content_knn", "cease"}  # which items of a simulation have not
MODELS_THERE = [name for name in MODELS if name not in {"neumf_pretrained", "hybrid", *FEATURES}]
SMALL = {"factors": 4, "gmf_factors": 4, "mlp_factors": 4, "hidden": [8], "sweeps": 2, "k": 5}


def settings(name: str) -> dict:
    """Of a model, small."""
    own = defaults("model", name)
    return {**own, **{key: value for key, value in SMALL.items() if key in own}}


@pytest.mark.parametrize("name", MODELS_THERE)
def test_every_model_serves(name: str) -> None:
    """It is fitted, scores everything, and goes on from its state to the same scores."""
    environment = world(users=30, items=20)
    learner = agent("refit", environment, model=settings(name), every=1, epochs=1, threshold=2.0)
    for period in range(2):
        users = environment.begin(period)
        found = learner.recommend(users, environment.stream())
        learner.learn(users, found.items, environment.step(users, found.items))
    scores = learner.score(torch.arange(30))
    assert scores.shape == (30, 20)
    other = agent("refit", world(users=30, items=20), model=settings(name), every=1, epochs=1, threshold=2.0)
    other.load(learner.state())
    assert torch.equal(other.score(torch.arange(30)), scores)


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_a_model_of_features_that_nobody_has_is_refused(name: str) -> None:
    environment = world(users=30, items=20)
    learner = agent("refit", environment, model=settings(name), every=1, epochs=1, threshold=2.0)
    users = environment.begin(0)
    found = learner.recommend(users, environment.stream())
    with pytest.raises(DataError, match="expected features of items"):
        learner.learn(users, found.items, environment.step(users, found.items))


def test_it_is_refitted_every_so_many_periods() -> None:
    environment = world()
    learner = agent("refit", environment, every=3)
    assert isinstance(learner, Refit)
    models = []
    for period in range(7):
        users = environment.begin(period)
        learner.learn(users, (users + period) % 80, environment.step(users, (users + period) % 80))
        models.append(learner.model)
    assert models[:2] == [None, None]
    assert models[2] is models[3] is models[4]
    assert models[5] is models[6] is not models[2]


def test_only_rewards_above_the_threshold_are_positives() -> None:
    learner = agent("refit", world(), model=settings("popularity"), every=1, threshold=3.0)
    learner.learn(torch.arange(4), torch.tensor([1, 1, 2, 2]), torch.tensor([4.0, 5.0, 1.0, 2.9]))
    scores = learner.score(torch.tensor([0]))[0]
    assert float(scores[1]) > float(scores[2])
    assert float(scores[2]) == float(scores[3])
    nothing = agent("refit", world(), model=settings("popularity"), every=1, threshold=9.0)
    nothing.learn(torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]))
    assert float(nothing.score(torch.tensor([0])).abs().max()) == 0


def test_a_model_that_needs_other_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a model that needs no other runs"):
        agent("refit", world(), model=settings("neumf_pretrained"))
    with pytest.raises(ConfigError, match=r"agent\.model\.factors"):
        agent("refit", world(), model={**settings("als"), "factors": 0})


def test_it_learns() -> None:
    found = regrets("refit", world(users=300), 20, every=2)
    assert found[-1] < found[0] / 2
