"""ALS: its equations, its first factors, and what exploration does for it."""

import pytest
import torch
from toy_worlds import agent, regrets, world

from ncf.simulation.agents.als import ALS


def made(**more: object) -> ALS:
    """ALS after one period in a small world."""
    environment = world()
    learner = agent("als", environment, **more)
    assert isinstance(learner, ALS)
    users = environment.begin(0)
    for shift in range(3):
        items = (users * 7 + 5 * shift) % 80
        learner.learn(users, items, environment.step(users, items))
    return learner


def test_a_fit_solves_its_normal_equations() -> None:
    """The gradient of errors squared + l2 n |x|^2 is zero for items, which were solved last, by brute force."""
    learner = made(l2=0.3, factors=4)
    rows = learner.seen.by_item()
    for item in range(80):
        part = rows.part(item, item + 1)
        vectors = learner.users[part.others]
        errors = part.sums - part.counts * (vectors @ learner.items[item])
        gradient = -vectors.T @ errors + 0.3 * part.counts.sum() * learner.items[item]
        assert float(gradient.abs().max()) < 1e-9


@pytest.mark.parametrize("first", ["uniform", "absolute", "normal"])
def test_first_factors_are_as_asked(first: str) -> None:
    learner = agent("als", world(), first=first)
    assert isinstance(learner, ALS)
    assert (float(learner.items.min()) < 0) == (first == "normal")
    if first != "uniform":
        assert torch.allclose(learner.items.norm(dim=1), torch.ones(80).double())


def test_a_fresh_fit_forgets_the_factors_but_not_the_rewards() -> None:
    warm, fresh = made(fresh=False), made(fresh=True)
    assert len(warm.seen) == len(fresh.seen)
    assert not torch.allclose(warm.items, fresh.items)


def test_where_a_greedy_agent_ends_depends_on_where_it_begins() -> None:
    """The notebook's story that ALS stops exploring is half of it: with signed first factors it ends far higher."""
    worlds = [world(users=200, items=200, seed=seed) for seed in range(3)]
    ends = {first: sum(regrets("als", w, 12, first=first)[-1] for w in worlds) for first in ("uniform", "normal")}
    assert ends["uniform"] < ends["normal"] * 0.75
