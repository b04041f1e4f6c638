"""A weighted hybrid of two recommenders (Burke 2002): their scores, made comparable user by user, are averaged."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ncf.core.config import component
from ncf.core.roles import MACHINE
from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.models.base import Recommender
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender

Scale = Literal["zscore", "minmax"]
Parts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=2), MACHINE]
Sources = Annotated[list[dict[str, Any]], Field(min_length=2, max_length=2)]


class Hybrid(NonGradientRecommender):
    """score(u, i) = alpha a(u, i) + (1 - alpha) b(u, i), with a and b the parts' scores after `scale`.

    A model reads no file: `ncf.runs.hybrids` finds the parts in their run folders, calls `take`, and chooses `alpha`.
    A finished hybrid holds the weights of both parts, and does not need their folders.
    """

    scores_cold: ClassVar[bool] = True  # on such a split, the parts could not be runs of a model that does not
    weight_of_first: Tensor  # (1,)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        parts: Parts,
        sources: Sources,
        scale: Scale,
        alpha: Annotated[float, Field(ge=0, le=1)] | None,
    ) -> None:
        super().__init__()
        self.folders, self.scale, self.alpha = parts, scale, alpha
        self.parts = nn.ModuleList([_part(source)(num_users, num_items) for source in sources])
        self.taken = False

    def take(self, weights: Sequence[Mapping[str, Tensor]], alpha: float) -> None:
        """Load the state dicts of both parts, tensors (...) by name, and set the weight of the first."""
        for part, own in zip(self.parts, weights, strict=True):
            if isinstance(part, NonGradientRecommender):
                part.restore(own)
            else:
                part.load_state_dict(own)
            part.eval()
        self.keep("weight_of_first", torch.tensor([float(alpha)]))
        self.taken = True

    def restore(self, arrays: Mapping[str, Tensor]) -> None:
        """Load the state dict of a finished hybrid, tensors (...) by name."""
        weights = [
            {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            for prefix in ("parts.0.", "parts.1.")
        ]
        self.take(weights, float(arrays["weight_of_first"]))

    def fit(self, split: Split) -> None:
        """Do nothing: the parts are trained already. Raises ConfigError if they are not there."""
        if not self.taken:
            raise ConfigError("model=hybrid: expected the weights of its two parts, found none")

    @property
    def chosen(self) -> dict[str, float]:
        """What was chosen on validation, or given."""
        return {"alpha": round(float(self.weight_of_first), 6)}

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self._mixed([part.score(users) for part in self._recommenders()])

    @torch.no_grad()
    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I), if both parts can. Raises DataError."""
        return self._mixed([part.fold_in(histories) for part in self._recommenders()])

    def _recommenders(self) -> list[Recommender]:
        return list(self.parts)  # type: ignore[arg-type]

    def _mixed(self, scores: list[Tensor]) -> Tensor:
        first, second = (scaled(own, self.scale) for own in scores)
        weight = self.weight_of_first
        return weight * first + (1 - weight) * second


def _part(source: Mapping[str, Any]) -> partial[Recommender]:
    """Return the factory of one part. Raises ConfigError for what is no model's settings."""
    from ncf.models import MODELS

    settings = source.get("model")
    if not isinstance(settings, Mapping):
        raise ConfigError("model.sources: expected the settings of a model in each; they are computed, not set")
    return component("model.sources.model", MODELS, settings)


def scaled(scores: Tensor, scale: Scale) -> Tensor:
    """Return scores (B, I) with mean 0 and standard deviation 1 for each user ("zscore"), or from 0 to 1 ("minmax").

    A user whose scores are all equal gets zeros. What is -inf counts as the user's lowest score, and NaN stays.
    """
    ruled_out = scores == -torch.inf
    if ruled_out.any():
        lowest = scores.masked_fill(ruled_out, torch.inf).amin(1, keepdim=True)
        scores = torch.where(ruled_out, lowest, scores)
    if not scores.numel():
        return scores
    # By a power of two, which rounds nothing, so that no square is too large or too small for the type.
    exponent = torch.frexp(scores.abs().amax(1, keepdim=True)).exponent.clamp(-126, 126)
    scores = torch.ldexp(scores, -exponent)
    low = scores.mean(1, keepdim=True) if scale == "zscore" else scores.amin(1, keepdim=True)
    shifted = scores - low
    spread = shifted.square().mean(1, keepdim=True).sqrt() if scale == "zscore" else shifted.amax(1, keepdim=True)
    flat = scores.amax(1, keepdim=True) == scores.amin(1, keepdim=True)
    return torch.where(flat, 0.0, shifted / spread.clamp(min=torch.finfo(scores.dtype).tiny))
