"""EASE (Steck 2019): a linear item-to-item model with zero diagonal, fitted in closed form."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.memory import available
from ncf.data.split import Split
from ncf.errors import ConfigError, TrainingError
from ncf.models.co_occurrence import shared_ones
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows
from ncf.models.recency import Decay, HalfLife, recent

_MATRICES = 3.0  # (I, I) float64 matrices that a fit holds at its peak
_LARGEST_CONDITION = 1e12  # of X'X + l2 Id; beyond, fewer than four digits of the float64 weights are right


class EASE(NonGradientRecommender):
    """score(u) = r_u W, with W = argmin |X - XW|^2 + l2 |W|^2 over W with zero diagonal (eq. 1)."""

    weights: Tensor  # (I, I)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        l2: Annotated[float, Field(gt=0)],
        decay: Decay,
        half_life: HalfLife,
    ) -> None:
        super().__init__()
        self.num_users, self.num_items, self.l2 = num_users, num_items, l2
        self.decay, self.half_life = decay, half_life

    def fit(self, split: Split) -> None:
        """Compute W_ij = -P_ij / P_jj off the diagonal, with P = (X'X + l2 Id)^-1 (eq. 8), in float64.

        Raises:
            ConfigError: rounding errors decide the weights, since `l2` is too small.
            TrainingError: there is too little memory; nothing has been computed.
        """
        self._refuse_without_memory()
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        precision = self._inverse(torch.from_numpy(shared_ones(matrix.T.tocsr(), matrix)))
        weights = precision.div_(-precision.diagonal().clone())
        self.keep("weights", weights.fill_diagonal_(0))
        self.keep_history(recent(matrix, split.train, self.decay, self.half_life))

    def _inverse(self, gram: Tensor) -> Tensor:
        """Return P (I, I) float64 for X'X (I, I), which is overwritten; at most three such matrices at a time."""
        gram.diagonal().add_(self.l2)
        self.go_on()
        norm = gram.sum(0).max()  # |.|_1, as no entry is negative
        factor, failed = torch.linalg.cholesky_ex(gram)
        del gram
        self.go_on()
        precision = None if failed else torch.cholesky_inverse(factor)
        del factor
        self.go_on()
        if precision is None or not norm * torch.linalg.vector_norm(precision, 1, dim=0).max() <= _LARGEST_CONDITION:
            raise ConfigError(
                f"model.l2: expected a penalty that is large enough for the weights to have one solution in float64, "
                f"got {self.l2}; use a larger one"
            )
        return precision

    def _refuse_without_memory(self, further: int = 0) -> None:
        """Raise TrainingError if the fit of all items, and `further` columns, needs more memory than there is."""
        need, free = _MATRICES * 8 * (self.num_items + further) ** 2, available()
        if need > free and further:
            raise TrainingError(
                f"model=cease: expected {need / 2**30:,.1f} GiB of memory for its matrices of {self.num_items:,} items "
                f"and {further:,} features of users, found {free / 2**30:,.1f} GiB; use fewer features of users, or "
                "model.user_weight=0"
            )
        if need > free:
            raise TrainingError(
                f"model=ease: expected {need / 2**30:,.1f} GiB of memory for its matrices of {self.num_items:,} by "
                f"{self.num_items:,} items, found {free / 2**30:,.1f} GiB; use data with fewer items, or another "
                "model, such as model=puresvd"
            )

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self.fold_in(self.histories(users))

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I): r W."""
        return sum_rows(self.weights, histories.items, histories.counts, histories.weights)
