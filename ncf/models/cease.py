"""Collective EASE (Jeunen, Van Balen and Goethals 2020): EASE that also learns from features of items and of users."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from ncf.data.feature_blocks import BlockWeights, vectors
from ncf.data.features import item_columns, user_columns
from ncf.data.split import Split
from ncf.models.content import Weight, Words
from ncf.models.ease import EASE
from ncf.models.non_gradient import positives_matrix, sum_rows
from ncf.models.recency import Decay, HalfLife, recent


class CEASE(EASE):
    """score(u) = [r_u, v g_u] W, with W that of EASE on the users' rows and, below them, those of the items' features.

    The rows are w f_j, one a feature j, with f_j the items' values (eq. 4 of the paper, whose T is here the items'
    TF-IDF); v g_u are the user's own features, from which items are predicted, too. With w = v = 0 it is EASE.
    """

    scores_cold: ClassVar[bool] = True
    user_table: Tensor  # (G, I)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        l2: Annotated[float, Field(gt=0)],
        weight: Weight,
        user_weight: Weight,
        text: Weight,
        categories: Weight,
        numbers: Weight,
        stop_words: Words,
        decay: Decay,
        half_life: HalfLife,
    ) -> None:
        super().__init__(num_users, num_items, l2=l2, decay=decay, half_life=half_life)
        self.weight, self.user_weight = weight, user_weight
        self.block_weights = BlockWeights(text, categories, numbers, stop_words)

    def fit(self, split: Split) -> None:
        """Compute W in closed form, in float64. Raises as `EASE.fit`, and DataError if there are no features."""
        self._refuse_without_memory()
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        users = self._user_features(split)
        self._refuse_without_memory(0 if users is None else users.shape[1])
        stacked = self._stacked(matrix, users, split)
        precision = self._inverse(torch.from_numpy((stacked.T @ stacked).toarray()))
        weights = precision.div_(-precision.diagonal().clone()).fill_diagonal_(0)
        own = self.num_items
        self.keep("weights", weights[:own, :own].contiguous())
        self.keep_history(recent(matrix, split.train, self.decay, self.half_life))
        if users is not None:
            self.keep("user_table", weights[own:, :own].contiguous())
            self.keep("user_columns", users.indices)
            self.keep("user_starts", users.indptr)
            self.keep("user_values", users.data)

    def _user_features(self, split: Split) -> sparse.csr_matrix | None:
        """Return v g (U, G), or None without a weight."""
        if not self.user_weight:
            return None
        return self.user_weight * vectors(user_columns(split), BlockWeights(1.0, 1.0, 1.0), split.name)

    def _stacked(self, matrix: sparse.csr_matrix, users: sparse.csr_matrix | None, split: Split) -> sparse.csr_matrix:
        """Return [[X, v G], [w F', 0]], (U + F, I + G), without the parts that have no weight."""
        blocks = [[matrix] if users is None else [matrix, users]]
        if self.weight:
            items = self.weight * vectors(item_columns(split), self.block_weights, split.name).T
            blocks.append([items] if users is None else [items, None])
        return sparse.csr_matrix(sparse.bmat(blocks, format="csr"))

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        scores = super().score(users)
        if getattr(self, "user_table", None) is None:
            return scores
        starts = self.get_buffer("user_starts")
        counts = starts[users + 1] - starts[users]
        shift = torch.repeat_interleave(starts[users] - (counts.cumsum(0) - counts), counts)
        entries = shift + torch.arange(len(shift), device=users.device)
        columns, values = (self.get_buffer(name)[entries] for name in ("user_columns", "user_values"))
        return scores + sum_rows(self.user_table, columns, counts, values)
