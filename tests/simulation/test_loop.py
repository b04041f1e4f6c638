"""The loop: each column is what it says, and a state is all that the rest depends on."""

import math

import pytest
import torch
from toy_worlds import agent, world

from ncf.simulation import COLUMNS, Period, Simulation


def test_columns_are_what_they_say() -> None:
    environment, happened = world(requests=40), []
    simulation = Simulation(
        environment, agent("als", environment), 3, record=lambda line, period: happened.append((line, period))
    )
    assert simulation.run()
    assert [line["period"] for line, _ in happened] == [0, 1, 2]
    again = world(requests=40)
    for line, period in happened:
        assert isinstance(period, Period)
        assert tuple(line) == COLUMNS
        assert torch.equal(again.begin(period.number), period.users)
        means, items = again.means(period.users), period.recommendations.items
        chosen = means[torch.arange(40), items]
        assert line["regret"] == pytest.approx(float((means.amax(1) - chosen).mean()))
        assert line["best_item_regret"] == pytest.approx(float((means.amax(1) - means[:, again.best_item()]).mean()))
        assert line["distinct_items"] == len(set(items.tolist()))
        assert torch.allclose(period.rewards, again.step(period.users, items))
        error = float((period.recommendations.predicted - chosen).square().mean())
        assert line["mse"] == pytest.approx(error, nan_ok=True)
    assert math.isnan(happened[0][0]["mse"])


def test_it_is_saved_when_stopped_and_goes_on() -> None:
    saved: list[dict] = []
    environment = world()
    simulation = Simulation(
        environment, agent("thompson", environment), 5, save=saved.append, stopped=lambda: len(simulation.history) == 2
    )
    assert not simulation.run()
    assert len(saved[-1]["history"]) == 2
    other = Simulation(world(), agent("thompson", world()), 5)
    other.load(saved[-1])
    assert other.run()
    whole = Simulation(world(), agent("thompson", world()), 5)
    whole.run()
    assert [line["regret"] for line in other.history] == [line["regret"] for line in whole.history]


def test_it_saves_as_often_as_asked() -> None:
    saved: list[dict] = []
    environment = world()
    Simulation(environment, agent("random", environment), 4, save=saved.append, save_seconds=0.0).run()
    assert [len(state["history"]) for state in saved][-1] == 4
    assert len(saved) >= 2
