"""The multi-layer perceptron of NCF (He et al. 2017, section 3.3)."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ncf.models.base import GradientRecommender

# Rows of hidden activations scored at once: on a CPU they stay in the second-level cache, on a GPU they fill it.
_CPU_ROWS, _GPU_ROWS = 2**10, 2**20
# A product with a multiple of so many columns adds up all of them in one order, so that items alike tie to the bit; of
# another number the last columns may differ (measured on x86, vectors of 128 to 512 bits).
_WHOLE = 16


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

    def score(self, users: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """users (B,), output weights (hidden[-1],), bias (1,) -> logits of every item (B, I), without a graph.

        relu(x + b) = max(x, -b) + b, where b is the user's half of the first layer and the bias of the others. That
        last b goes through the layers above as a constant of the user, so that a layer is a product and a maximum.
        """
        count = self.items.num_embeddings
        padded = F.pad(self.items.weight, (0, 0, 0, -count % _WHOLE))
        item_half = self.first.weight[:, padded.shape[1] :] @ padded.T  # (hidden[0], I)
        weights: list[Tensor] = []
        floors: list[Tensor] = []
        constant = self._user_half(self.users(users))
        for layer in self.upper:
            weights.append(layer.get_parameter("weight"))
            floors.append(-constant)
            constant = layer(constant)
        weights.append(weight[None])
        floors.append(-constant)
        if users.is_cuda:
            per_user = zip(*(floor.split(max(1, _GPU_ROWS // count)) for floor in floors))
            share = torch.cat([_score_together(item_half, floor, weights) for floor in per_user])
        else:
            halves = item_half.split(_even_parts(count, _CPU_ROWS), 1)
            share = torch.cat([_score_apart(half, floors, weights) for half in halves], 1)
        return share[:, :count].add_((constant @ weight + bias)[:, None])

    def _user_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, : factors.shape[-1]], self.first.bias)

    def _item_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, factors.shape[-1] :])

    def _upper(self, hidden: Tensor) -> Tensor:
        hidden = F.relu_(hidden)
        for layer in self.upper:
            hidden = F.relu_(layer(hidden))
        return hidden


def _even_parts(count: int, most: int) -> int:
    """The size of each when `count` items are split into as few parts of about `most` as there can be."""
    size = -(-count // -(-count // most))
    return size + -size % _WHOLE


def _score_together(items: Tensor, floors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Items' halves of the first layer (hidden[0], n), floors (B, H) and weights (next H, H) a layer -> (B, n)."""
    hidden = items.T
    for floor, weight in zip(floors, weights, strict=True):
        hidden = torch.maximum(hidden, floor[:, None]) @ weight.T
    return hidden.squeeze(-1)


@torch.inference_mode()
def _score_apart(items: Tensor, floors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The same, one user at a time, in memory that stays in the cache; activations are (H, n)."""
    shares = items.new_empty(len(floors[0]), items.shape[1])
    items = items.contiguous()
    hidden = [items.new_empty(weight.shape[1], items.shape[1]) for weight in weights]
    for share, first, *upper in zip(shares[:, None], *(floor[..., None] for floor in floors), strict=True):
        torch.maximum(items, first, out=hidden[0])
        for below, weight, above, floor in zip(hidden, weights, hidden[1:], upper):
            torch.maximum(torch.mm(weight, below, out=above), floor, out=above)
        torch.mm(weights[-1], hidden[-1], out=share)
    return shares


class MLP(GradientRecommender):
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
        return self.tower.score(users, self.output.weight[0], self.output.bias)

    def item_embeddings(self) -> Tensor:
        """(I, D): q_i."""
        return self.tower.items.weight.detach()
