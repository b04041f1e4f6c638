"""Two tasks: will they watch it, and how will they rate it."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ncf.models.base import RatingRecommender, with_columns


class Tables(nn.Module):
    """Factors of users and of items."""

    def __init__(self, num_users: int, num_items: int, factors: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(num_users, factors), nn.Embedding(num_items, factors)


class MultiTask(RatingRecommender):
    """logit = u . q + b_i; rating = ReLU layers on [u, q, u * q] (multi-task learning; Caruana 1997).

    With `shared` both heads read the same u and q, so that each task trains the other's; without, each has its own and
    the two are separate models.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        shared: bool,
        factors: Annotated[int, Field(ge=1)],
        hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
        user_bias: bool,
    ) -> None:
        super().__init__()
        self.ranking = Tables(num_users, num_items, factors)
        self.item_bias = nn.Embedding(num_items, 1)
        self.user_bias = nn.Embedding(num_users, 1) if user_bias else None
        self.apart = None if shared else Tables(num_users, num_items, factors)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise([3 * factors, *hidden, 1]))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        inner = torch.einsum("bd,bkd->bk", self.ranking.users(users), self.ranking.items(items))
        logits: Tensor = inner + self.item_bias(items)[..., 0]
        return logits if self.user_bias is None else logits + self.user_bias(users)

    def rate(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B,) -> predicted ratings (B,)."""
        tables = self.ranking if self.apart is None else self.apart
        u, q = tables.users(users), tables.items(items)
        hidden = torch.cat([u, q, u * q], dim=-1)
        for layer in self.layers[:-1]:
            hidden = F.relu(layer(hidden))
        ratings: Tensor = self.layers[-1](hidden)
        return ratings.squeeze(-1)

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        logits = self.ranking.users(users) @ self.ranking.items.weight.T + self.item_bias.weight[:, 0]
        return logits if self.user_bias is None else logits + self.user_bias(users)

    def user_tables(self) -> Sequence[nn.Embedding]:
        """u and, if it has them, the biases of the ranking head."""
        return (self.ranking.users,) if self.user_bias is None else (self.ranking.users, self.user_bias)

    def user_vectors(self) -> Tensor:
        """(U, D+2): u, the user's bias, and 1."""
        bias = 0.0 if self.user_bias is None else self.user_bias.weight
        return with_columns(self.ranking.users.weight, bias, 1.0)

    def item_vectors(self) -> Tensor:
        """(I, D+2): q, 1, and b_i."""
        return with_columns(self.ranking.items.weight, 1.0, self.item_bias.weight)

    def item_embeddings(self) -> Tensor:
        """(I, D): q of the ranking head."""
        return self.ranking.items.weight.detach()
