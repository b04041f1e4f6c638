"""Losses of two tasks: will they watch it (logits), and how will they rate it (predicted ratings)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, ValidationInfo
from torch import Tensor
from torch.nn import functional as F

from ncf.data.batch import Batch
from ncf.losses.base import JointLoss, refuse_ungrouped

Weight = Annotated[float, Field(ge=0)]


def _not_both_zero(weight: float, info: ValidationInfo) -> float:
    if weight == 0 and info.data.get("ranking") == 0:
        raise ValueError("expected loss.ranking or loss.rating above 0, as with both at 0 nothing is trained")
    return weight


LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "log": F.softplus,
    "sigmoid": torch.sigmoid,
}
"""Loss of a pair by the logit of its negative minus that of its positive, x: -log sigmoid(-x), or 1 - sigmoid(-x)."""


@dataclass(frozen=True, kw_only=True)
class BPRRating(JointLoss):
    """A positive should score above its negatives, and its rating be predicted: `ranking` BPR + `rating` squared error.

    Column 0 has the squared error of the positive, column j the loss of its pair with negative j: with link=log that of
    `BPR` (Rendle et al. 2009, section 4.1), with link=sigmoid the share of wrong pairs, made smooth, 1 - sigmoid(x_0 -
    x_j). With one negative a positive, both tasks have as many examples.
    """

    ranking: Weight
    rating: Annotated[Weight, AfterValidator(_not_both_zero)]
    link: Literal["log", "sigmoid"]

    def per_task(self, logits: Tensor, batch: Batch, predicted: Tensor | None = None) -> dict[str, Tensor]:
        """logits (B, 1+K), predicted ratings (B,) -> "ranking" (B, K), "rating" (B, 1), without weights."""
        refuse_ungrouped(logits)
        tasks = {"ranking": LINKS[self.link](logits[..., 1:] - logits[..., :1])}
        if predicted is None:
            return tasks
        assert batch.ratings is not None
        return tasks | {"rating": (predicted - batch.ratings).square().unsqueeze(-1)}

    def __call__(self, logits: Tensor, batch: Batch, predicted: Tensor | None = None) -> Tensor:
        """logits (B, 1+K), predicted ratings (B,) -> losses (B, 1+K)."""
        tasks = self.per_task(logits, batch, predicted)
        squared = tasks.get("rating", torch.zeros_like(logits[..., :1]))
        return torch.cat([_weighted(self.rating, squared), _weighted(self.ranking, tasks["ranking"])], dim=-1)


def _weighted(weight: float, losses: Tensor) -> Tensor:
    """Return losses (B, n) times `weight`; at 1 as they are, since a product's gradient is rounded another way."""
    return losses if weight == 1 else weight * losses
