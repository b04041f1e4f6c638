"""The multi-layer perceptron of NCF (He et al. 2017, section 3.3)."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ncf.core.roles import Role
from ncf.models.base import GradientRecommender
from ncf.models.dropout import Dropout

Share = Annotated[float, Field(ge=0, lt=1), Role(since=0.0)]
"""The key `dropout`: the probability with which a training step zeroes a hidden value."""

# Rows of hidden activations scored at once: on a CPU they stay in the L2 cache, on a GPU they fill the device.
_CPU_ROWS, _GPU_ROWS = 2**10, 2**20
# If the number of columns is a multiple of this, a matrix product sums all columns in the same order, so that identical
# items tie to the bit; otherwise the last columns may differ (measured on x86, vectors of 128 to 512 bits).
_COLUMN_MULTIPLE = 16


class MLPTower(nn.Module):
    """ReLU layers over the concatenated factors of user and item, before the output layer.

    Before its ReLU the first layer is linear, so its user half is computed once per user, not once per pair. Dropout
    follows each ReLU, in training steps only.
    """

    def __init__(self, num_users: int, num_items: int, factors: int, hidden: list[int], dropout: float) -> None:
        super().__init__()
        self.features = hidden[-1]  # number of features per (user, item) pair
        self.users = nn.Embedding(num_users, factors)
        self.items = nn.Embedding(num_items, factors)
        self.first = nn.Linear(2 * factors, hidden[0])
        self.upper = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(hidden))
        self.dropout = Dropout(dropout)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> features (B, 1+K, hidden[-1])."""
        return self._upper(self._item_half(self.items(items)) + self._user_half(self.users(users))[:, None])

    def score(self, users: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """users (B,), output weights (hidden[-1],), bias (1,) -> logits of every item (B, I), without gradients.

        relu(x + b) = max(x, -b) + b, where b depends only on the user: it is the user half of the first layer, and for
        each layer above, that layer applied to the b below. So every layer is a product and a maximum.
        """
        count = self.items.num_embeddings
        padded = F.pad(self.items.weight, (0, 0, 0, -count % _COLUMN_MULTIPLE))
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
            logits = torch.cat([_score_together(item_half, floor, weights) for floor in per_user])
        else:
            halves = item_half.split(_chunk_width(count, _CPU_ROWS), 1)
            logits = torch.cat([_score_apart(half, floors, weights) for half in halves], 1)
        return logits[:, :count].add_((constant @ weight + bias)[:, None])

    def _user_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, : factors.shape[-1]], self.first.bias)

    def _item_half(self, factors: Tensor) -> Tensor:
        return F.linear(factors, self.first.weight[:, factors.shape[-1] :])

    def _upper(self, hidden: Tensor) -> Tensor:
        hidden = self.dropout(F.relu_(hidden))
        for layer in self.upper:
            hidden = self.dropout(F.relu_(layer(hidden)))
        return hidden


def _chunk_width(count: int, target: int) -> int:
    """Return the width of equal chunks of `count` items, close to `target` and a multiple of _COLUMN_MULTIPLE."""
    size = -(-count // -(-count // target))
    return size + -size % _COLUMN_MULTIPLE


def _score_together(items: Tensor, floors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Item halves of the first layer (hidden[0], n), and per layer floors (B, H) and weights (next H, H) -> (B, n)."""
    hidden = items.T
    for floor, weight in zip(floors, weights, strict=True):
        hidden = torch.maximum(hidden, floor[:, None]) @ weight.T
    return hidden.squeeze(-1)


@torch.inference_mode()
def _score_apart(items: Tensor, floors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Compute the same one user at a time, in buffers that stay in the cache; activations are (H, n)."""
    logits = items.new_empty(len(floors[0]), items.shape[1])
    items = items.contiguous()
    hidden = [items.new_empty(weight.shape[1], items.shape[1]) for weight in weights]
    for row, first, *upper in zip(logits[:, None], *(floor[..., None] for floor in floors), strict=True):
        torch.maximum(items, first, out=hidden[0])
        for below, weight, above, floor in zip(hidden, weights, hidden[1:], upper):
            torch.maximum(torch.mm(weight, below, out=above), floor, out=above)
        torch.mm(weights[-1], hidden[-1], out=row)
    return logits


class MLP(GradientRecommender):
    """logit = w . ReLU layers([p_u, q_i]) + b (eq. 10, without the sigmoid)."""

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
        dropout: Share,
    ) -> None:
        super().__init__()
        self.tower = MLPTower(num_users, num_items, factors, hidden, dropout)
        self.output = nn.Linear(hidden[-1], 1)

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

    def item_embeddings(self) -> Tensor:
        """(I, D): q_i."""
        return self.tower.items.weight.detach()
