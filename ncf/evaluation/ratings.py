"""Errors of predicted ratings on held-out ones: means over ratings, not over users, as usual for rating prediction."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ncf.data.split import Pairs, Split
from ncf.errors import DataError, TrainingError

Rater = Callable[[Tensor, Tensor], Tensor]
"""users (B,) and items (B,) int64 -> predicted ratings (B,)."""

ERRORS: dict[str, Callable[[Tensor], float]] = {
    "mse": lambda residuals: float(residuals.square().mean()),
    "rmse": lambda residuals: float(residuals.square().mean().sqrt()),
    "mae": lambda residuals: float(residuals.abs().mean()),
}
"""The rating metrics by name, each of the residuals (N,) float64, predicted - true. Of all, less is better."""

_AT_ONCE = 2**14  # ratings


@dataclass(frozen=True)
class HeldOutRatings:
    """`users`, `items` (N,) int64 and `ratings` (N,) float32 to predict, on one device."""

    users: Tensor
    items: Tensor
    ratings: Tensor

    @classmethod
    def of(cls, part: Pairs, device: torch.device | str) -> "HeldOutRatings":
        """Return those of a part of a split. Raises DataError if it has no ratings."""
        if part.ratings is None or not len(part):
            raise DataError("ratings: expected held-out positives with ratings, found none")
        columns = (torch.from_numpy(values).to(device) for values in (part.users, part.items, part.ratings))
        return cls(*columns)


@torch.no_grad()
def rating_errors(rate: Rater, held_out: HeldOutRatings) -> dict[str, float]:
    """Map "mse", "rmse" and "mae" to the errors of `rate`. Raises TrainingError if a predicted rating is not finite."""
    pairs = zip(held_out.users.split(_AT_ONCE), held_out.items.split(_AT_ONCE))
    predicted = torch.cat([rate(users, items) for users, items in pairs]).double()
    if not predicted.isfinite().all():
        raise TrainingError("rate: expected finite ratings, got NaN or inf")
    residuals = (predicted - held_out.ratings.double()).cpu()
    return {name: error(residuals) for name, error in ERRORS.items()}


def refuse_without_ratings(split: Split) -> None:
    """Raise DataError unless the training positives have ratings, and these differ: a constant teaches nothing."""
    ratings = split.train.ratings
    if ratings is None:
        raise DataError(f"{split.name}: expected ratings, which this loss learns, found none")
    if ratings.min() == ratings.max():
        raise DataError(
            f"{split.name}: expected ratings that differ, which this loss learns, found {ratings[0]:g} in all "
            f"{len(ratings)} training positives; data.threshold=null keeps every rating, data.rating names their column"
        )
