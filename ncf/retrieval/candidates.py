"""The candidates that a list is chosen from: the best items of each user, best first."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ncf.evaluation.top import top


@dataclass(frozen=True)
class Candidates:
    """C items for each of B users, best first; a user may have fewer, and the places left over hold nothing.

    Attributes:
        users: (B,) int64.
        items: (B, C) int64; any item in a place that holds nothing.
        scores: (B, C), not increasing along a row, -inf in a place that holds nothing.
    """

    users: Tensor
    items: Tensor
    scores: Tensor

    @property
    def there(self) -> Tensor:
        """(B, C) bool: whether a place holds a candidate."""
        return self.scores > -torch.inf

    def relevance(self) -> Tensor:
        """Return scores scaled to [0, 1] for each user (B, C) float32: the best candidate has 1 and the last one 0.

        Where all are equal, as with a single candidate, and in places that hold nothing, it is 0. Scores of models
        differ in scale, and a weight such as lambda would mean something else for each.
        """
        there = self.there
        scores = self.scores.double()
        lowest = torch.where(there, scores, torch.inf).amin(1, keepdim=True)
        scaled = (scores - lowest) / (scores[:, :1] - lowest).clamp(min=torch.finfo(torch.float64).tiny)
        return torch.where(there, scaled, 0.0).float()

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return items and scores (B, K) at `positions` (B, K) as re-rankers give them; -inf where one is -1."""
        places = positions.clamp(min=0)
        scores = self.scores.gather(1, places).masked_fill(positions < 0, -torch.inf)
        return self.items.gather(1, places), scores


def best(users: Tensor, scores: Tensor, count: int) -> Candidates:
    """Return the `count` best of scores (B, I) without NaN, fewer if there are no more; -inf rules an item out."""
    values, items = top(scores, min(count, scores.shape[1]))
    return Candidates(users, items, values)
