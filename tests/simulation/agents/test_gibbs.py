"""Gibbs sampling: draws from the posterior itself."""

import torch
from toy_worlds import agent, regrets, world

from ncf.simulation.agents.gibbs import Gibbs


def test_a_half_step_draws_from_bayesian_linear_regression() -> None:
    """5,000 users with the same two rewards and known items: mean and covariance within 5 standard errors."""
    count = 5000
    environment = world(users=count)
    learner = agent("gibbs", environment, factors=2)
    assert isinstance(learner, Gibbs)
    users = torch.arange(count)
    for item, reward in ((0, 1.0), (1, 2.0)):
        learner.seen.add(users, torch.full_like(users, item), torch.full((count,), reward))
    learner.tau = 4.0
    vectors = learner.sides[1][:2]
    precision = learner.precisions[0] + 4 * vectors.T @ vectors
    mean = torch.linalg.solve(
        precision, learner.precisions[0] @ learner.means[0] + 4 * vectors.T @ torch.tensor([1.0, 2.0]).double()
    )
    drawn = learner._half_step(0, learner.seen.by_user(), torch.Generator().manual_seed(0))
    covariance = torch.linalg.inv(precision)
    assert ((drawn.mean(0) - mean).abs() < 5 * (covariance.diagonal() / count).sqrt()).all()
    spread = (covariance**2 + torch.outer(covariance.diagonal(), covariance.diagonal())).sqrt() / count**0.5
    assert ((torch.cov(drawn.T) - covariance).abs() < 5 * spread).all()


def test_it_learns_and_finds_the_noise() -> None:
    environment = world("linear_fixed_norm", users=200, items=50)
    learner = agent("gibbs", environment, factors=10)
    assert isinstance(learner, Gibbs)
    stream = torch.Generator().manual_seed(0)
    for period in range(25):
        users = environment.begin(period)
        items = torch.randint(50, users.shape, generator=stream)
        learner.learn(users, items, environment.step(users, items))
    assert 0.08 < learner.tau**-0.5 < 0.15  # the truth is .1; 5,000 rewards, 2,500 parameters


def test_it_beats_chance() -> None:
    found = regrets("gibbs", world(users=200), 20)
    assert found[-1] < found[0]
