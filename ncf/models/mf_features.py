"""Matrix factorisation with features of items and users, trained by gradient, as in LightFM (Kula 2015)."""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn

from ncf.data.feature_blocks import BlockWeights, vectors
from ncf.data.features import item_columns, user_columns
from ncf.data.split import Split
from ncf.models.base import GradientRecommender, with_columns
from ncf.models.content import Weight, Words
from ncf.models.new_users import Histories
from ncf.models.non_gradient import sum_rows

_SIDES = ("item", "user")


class MFFeatures(GradientRecommender):
    """logit = (p_u + v sum_g G_ug d_g) . (q_i + w sum_f F_if e_f) + b_u + b_i + b.

    Here w is `weight`, and v `user_weight`; F and G are the features, in rows of length 1. The vectors of features, e
    and d, begin at zero, so that with both weights 0 it is `MF`, step by step.
    """

    by_row: ClassVar[bool] = False  # the global bias, and the features
    item_side: nn.Parameter | None  # (F, D)
    user_side: nn.Parameter | None  # (G, D)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        weight: Weight,
        user_weight: Weight,
        text: Weight,
        categories: Weight,
        numbers: Weight,
        stop_words: Words,
    ) -> None:
        super().__init__()
        self.factors, self.side_weights = factors, {"item": weight, "user": user_weight}
        self.block_weights = BlockWeights(text, categories, numbers, stop_words)
        self.users, self.user_bias = nn.Embedding(num_users, factors), nn.Embedding(num_users, 1)
        self.items, self.item_bias = nn.Embedding(num_items, factors), nn.Embedding(num_items, 1)
        self.bias = nn.Embedding(1, 1)
        self.knows_users = True  # new users have no features
        for side in _SIDES:
            self.register_parameter(f"{side}_side", None)

    def _allocate(self, side: str, rows: int, columns: int, entries: int) -> None:
        """Make room for the features of `rows` items or users: `columns` features, `entries` of them not zero."""
        self.register_parameter(f"{side}_side", nn.Parameter(torch.zeros(columns, self.factors)))
        self.register_buffer(f"{side}_counts", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer(f"{side}_columns", torch.zeros(entries, dtype=torch.int64))
        self.register_buffer(f"{side}_values", torch.zeros(entries))

    def use_features(self, split: Split) -> None:
        """Take the features of `split`; call this before training. Raises DataError if it has none of those needed."""
        if self.side_weights["item"]:
            self._take("item", vectors(item_columns(split), self.block_weights, split.name))
        if self.side_weights["user"]:
            self._take("user", vectors(user_columns(split), BlockWeights(1.0, 1.0, 1.0), split.name))

    def _take(self, side: str, features: sparse.csr_matrix) -> None:
        self._allocate(side, features.shape[0], features.shape[1], features.nnz)
        self.get_buffer(f"{side}_counts").copy_(torch.from_numpy(np.diff(features.indptr)))
        self.get_buffer(f"{side}_columns").copy_(torch.from_numpy(features.indices))
        self.get_buffer(f"{side}_values").copy_(torch.from_numpy(features.data))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load the weights and the features, which take their sizes from `state_dict`."""
        for side in _SIDES:
            table, own = state_dict.get(f"{side}_side"), getattr(self, f"{side}_side")
            if isinstance(table, Tensor) and (own is None or table.shape != own.shape):
                sizes = (len(state_dict[f"{side}_counts"]), len(table), len(state_dict[f"{side}_columns"]))
                self._allocate(side, *sizes)
        return super().load_state_dict(state_dict, *args, **kwargs)

    def _vectors(self, side: str) -> Tensor:
        """Return the whole table of vectors (I or U, D), with the part of the features."""
        own = self.items.weight if side == "item" else self.users.weight
        table = self.item_side if side == "item" else self.user_side
        if table is None or (side == "user" and not self.knows_users):
            return own
        counts, columns, values = (self.get_buffer(f"{side}_{part}") for part in ("counts", "columns", "values"))
        return own + self.side_weights[side] * sum_rows(table, columns, counts, values)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        inner = torch.einsum("bd,bkd->bk", self._vectors("user")[users], self._vectors("item")[items])
        return inner + self.user_bias(users) + self.item_bias(items)[..., 0] + self.bias.weight[0]

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        inner = self._vectors("user")[users] @ self._vectors("item").T
        return inner + self.user_bias(users) + self.item_bias.weight[:, 0] + self.bias.weight[0]

    def fold_in(self, histories: Histories) -> Tensor:
        """Fit rows for the B users of `histories`, who have no features, as any model trained by gradient does."""
        other = copy.copy(self)
        other.knows_users = False
        return GradientRecommender.fold_in(other, histories)

    def user_tables(self) -> Sequence[nn.Embedding]:
        """p_u and b_u."""
        return self.users, self.user_bias

    def user_vectors(self) -> Tensor:
        """(U, D+2): p_u with its features, b_u + b, and 1."""
        return with_columns(self._vectors("user"), self.user_bias.weight + self.bias.weight, 1.0)

    def item_vectors(self) -> Tensor:
        """(I, D+2): q_i with its features, 1, and b_i."""
        return with_columns(self._vectors("item"), 1.0, self.item_bias.weight)

    def item_embeddings(self) -> Tensor:
        """(I, D): q_i with its features."""
        return self._vectors("item").detach()
