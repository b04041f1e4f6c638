"""Optimism in the face of uncertainty."""

import torch
from toy_worlds import agent, regrets, world


def test_it_recommends_the_highest_bound() -> None:
    environment = world()
    learner = agent("ucb", environment, width=1.5)
    users = environment.begin(0)
    learner.learn(users, users % 80, environment.step(users, users % 80))
    bounds = learner.posterior.means(users).float() + 1.5 * learner.posterior.deviations(users)  # type: ignore[attr-defined]
    found = learner.recommend(users, environment.stream())
    assert torch.equal(found.items, bounds.argmax(1))
    assert torch.allclose(found.predicted, learner.posterior.means(users).gather(1, found.items[:, None])[:, 0])  # type: ignore[attr-defined]


def test_it_learns() -> None:
    found = regrets("ucb", world(users=300), 30)
    assert found[-1] < found[0] / 2
