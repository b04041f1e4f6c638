"""Small worlds and agents for the tests of simulations."""

from typing import Any

import numpy as np
from omegaconf import OmegaConf

from ncf.core.compose import CONF
from ncf.core.config import component
from ncf.simulation import AGENTS, ENVIRONMENTS, Agent, Environment, Simulation


def defaults(group: str, name: str) -> dict[str, Any]:
    """The settings in conf/."""
    own = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert isinstance(own, dict)
    return {str(key): value for key, value in own.items()}


def world(name: str = "linear", seed: int = 0, **more: Any) -> Environment:
    """A world of 100 users and 80 items, unless said otherwise."""
    sizes = {} if name == "movielens" else {"users": 100, "items": 80}
    node = {**defaults("environment", name), **sizes, **more}
    scores = node.pop("scores", None)
    made: Environment = component("environment", ENVIRONMENTS, node)(seed, scores, "cpu")
    return made


def agent(name: str, environment: Environment, seed: int = 0, **more: Any) -> Agent:
    """An agent with its settings of conf/, unless said otherwise."""
    node = {**defaults("agent", name), **more}
    made: Agent = component("agent", AGENTS, node)(environment.num_users, environment.num_items, seed, "cpu")
    return made


def regrets(name: str, environment: Environment, periods: int, seed: int = 0, **more: Any) -> np.ndarray:
    """The regret of each period (T,) of an agent in a world."""
    simulation = Simulation(environment, agent(name, environment, seed, **more), periods)
    simulation.run()
    return np.array([line["regret"] for line in simulation.history])
