"""Generalised matrix factorisation (He et al. 2017, section 3.2)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ncf.models.base import GradientRecommender, with_columns


class GMFTower(nn.Module):
    """The element-wise product of a user's and an item's factors, before the output layer."""

    def __init__(self, num_users: int, num_items: int, factors: int) -> None:
        super().__init__()
        self.features = factors  # number of features per (user, item) pair
        self.users = nn.Embedding(num_users, factors)
        self.items = nn.Embedding(num_items, factors)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> features (B, 1+K, D)."""
        return self.users(users)[:, None] * self.items(items)

    def score(self, users: Tensor, weight: Tensor, rest: Tensor) -> Tensor:
        """users (B,), output weights (D,), `rest` of the logits (B, I) or (1,) -> logits of every item (B, I)."""
        return torch.addmm(rest, self.users(users) * weight, self.items.weight.T)


class GMF(GradientRecommender):
    """logit = w . (p_u * q_i) + b (eq. 9, without the sigmoid)."""

    def __init__(self, num_users: int, num_items: int, *, factors: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.tower = GMFTower(num_users, num_items, factors)
        self.output = nn.Linear(factors, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        logits: Tensor = self.output(self.tower(users, items)).squeeze(-1)
        return logits

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        return self.tower.score(users, self.output.weight[0], self.output.bias)

    def user_tables(self) -> Sequence[nn.Embedding]:
        """p_u."""
        return (self.tower.users,)

    def user_vectors(self) -> Tensor:
        """(U, D+1): p_u * w, and 1."""
        return with_columns(self.tower.users.weight * self.output.weight[0], 1.0)

    def item_vectors(self) -> Tensor:
        """(I, D+1): q_i, and b."""
        return with_columns(self.tower.items.weight, self.output.bias)

    def item_embeddings(self) -> Tensor:
        """(I, D): q_i."""
        return self.tower.items.weight.detach()
