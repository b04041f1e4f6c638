"""The loop of a simulation: users ask, the agent recommends, the environment rewards, the agent learns."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ncf.simulation.base import Agent, Recommendations
from ncf.simulation.environments import Environment

Line = dict[str, float]
COLUMNS = (
    "period", "regret", "best_item_regret", "mse", "distinct_items", "recommend_seconds", "learn_seconds",
)  # fmt: skip
"""What is known of each period.

regret: mean over the period's users of the highest mean reward that each could have had, less that of the item
recommended; best_item_regret: the same of recommending to all of them the one item that is best for all users of the
world; mse: squared error of the predicted against the mean reward, NaN where the agent predicts nothing;
distinct_items: different items recommended.
"""
SECONDS = COLUMNS[-2:]
"""The columns that differ from one computer to the next."""

_SAVE_SHARE = 20  # between two saves, simulate for at least this many times as long as a save takes


@dataclass(frozen=True)
class Period:
    """All that happened in a period: who asked, what was recommended, and the rewards (B,)."""

    number: int
    users: Tensor
    recommendations: Recommendations
    rewards: Tensor


@dataclass
class Simulation:
    """An agent in an environment, from period 0 to `periods` - 1.

    Args:
        environment: the world.
        agent: who learns.
        periods: how many.
        record: called with the line of each period, and with all that happened in it.
        save: called with a state of tensors and primitives: from time to time, when stopped and at the end.
        stopped: returns true to request a stop after the period in hand.
        save_seconds: seconds between two saves.

    Attributes:
        history: the lines of the periods so far.
    """

    environment: Environment
    agent: Agent
    periods: int
    record: Callable[[Line, Period], None] = lambda line, period: None
    save: Callable[[dict[str, Any]], None] = lambda state: None
    stopped: Callable[[], bool] = lambda: False
    save_seconds: float = 60.0
    history: list[Line] = field(default_factory=list)

    def run(self) -> bool:
        """Simulate from `history` on; return False if `stopped` ended it early. Either way it is saved."""
        saved_at, cost = time.monotonic(), 0.0
        while len(self.history) < self.periods:
            self.step()
            if self.stopped() and len(self.history) < self.periods:
                self.save(self.state())
                return False
            if time.monotonic() - saved_at >= max(self.save_seconds, _SAVE_SHARE * cost):
                begun = time.monotonic()
                self.save(self.state())
                saved_at = time.monotonic()
                cost = saved_at - begun
        self.save(self.state())
        return True

    def step(self) -> Line:
        """Simulate one period and return its line."""
        environment, agent, number = self.environment, self.agent, len(self.history)
        users = environment.begin(number)
        begun = time.perf_counter()
        found = agent.recommend(users, environment.stream())
        recommended = time.perf_counter()
        rewards = environment.step(users, found.items)
        between = time.perf_counter()
        agent.learn(users, found.items, rewards)
        learned = time.perf_counter()
        best, mean = environment.best(users), environment.mean(users, found.items)
        alike = environment.mean(users, torch.full_like(users, environment.best_item()))
        line = {
            "period": number,
            "regret": float((best - mean).mean()),
            "best_item_regret": float((best - alike).mean()),
            "mse": float((found.predicted - mean).square().mean()),
            "distinct_items": int(found.items.unique().numel()),
            "recommend_seconds": recommended - begun,
            "learn_seconds": learned - between,
        }
        self.history.append(line)
        self.record(line, Period(number, users, found, rewards))
        return line

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the simulation depends on."""
        return {
            "history": [dict(line) for line in self.history],
            "agent": {name: tensor.clone() for name, tensor in self.agent.state().items()},
            "environment": self.environment.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.history = [dict(line) for line in state["history"]]
        self.agent.load(state["agent"])
        self.environment.load(dict(state["environment"]))
