"""The interfaces of recommenders."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Recommender(nn.Module, ABC):
    """A model that scores the whole catalogue for each user."""

    @abstractmethod
    def score(self, users: Tensor) -> Tensor:
        """users (B,) int64 -> scores of every item (B, I) float32, without gradients."""

    def user_vectors(self) -> Tensor | None:
        """Return (U, D) vectors whose inner product with `item_vectors` is the score, or None if the score is not one.

        Biases and output weights are folded in, so that a maximum inner product search agrees with `score`.
        """
        return None

    def item_vectors(self) -> Tensor | None:
        """Return (I, D) vectors, or None; see `user_vectors`."""
        return None

    def item_embeddings(self) -> Tensor | None:
        """Return learned item embeddings (I, D), for the similarity of items, or None if the model has none."""
        return None


class GradientRecommender(Recommender):
    """A recommender trained by gradient descent on the logits of (user, item) pairs.

    Attributes:
        by_row: whether `forward` reads embeddings only by looking up rows, as optimizer=row_adam requires.
    """

    by_row: ClassVar[bool] = True

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) int64 -> logits (B, 1+K)."""


def with_columns(factors: Tensor, *columns: Tensor | float) -> Tensor:
    """Append each of `columns`, tensors (R, 1) or numbers, to `factors` (R, D); detached."""
    rows = factors.detach()
    return torch.cat(
        [rows, *(torch.as_tensor(c, device=rows.device).detach().expand(len(rows), 1) for c in columns)], 1
    )
