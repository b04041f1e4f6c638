"""An agent that recommends at random: the yardstick from below, and a log whose propensities are all alike."""

import torch
from torch import Tensor

from ncf.simulation.base import Agent, Recommendations, State, at_random


class Random(Agent):
    """Recommends an item drawn uniformly; it learns the mean reward of each item, which changes nothing."""

    def __init__(self, num_users: int, num_items: int, seed: int, device: torch.device | str) -> None:
        super().__init__(num_users, num_items, seed, device)
        self._counts = torch.zeros(num_items, dtype=torch.float64, device=device)
        self._sums = torch.zeros_like(self._counts)

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        return at_random(users, self.num_items, stream)

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self._counts.index_add_(0, items, torch.ones_like(rewards))
        self._sums.index_add_(0, items, rewards)

    def _score(self, users: Tensor) -> Tensor:
        overall = self._sums.sum() / self._counts.sum().clamp(min=1)
        return ((self._sums + overall) / (self._counts + 1)).expand(len(users), -1)

    def _state(self) -> State:
        return {"counts": self._counts, "sums": self._sums}

    def _load(self, state: State) -> None:
        self._counts, self._sums = state["counts"], state["sums"]
