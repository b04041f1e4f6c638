"""Matrix factorisation with biases, trained by gradient (Koren, Bell and Volinsky 2009)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ncf.models.base import GradientRecommender, with_columns


class MF(GradientRecommender):
    """logit = p_u . q_i + b_u + b_i + b (eq. 4). With loss=bpr it is BPR-MF (Rendle et al. 2009)."""

    by_row: ClassVar[bool] = False  # the global bias

    def __init__(self, num_users: int, num_items: int, *, factors: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.users, self.user_bias = nn.Embedding(num_users, factors), nn.Embedding(num_users, 1)
        self.items, self.item_bias = nn.Embedding(num_items, factors), nn.Embedding(num_items, 1)
        self.bias = nn.Embedding(1, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        inner = torch.einsum("bd,bkd->bk", self.users(users), self.items(items))
        return inner + self.user_bias(users) + self.item_bias(items)[..., 0] + self.bias.weight[0]

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        inner = self.users(users) @ self.items.weight.T
        return inner + self.user_bias(users) + self.item_bias.weight[:, 0] + self.bias.weight[0]

    def user_tables(self) -> Sequence[nn.Embedding]:
        """p_u and b_u."""
        return self.users, self.user_bias

    def user_vectors(self) -> Tensor:
        """(U, D+2): p_u, b_u + b, and 1."""
        return with_columns(self.users.weight, self.user_bias.weight + self.bias.weight, 1.0)

    def item_vectors(self) -> Tensor:
        """(I, D+2): q_i, 1, and b_i."""
        return with_columns(self.items.weight, 1.0, self.item_bias.weight)

    def item_embeddings(self) -> Tensor:
        """(I, D): q_i."""
        return self.items.weight.detach()
