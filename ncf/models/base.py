"""The interfaces of recommenders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ncf.errors import DataError
from ncf.models.new_users import Histories, Objective, with_rows_for

_LOGITS_AT_ONCE = 2**14  # of new users, in one step of their fit: larger activations leave the cache, smaller ones idle


class Recommender(nn.Module, ABC):
    """A model that scores the whole catalogue for each user.

    Attributes:
        scores_cold: whether it can tell items without training positives apart, as split=cold_items asks.
    """

    scores_cold: ClassVar[bool] = False

    @abstractmethod
    def score(self, users: Tensor) -> Tensor:
        """users (B,) int64 -> scores of every item (B, I) float32, without gradients."""

    def fold_in(self, histories: Histories) -> Tensor:
        """Score users who were not in training from `histories` of B users: (B, I) float32, without gradients.

        The model stays as it is, and a user's scores do not depend on the other users.

        Raises:
            DataError: the model cannot do this, or needs ratings that `histories` lacks.
        """
        raise DataError(f"fold_in: model {type(self).__name__} cannot score users who were not in training")

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
        objective: what `fold_in` fits the rows of new users to; set by who calls it.
    """

    by_row: ClassVar[bool] = True
    objective: Objective | None = None

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) int64 -> logits (B, 1+K)."""

    def user_tables(self) -> Sequence[nn.Embedding]:
        """Return the embeddings that have a row a user; `fold_in` fits such rows, and nothing else, for a new user."""
        return ()

    def fold_in(self, histories: Histories) -> Tensor:
        """Fit rows for the B users of `histories`, as `with_rows_for` says, and return their logits (B, I).

        Raises:
            DataError: the model names no `user_tables`, has no `objective`, or its loss needs ratings.
        """
        if not self.user_tables():
            return super().fold_in(histories)
        if self.objective is None:
            raise DataError(f"fold_in: expected {type(self).__name__}.objective to be set, found None")
        limit = _LOGITS_AT_ONCE // (1 + self.objective.neg_ratio)
        fitted = ((with_rows_for(self, part, self.objective), part.counts) for part in histories.parts(limit))
        with torch.no_grad():
            return torch.cat([m.score(torch.arange(len(c), device=c.device)) for m, c in fitted])


class RatingRecommender(GradientRecommender):
    """A recommender with a second head, which predicts ratings; it is trained with a `ncf.losses.JointLoss`."""

    @abstractmethod
    def rate(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B,) int64 -> predicted ratings (B,), on the scale of the data."""


def with_columns(factors: Tensor, *columns: Tensor | float) -> Tensor:
    """Append each of `columns`, tensors (R, 1) or numbers, to `factors` (R, D); detached."""
    rows = factors.detach()
    return torch.cat(
        [rows, *(torch.as_tensor(c, device=rows.device).detach().expand(len(rows), 1) for c in columns)], 1
    )
