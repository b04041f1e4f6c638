"""Popularity baseline: everyone gets the same list, the items with the most training positives."""

import torch
from torch import Tensor

from ncf.data.split import Split
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender


class Popularity(NonGradientRecommender):
    """score(u, i) = number of training positives of item i."""

    counts: Tensor  # (I,)

    def __init__(self, num_users: int, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items

    def fit(self, split: Split) -> None:
        """Count the training positives of each item."""
        counts = torch.bincount(torch.from_numpy(split.train.items), minlength=self.num_items)
        self.keep("counts", counts.float())

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I): counts of positives."""
        return self.counts.expand(users.shape[0], -1)

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I): the same for everyone."""
        return self.counts.expand(len(histories.counts), -1)
