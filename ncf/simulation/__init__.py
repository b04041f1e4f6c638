"""Simulations: environments, agents that recommend and learn in them, and the loop between the two.

`base` says what an agent and an environment are; `environments` and `agents` have them, by name in `ENVIRONMENTS` and
`AGENTS`; `posterior`, `gaussians` and `interactions` are what agents share; `loop` runs an agent in an environment.
"""

from ncf.core.registry import Registry
from ncf.simulation.agents import AGENTS
from ncf.simulation.base import Agent, Recommendations, Stream
from ncf.simulation.environments import Environment, Linear, LinearFixedNorm, MovieLens
from ncf.simulation.loop import COLUMNS, SECONDS, Period, Simulation
from ncf.simulation.original import OriginalWorld

__all__ = [
    "AGENTS", "COLUMNS", "ENVIRONMENTS", "SECONDS", "Agent", "Environment", "Linear", "Period", "Recommendations",
    "Simulation", "Stream",
]  # fmt: skip

ENVIRONMENTS = Registry(
    "environment",
    {"linear": Linear, "linear_fixed_norm": LinearFixedNorm, "movielens": MovieLens, "original": OriginalWorld},
)
