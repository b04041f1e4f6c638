"""What every recommender trained by gradient is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Recommender(nn.Module, ABC):
    """Maps (user, item) pairs to logits, and scores the whole catalogue for a user."""

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) int64 -> logits (B, 1+K)."""

    @abstractmethod
    def score(self, users: Tensor) -> Tensor:
        """users (B,) int64 -> logits of every item (B, I), without a gradient."""
