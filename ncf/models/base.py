"""What every recommender is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Recommender(nn.Module, ABC):
    """Scores the whole catalogue for a user."""

    @abstractmethod
    def score(self, users: Tensor) -> Tensor:
        """users (B,) int64 -> scores of every item (B, I) float32, without a gradient."""

    def user_vectors(self) -> Tensor | None:
        """(U, D): vectors whose inner product with those of `item_vectors` is the score; None if it is no such product.

        Biases and output weights are folded in, so that an index of inner products finds what `score` would.
        """
        return None

    def item_vectors(self) -> Tensor | None:
        """(I, D): see `user_vectors`."""
        return None

    def item_embeddings(self) -> Tensor | None:
        """(I, D): what the model learned of each item, to tell which are alike; None if it learns no such thing."""
        return None


class GradientRecommender(Recommender):
    """A recommender that is trained by gradient, from the logits of (user, item) pairs."""

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) int64 -> logits (B, 1+K)."""
