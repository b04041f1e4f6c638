"""The multi-layer perceptron of NCF (He et al. 2017, section 3.3)."""

import itertools
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ncf.models.base import Recommender

# Rows of hidden activations scored at once: on a CPU they stay in the second-level cache, on a GPU they fill it.
_CPU_ROWS, _GPU_ROWS = 2**11, 2**20


class MLPTower(nn.Module):
    """ReLU layers over the concatenated factors of user and item, before the output layer.

    The first layer is linear, so its user half is computed once a group and once a scored user, not once a row.
    """

    def __init__(self, num_users: int, num_items: int, factors: int, hidden: list[int]) -> None:
        super().__init__()
        self.features = hidden[-1]  # that it gives a pair
        self.users = nn.Embedding(num_users, factors)
        self.items = nn.Embedding(num_items, factors)
        self.first = nn.Linear(2 * factors, hidden[0])
        self.upper = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(hidden))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> features (B, 1+K, hidden[-1])."""
        return self._upper(self._item_half(self.items(items)) + self._user_half(self.users(users))[:, None])

    def score(self, users: Tensor, weight: Tensor) -> Tensor:
        """users (B,), output weights (hidden[-1],) -> their share of the logits of every item (B, I)."""
        item_half = self._item_half(self.items.weight)
        user_half = self._user_half(self.users(users))
        rows = _GPU_ROWS if users.is_cuda else _CPU_ROWS
        size = max(1, rows // len(item_half))
        logits = user_half.new_empty(len(users), len(item_half))  # at once: small parts kept would split up the heap
        for chunk, part in zip(user_half.split(size), logits.split(size)):
            part.copy_(self._upper(item_half + chunk[:, None]) @ weight)
        return logits

    def _user_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, : factors.shape[-1]], self.first.bias)

    def _item_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, factors.shape[-1] :])

    def _upper(self, hidden: Tensor) -> Tensor:
        hidden = F.relu_(hidden)
        for layer in self.upper:
            hidden = F.relu_(layer(hidden))
        return hidden


class MLP(Recommender):
    """logit = w . ReLU layers([p_u, q_i]) + b (eq. 10, without the sigmoid)."""

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
    ) -> None:
        super().__init__()
        self.tower = MLPTower(num_users, num_items, factors, hidden)
        self.output = nn.Linear(hidden[-1], 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        logits: Tensor = self.output(self.tower(users, items)).squeeze(-1)
        return logits

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        return self.tower.score(users, self.output.weight[0]) + self.output.bias
