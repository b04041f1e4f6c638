"""Pointwise losses: BCE and its relatives.

With x the logit, y the label, z = (2y-1) x and p = sigmoid(z) the probability of the true label:

    BCE        -log p
    alpha-BCE  -a_t log p                 a_t = alpha for the positive, 1 - alpha for negatives
    focal      -a_t (1 - p)^gamma log p   (Lin et al. 2017, eq. 5)
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ncf.core.balance import resolve_alpha
from ncf.data.batch import Batch
from ncf.losses.base import BatchLoss, FocalFamily, KernelArguments, Needed, refuse_ungrouped

Gamma = Annotated[float, Field(ge=0)]
Alpha = Annotated[float, Field(gt=0, lt=1)] | Literal["balanced"]


def signed(logits: Tensor) -> Tensor:
    """logits (..., 1+K) -> z (..., 1+K), the logit of the true label: x for the positive, -x for a negative."""
    refuse_ungrouped(logits)
    return torch.cat([logits[..., :1], -logits[..., 1:]], dim=-1)


def weighted(losses: Tensor, positive: float, negative: float) -> Tensor:
    """Multiply column 0 of `losses` (..., 1+K) by `positive` and the others by `negative`."""
    return torch.cat([positive * losses[..., :1], negative * losses[..., 1:]], dim=-1)


@dataclass(frozen=True, kw_only=True)
class BCE(FocalFamily):
    """Binary cross-entropy."""

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -log p."""
        return -F.logsigmoid(signed(logits))

    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return gamma 0 and weights of 1."""
        return KernelArguments(0.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class AlphaBCE(FocalFamily):
    """Class-weighted BCE: alpha on the positive, 1 - alpha on each negative."""

    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -a_t log p."""
        z = signed(logits)
        alpha = resolve_alpha(self.alpha, logits.shape[-1] - 1)
        return weighted(-F.logsigmoid(z), alpha, 1 - alpha)

    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return the arguments of focal loss with gamma 0."""
        return Focal(gamma=0.0, alpha=self.alpha).kernel_arguments(neg_ratio)


@dataclass(frozen=True, kw_only=True)
class Focal(FocalFamily):
    """Focal loss (Lin et al. 2017, eq. 5): (1 - p)^gamma down-weights well-classified examples."""

    gamma: Gamma
    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -a_t (1 - p)^gamma log p."""
        z = signed(logits)
        alpha = resolve_alpha(self.alpha, logits.shape[-1] - 1)
        focus = (self.gamma * F.logsigmoid(-z)).exp()  # (1 - p)^gamma, without 0^(gamma - 1) in its gradient
        return weighted(-focus * F.logsigmoid(z), alpha, 1 - alpha)

    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return gamma, alpha and 1 - alpha."""
        alpha = resolve_alpha(self.alpha, neg_ratio)
        return KernelArguments(self.gamma, alpha, 1 - alpha)


@dataclass(frozen=True, kw_only=True)
class FocalClamped:
    """The published code's mistake, kept on purpose: logits used as probabilities, clamped to [1e-7, 1 - 1e-7].

    The gradient is zero outside that interval. With gamma 0 it is the published alpha-BCE. The fused kernel cannot
    compute it, so it is not of the focal family.
    """

    gamma: Gamma
    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -a_t (1 - p)^gamma log p, p the clamped logit or 1 minus it."""
        refuse_ungrouped(logits)
        alpha = resolve_alpha(self.alpha, logits.shape[-1] - 1)
        p = logits.clamp(1e-7, 1 - 1e-7)
        p = torch.cat([p[..., :1], 1 - p[..., 1:]], dim=-1)
        weight = torch.full_like(p, 1 - alpha)
        weight[..., 0] = alpha
        return -weight * (1 - p) ** self.gamma * p.log()


@dataclass(frozen=True, kw_only=True)
class WeightedBCE(FocalFamily):
    """BCE with weight `positive_weight` on each positive."""

    positive_weight: Annotated[float, Field(gt=0)]

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -w log p."""
        return weighted(-F.logsigmoid(signed(logits)), self.positive_weight, 1.0)

    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return gamma 0 and the weight of positives."""
        return KernelArguments(0.0, self.positive_weight, 1.0)


@dataclass(frozen=True, kw_only=True)
class ItemWeightedBCE(BatchLoss):
    """BCE with more weight on positives of rare items: positive_weight (mean frequency / the item's)^power.

    Frequencies are training positives. Power 0 is `WeightedBCE`; with power 1 all items have the same total weight as
    positives, and the mean weight of a positive is `positive_weight`.
    """

    needs: ClassVar[frozenset[Needed]] = frozenset({"frequencies"})

    positive_weight: Annotated[float, Field(gt=0)]
    power: Annotated[float, Field(ge=0, le=4)]

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -w log p of the positive, -log p of negatives."""
        losses = -F.logsigmoid(signed(logits))
        assert batch.frequencies is not None
        frequencies = batch.frequencies.to(logits.dtype)  # else compiled code, which fuses this, would round otherwise
        weights = (self.positive_weight * frequencies**-self.power).unsqueeze(-1)
        return torch.cat([weights * losses[..., :1], losses[..., 1:]], dim=-1)


@dataclass(frozen=True, kw_only=True)
class GBCE(FocalFamily):
    """Generalised BCE (Petrov and Macdonald 2023, eq. 11 and 17): -beta log p of the positive, -log p of negatives.

    beta = t (r - 1) + 1, with r = K / candidates the sampling rate of negatives: t = 0 is BCE, and t = 1 removes the
    overconfidence that comes from sampling few negatives.
    """

    t: Annotated[float, Field(ge=0, le=1)]
    candidates: Annotated[int, Field(ge=1)]

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): -beta log p of the positive, -log p of negatives."""
        return weighted(-F.logsigmoid(signed(logits)), self.beta(logits.shape[-1] - 1), 1.0)

    def beta(self, neg_ratio: int) -> float:
        """Return the weight of the positive, for `neg_ratio` negatives per positive."""
        sampling_rate = min(1.0, neg_ratio / self.candidates)
        return self.t * (sampling_rate - 1) + 1

    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return gamma 0 and beta, the weight of positives."""
        return KernelArguments(0.0, self.beta(neg_ratio), 1.0)
