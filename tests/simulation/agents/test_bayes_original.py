"""The notebook's agent in batches, against the agent that works through the interactions one by one."""

import logging

import numpy as np
import pytest
import torch
from toy_worlds import agent, regrets, world

from experiments.bandits.sequential import SequentialBayes, simulated
from ncf.errors import ConfigError
from ncf.simulation.agents.bayes_original import BayesOriginal, occurrence, rounds


def test_rounds_keep_the_order_of_every_item_and_user() -> None:
    stream = torch.Generator().manual_seed(0)
    users = torch.randperm(50, generator=stream)
    items = torch.randint(12, (50,), generator=stream)
    found = list(rounds(users, items))
    assert sorted(torch.cat(found).tolist()) == list(range(50))
    assert len(found) == int(torch.bincount(items).max())
    place = torch.cat([torch.full_like(rows, number) for number, rows in enumerate(found)])[torch.cat(found).argsort()]
    for item in range(12):
        assert (place[items == item].diff() > 0).all()
    for rows in found:
        assert len(items[rows].unique()) == len(rows)


def test_a_user_who_comes_up_again_is_in_a_later_round() -> None:
    found = [rows.tolist() for rows in rounds(torch.tensor([1, 1, 2]), torch.tensor([5, 6, 5]))]
    assert found == [[0], [2], [1]]
    assert occurrence(torch.tensor([4, 4, 3, 4])).tolist() == [0, 1, 0, 2]


def test_an_update_has_the_moments_of_the_one_by_draws() -> None:
    """One interaction, 2,000 times each way: natural parameters of user and item within 5 standard errors."""
    count, samples = 2000, 12
    ours = BayesOriginal(count, count, 0, "cpu", factors=2, alpha=2.0, beta=0.1, n_samples=samples)
    everybody = torch.arange(count)
    ours.learn(everybody, everybody, torch.full((count,), 1.5))
    theirs = SequentialBayes(count, count, np.random.RandomState(0), 2, 2.0, 0.1, samples)
    theirs.learn(everybody.numpy(), everybody.numpy(), np.full(count, 1.5))
    for side in range(2):
        rights = np.einsum("nij,nj->ni", theirs.precisions[side], theirs.means[side])
        for a, b in ((ours.precisions[side].numpy(), theirs.precisions[side]), (ours.rights[side].numpy(), rights)):
            a, b = (value.reshape(count, -1) for value in (a, b))
            for power in (1, 2):
                x, y = a**power, b**power
                error = np.sqrt((x.var(0) + y.var(0)) / count)
                assert (np.abs(x.mean(0) - y.mean(0)) < 5 * error).all()


def test_other_numbers_of_draws_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        agent("bayes_original", world())
        assert not caplog.records
        agent("bayes_original", world(), n_samples=500)
    assert "agent.n_samples=500 also changes the model" in caplog.text
    assert "here 50, against 100 at the notebook's defaults; agent.beta=0.2 would keep that" in caplog.text
    with pytest.raises(ConfigError, match=r"agent\.n_samples: expected more than agent\.factors=10, got 10"):
        agent("bayes_original", world(), n_samples=10)


def paired(worlds: int, size: int, periods: int) -> np.ndarray:
    """z of the paired differences in regret between the batched and the sequential agent, by period."""
    differences = []
    for seed in range(worlds):
        ours = regrets("bayes_original", world(seed=seed, users=size, items=size), periods, seed)
        random = np.random.RandomState(seed)
        theirs = simulated(world(seed=seed, users=size, items=size), SequentialBayes(size, size, random), periods)
        differences.append(ours - [line["regret"] for line in theirs])
    found = np.array(differences)
    return found.mean(0) / (found.std(0, ddof=1) / worlds**0.5)


def test_it_agrees_with_the_sequential_agent_in_small_worlds() -> None:
    """Ten paired worlds, four periods: |z| at most 5, as few pairs have heavy tails (t, 9 degrees: p = .0007)."""
    assert np.abs(paired(10, 40, 4)).max() <= 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_agrees_with_the_sequential_agent() -> None:
    """Thirty-two paired worlds, 200 x 200, ten periods: no |z| above 3."""
    assert np.abs(paired(32, 200, 10)).max() <= 3
