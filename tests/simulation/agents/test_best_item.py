"""The agent with one item for everybody."""

import torch
from toy_worlds import agent, regrets, world

from ncf.simulation import Simulation


def test_it_comes_to_a_good_fixed_item() -> None:
    """After 30 periods one item, with a fifth of the first regret, and no less than the best in hindsight."""
    environment = world(users=500)
    simulation = Simulation(environment, agent("best_item", environment), 30)
    simulation.run()
    first, last = simulation.history[0], simulation.history[-1]
    assert last["distinct_items"] == 1
    assert last["best_item_regret"] - 1e-9 <= last["regret"] < first["regret"] / 5


def test_it_is_the_item_with_the_highest_posterior_mean() -> None:
    environment = world()
    learner = agent("best_item", environment)
    learner.learn(torch.arange(3), torch.tensor([4, 4, 9]), torch.tensor([5.0, 5.1, 1.0]))
    found = learner.recommend(torch.arange(100), environment.stream())
    assert set(found.items.tolist()) == {4}
    assert set(found.propensity.tolist()) == {1.0}


def test_taste_leaves_it_far_behind() -> None:
    assert regrets("best_item", world("linear_fixed_norm"), 10)[-1] > 1.5
