"""An agent that recommends one item to everybody: the best found so far."""

import torch
from torch import Tensor

from ncf.simulation.base import Agent, Recommendations, State, at_random, certain
from ncf.simulation.items import ItemMeans


class BestItem(Agent):
    """Recommends at random in the first period, then to all users the item whose mean reward seems highest.

    An item that seems best by luck is rated by everybody in the next period, and found out.
    """

    def __init__(self, num_users: int, num_items: int, seed: int, device: torch.device | str) -> None:
        super().__init__(num_users, num_items, seed, device)
        self.means = ItemMeans(num_items, device)

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        if not self.periods:
            return at_random(users, self.num_items, stream)
        means, _ = self.means.posterior()
        items = means.argmax().expand(len(users))
        return Recommendations(items, means[items], certain(items))

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self.means.add(items, rewards)

    def _score(self, users: Tensor) -> Tensor:
        return self.means.posterior()[0].expand(len(users), -1)

    def _state(self) -> State:
        return self.means.state()

    def _load(self, state: State) -> None:
        self.means.load(state)
