"""The notebook's figures, digit for digit, from its own order of draws."""

import json
from pathlib import Path

import pytest
import torch
from toy_worlds import agent, world

from experiments.bandits.sequential import original
from ncf.simulation import Simulation

REFERENCE = json.loads((Path(__file__).parent / "reference" / "original_agent.json").read_text())


def first(name: str, **more: object) -> dict[str, float]:
    """Period 0 of an agent in the notebook's world."""
    environment = world("original", seed=42, users=1000, items=1000)
    return Simulation(environment, agent(name, environment, 42, **more), 1).step()


def test_period_0_of_the_batched_agent_is_what_the_notebook_printed() -> None:
    line = first("bayes_original")
    assert (f"{line['regret']:.6f}", f"{line['mse']:.6f}") == ("1.568143", "10104.148497")
    assert line["distinct_items"] == REFERENCE[0]["distinct"]
    assert line["regret"] == pytest.approx(REFERENCE[0]["regret"], rel=1e-12)
    assert line["mse"] == pytest.approx(REFERENCE[0]["mse"], rel=1e-12)


@pytest.mark.parametrize("name", ["als", "als_epsilon"])
def test_so_is_that_of_als(name: str) -> None:
    line = first(name)
    assert f"{line['regret']:.6f}" == "1.583331"
    assert line["distinct_items"] == 650


@pytest.mark.slow
def test_so_are_the_first_periods_of_the_agent_that_works_one_by_one() -> None:
    """Later figures drift with the linear algebra, so only the first of them have to be equal on every machine."""
    lines = list(original(len(REFERENCE)))
    for line, expected in zip(lines[:1], REFERENCE[:1], strict=True):
        assert line["regret"] == pytest.approx(expected["regret"], rel=1e-9)
        assert line["mse"] == pytest.approx(expected["mse"], rel=1e-9)
    for line, expected in zip(lines, REFERENCE, strict=True):
        assert line["regret"] == pytest.approx(expected["regret"], abs=0.05)


def test_the_noise_is_one_number_for_all_users_of_a_period() -> None:
    environment = world("original")
    users = environment.begin(0)
    items = torch.zeros_like(users)
    assert sorted(users.tolist()) == list(range(100))
    noise = environment.step(users, items) - environment.mean(users, items)
    assert torch.allclose(noise, noise[:1].expand(100), atol=1e-12)
    assert float(noise[0]) != 0


def test_the_generator_goes_on_from_its_state() -> None:
    one, other = world("original"), world("original")
    one.begin(0)
    one.step(torch.arange(100), torch.zeros(100, dtype=torch.int64))
    other.load(one.state())
    assert torch.equal(one.begin(1), other.begin(1))
