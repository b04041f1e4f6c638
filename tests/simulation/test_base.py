"""What every agent has to satisfy: contracts of shape, refusals in one line, and streams that only addresses decide."""

import pytest
import torch
from toy_worlds import agent, regrets, world

from ncf.errors import DataError
from ncf.simulation import AGENTS, Simulation, Stream

ALL = torch.arange(100)
KNOWN = ("random", "als", "als_epsilon", "best_item", "refit")  # agents that can say their propensities


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_keeps_the_contract(name: str, untouched) -> None:
    environment = world()
    learner = agent(name, environment, **({"every": 1} if name == "refit" else {}))
    for period in range(3):
        users = environment.begin(period)
        found = learner.recommend(users, environment.stream())
        again = learner.recommend(users, environment.stream())
        assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(found, again, strict=True))
        assert [part.shape for part in found] == [(100,)] * 3
        assert found.items.dtype == torch.int64
        assert ((found.items >= 0) & (found.items < 80)).all()
        known = found.propensity[~found.propensity.isnan()]
        assert ((known > 0) & (known <= 1)).all()
        assert len(known) in ((100,) if name in KNOWN else (0, 100))
        learner.learn(users, found.items, environment.step(users, found.items))
        scores = learner.score(users)
        assert scores.shape == (100, 80)
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()
    assert found.predicted.isfinite().all() or name == "random"
    assert untouched()


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_refuses_what_it_cannot_mean(name: str) -> None:
    learner = agent(name, world())
    one, item, nobody = torch.tensor([1]), torch.tensor([0]), torch.zeros(0, dtype=torch.int64)
    stream = Stream(0, 0)
    with pytest.raises(DataError, match="users: expected at least one request in a period, got none"):
        learner.recommend(nobody, stream)
    with pytest.raises(DataError, match="user: expected one of the world's 100 users, 0 to 99, got 100"):
        learner.recommend(torch.tensor([0, 100]), stream)
    with pytest.raises(DataError, match="user: expected one of the world's 100 users"):
        learner.score(torch.tensor([-1]))
    with pytest.raises(DataError, match="rewards: expected finite numbers, got nan for user 1 and item 0"):
        learner.learn(one, item, torch.tensor([torch.nan]))
    with pytest.raises(DataError, match="expected users, items and rewards of equal length"):
        learner.learn(one, item, torch.ones(2))
    with pytest.raises(DataError, match="item: expected one of the world's 80 items"):
        learner.learn(one, torch.tensor([80]), torch.ones(1))


def test_chunks_of_users_leave_the_contract_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for the scores of ten users at a time, a greedy agent recommends the same."""
    environment = world()
    learner = agent("als", environment)
    users = environment.begin(0)
    learner.learn(users, users % 80, environment.step(users, users % 80))
    whole = learner.recommend(users, environment.stream()).items
    monkeypatch.setattr("ncf.simulation.base._SCORES_AT_ONCE", 800)
    assert torch.equal(learner.recommend(users, environment.stream()).items, whole)


def test_streams_are_addressed() -> None:
    draws = {
        (seed, period, block): float(torch.rand(1, generator=Stream(seed, period).block(block)))
        for seed in (0, 1) for period in (0, 1) for block in (-1, 0, 1)
    }  # fmt: skip
    assert len(set(draws.values())) == len(draws)
    assert float(torch.rand(1, generator=Stream(0, 1).block(1))) == draws[0, 1, 1]


def test_a_simulation_is_the_same_twice() -> None:
    assert (regrets("thompson", world(), 4) == regrets("thompson", world(), 4)).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("thompson", {"noise": 1e-9}),
        ("ucb", {"noise": 1e-9}),
        ("als", {"l2": 1e-300}),
    ],
)
def test_equations_without_a_solution_are_one_line(name: str, settings: dict[str, float]) -> None:
    environment = world()
    learner = agent(name, environment, **settings)
    with pytest.raises(DataError, match="agent: expected equations that have a solution, found none in period"):
        Simulation(environment, learner, 4).run()
