"""Thompson sampling for items alone."""

import torch
from toy_worlds import agent, regrets, world


def test_it_beats_chance_and_keeps_exploring() -> None:
    found = regrets("item_thompson", world(users=300), 30)
    assert found[-5:].mean() < found[0] / 2


def test_each_user_has_a_draw_of_their_own() -> None:
    environment = world()
    learner = agent("item_thompson", environment)
    assert len(learner.recommend(torch.arange(100), environment.stream()).items.unique()) > 30
