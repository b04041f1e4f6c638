"""The same list for everyone: the items with the most training positives."""

import torch
from torch import Tensor

from ncf.data.split import Split
from ncf.models.non_gradient import NonGradientRecommender


class Popularity(NonGradientRecommender):
    """score(u, i) = how many training positives item i has."""

    counts: Tensor

    def __init__(self, num_users: int, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items

    def fit(self, split: Split) -> None:
        """Count."""
        counts = torch.bincount(torch.from_numpy(split.train.items), minlength=self.num_items)
        self.keep("counts", counts.float())

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I), in positives."""
        return self.counts.expand(users.shape[0], -1)
