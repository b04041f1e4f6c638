"""EASE (Steck 2019): a linear item-to-item model with zero diagonal, fitted in closed form."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.data.split import Split
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows


class EASE(NonGradientRecommender):
    """score(u) = r_u W, with W = argmin |X - XW|^2 + l2 |W|^2 over W with zero diagonal (eq. 1)."""

    weights: Tensor  # (I, I)

    def __init__(self, num_users: int, num_items: int, *, l2: Annotated[float, Field(gt=0)]) -> None:
        super().__init__()
        self.num_users, self.num_items, self.l2 = num_users, num_items, l2

    def fit(self, split: Split) -> None:
        """Compute W_ij = -P_ij / P_jj off the diagonal, with P = (X'X + l2 Id)^-1 (eq. 8), in float64."""
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        gram = torch.from_numpy((matrix.T @ matrix).toarray())
        gram.diagonal().add_(self.l2)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = -precision / precision.diagonal()
        self.keep("weights", weights.fill_diagonal_(0))
        self.keep_history(matrix)

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return sum_rows(self.weights, *self.history(users))
