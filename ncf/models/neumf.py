"""Neural matrix factorisation: GMF and MLP side by side (He et al. 2017, section 3.4)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ncf.models.base import GradientRecommender
from ncf.models.gmf import GMFTower
from ncf.models.mlp import MLPTower, Share


class NeuMF(GradientRecommender):
    """logit = w . [GMF features, MLP features] + b (eq. 12, without the sigmoid); embeddings are not shared."""

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        gmf_factors: Annotated[int, Field(ge=1)],
        mlp_factors: Annotated[int, Field(ge=1)],
        hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
        dropout: Share,
    ) -> None:
        super().__init__()
        self.gmf = GMFTower(num_users, num_items, gmf_factors)
        self.mlp = MLPTower(num_users, num_items, mlp_factors, hidden, dropout)
        self.output = nn.Linear(gmf_factors + hidden[-1], 1)
        self._widths = [gmf_factors, hidden[-1]]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K)."""
        gmf, mlp = self.output.weight[0].split(self._widths)
        return self.gmf(users, items) @ gmf + self.mlp(users, items) @ mlp + self.output.bias

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> logits of every item (B, I)."""
        gmf, mlp = self.output.weight[0].split(self._widths)
        return self.gmf.score(users, gmf, self.mlp.score(users, mlp, self.output.bias))

    def user_tables(self) -> Sequence[nn.Embedding]:
        """The user embeddings of GMF and MLP."""
        return self.gmf.users, self.mlp.users

    def item_embeddings(self) -> Tensor:
        """(I, D): the item embeddings of GMF and MLP, concatenated."""
        return torch.cat([self.gmf.items.weight, self.mlp.items.weight], dim=1).detach()
