"""Losses: pure functions of logits (B, 1+K), column 0 the positive, that return one value an example (B, 1+K).

With x the logit, y the label, z = (2y-1) x and p = sigmoid(z) the probability given to the truth:

    BCE        -log p
    alpha-BCE  -a_t log p                 a_t = alpha for the positive, 1 - alpha for negatives
    focal      -a_t (1 - p)^gamma log p   (Lin et al. 2017, eq. 5)

All three are one kernel: focal with gamma 0 is alpha-BCE, and alpha-BCE with alpha 0.5 is BCE / 2, to the bit.
"""

import functools
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

Weight = float | Tensor
Gamma = Annotated[float, Field(ge=0)]
Alpha = Annotated[float, Field(gt=0, lt=1)] | Literal["balanced"]

_LINEAR_FROM = 40.0  # softplus(x) is x from here on, to the last bit of a double; exp(x) overflows a float from 88 on


class Loss(Protocol):
    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of `logits` (B, 1+K)."""
        ...


def _column_weights(logits: Tensor, positive: Weight, negative: Weight) -> Tensor:
    """The weight of each column of `logits` (..., 1+K): (1+K,), or (S, 1, 1+K) where the two are tensors (S, 1, 1)."""
    if isinstance(positive, Tensor) and isinstance(negative, Tensor):
        return torch.cat([positive, negative.expand(-1, -1, logits.shape[-1] - 1)], dim=-1)
    # torch.compile warns of caches, and needs none.
    constant = _constant_weights.__wrapped__ if torch.compiler.is_compiling() else _constant_weights
    return constant(logits.shape[-1], float(positive), float(negative), logits.dtype, logits.device)


@functools.lru_cache(maxsize=64)  # the same in every step, and at 253 logits a tenth of the loss
def _constant_weights(
    columns: int, positive: float, negative: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    weights = torch.full((columns,), negative, dtype=dtype, device=device)
    weights[0] = positive
    return weights


def _softplus_and_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Both of x, which is overwritten."""
    if torch.compiler.is_compiling():  # one exponential for both; uncompiled, that would be passes more, not fewer
        e, linear = x.exp(), x > _LINEAR_FROM
        return torch.where(linear, x, e.log1p()), torch.where(linear, 1.0, e / (1 + e))
    return F.softplus(x, threshold=_LINEAR_FROM), x.sigmoid_()


def focal_terms_and_slopes(logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> tuple[Tensor, Tensor]:
    """The terms of `focal_terms` and the derivative of each by its logit, in one pass: both (..., 1+K)."""
    weights = _column_weights(logits, positive, negative)
    against = logits.clone()  # -z
    against[..., 0].neg_()
    loss, q = _softplus_and_sigmoid(against)  # -log p, 1 - p
    if isinstance(gamma, float) and gamma == 0:
        slope = q
    else:
        # d/d(-z) [q^g * -log p] = q^g (g p (-log p) + q)
        focus = q**gamma
        slope = (1 - q).mul_(loss).mul_(gamma).add_(q).mul_(focus)
        loss *= focus
    slope *= weights
    slope[..., 0].neg_()  # d(-z)/dx: -1 for the positive, 1 for negatives
    return loss.mul_(weights), slope


class _FocalKernel(torch.autograd.Function):
    """Value and gradient in one pass over the logits; only the gradient is kept for the backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> Tensor:
        """Terms (..., 1+K) of logits (..., 1+K), as `focal_terms`."""
        loss, slope = focal_terms_and_slopes(logits, gamma, positive, negative)
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        if torch.is_grad_enabled():  # only under create_graph=True, where `slope` would pass for a constant
            raise NotImplementedError("this loss has no second derivative: use the formula without the kernel for one")
        (slope,) = ctx.saved_tensors
        return grad[0] * slope, None, None, None


def focal_terms(logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> Tensor:
    """w_t (1 - p)^gamma (-log p) for logits (..., 1+K): (..., 1+K), w_t = `positive` in column 0, else `negative`.

    The three settings are numbers, or tensors (S, 1, 1) for the logits (S, B, 1+K) of S stacked runs.
    Stable for any finite float32 logit. Differentiable once.
    """
    terms: Tensor = _FocalKernel.apply(logits, gamma, positive, negative)
    return terms


def terms_and_slopes(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of `logits` (B, 1+K) and their sum's derivative by each logit: both (B, 1+K), without a graph."""
    if hasattr(loss, "kernel"):  # of the focal family
        return focal_terms_and_slopes(logits.detach(), *loss.kernel(logits.shape[-1] - 1))
    with torch.enable_grad():
        logits = logits.clone().detach().requires_grad_()  # a copy: they may come out of inference mode
        terms = loss(logits)
        (slopes,) = torch.autograd.grad(terms.sum(), logits)
    return terms.detach(), slopes


def resolve_alpha(alpha: float | str, neg_ratio: int) -> float:
    """The weight of positives; "balanced" is K / (K + 1), which gives both classes the same total weight."""
    return neg_ratio / (neg_ratio + 1) if alpha == "balanced" else float(alpha)


@dataclass(frozen=True, kw_only=True)
class BCE:
    """Binary cross-entropy."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        return focal_terms(logits, *self.kernel(logits.shape[-1] - 1))

    def kernel(self, neg_ratio: int) -> tuple[float, float, float]:
        """gamma and the weights of a positive and of a negative, as `focal_terms` takes them."""
        return 0.0, 1.0, 1.0


@dataclass(frozen=True, kw_only=True)
class AlphaBCE:
    """Class-weighted BCE: alpha on the positive, 1 - alpha on each negative."""

    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        return focal_terms(logits, *self.kernel(logits.shape[-1] - 1))

    def kernel(self, neg_ratio: int) -> tuple[float, float, float]:
        """gamma and the weights of a positive and of a negative, as `focal_terms` takes them."""
        return Focal(gamma=0.0, alpha=self.alpha).kernel(neg_ratio)


@dataclass(frozen=True, kw_only=True)
class Focal:
    """Focal loss (Lin et al. 2017, eq. 5): examples already well fitted count less, by (1 - p)^gamma."""

    gamma: Gamma
    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        return focal_terms(logits, *self.kernel(logits.shape[-1] - 1))

    def kernel(self, neg_ratio: int) -> tuple[float, float, float]:
        """gamma and the weights of a positive and of a negative, as `focal_terms` takes them."""
        alpha = resolve_alpha(self.alpha, neg_ratio)
        return self.gamma, alpha, 1 - alpha


@dataclass(frozen=True, kw_only=True)
class FocalClamped:
    """The published code's mistake, kept on purpose: logits taken for probabilities, clamped to [1e-7, 1 - 1e-7].

    There is no gradient outside (0, 1). With gamma 0 it is the published alpha-BCE.
    """

    gamma: Gamma
    alpha: Alpha

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        alpha = resolve_alpha(self.alpha, logits.shape[-1] - 1)
        p = logits.clamp(1e-7, 1 - 1e-7)
        p = torch.cat([p[..., :1], 1 - p[..., 1:]], dim=-1)
        weight = torch.full_like(p, 1 - alpha)
        weight[..., 0] = alpha
        return -weight * (1 - p) ** self.gamma * p.log()


@dataclass(frozen=True, kw_only=True)
class WeightedBCE:
    """BCE with each positive counted `positive_weight` times.

    A weight by an item's frequency is not among its settings: a loss sees logits, not which items they belong to.
    sampler=popularity weights negatives by frequency through how often they are drawn.
    """

    positive_weight: Annotated[float, Field(gt=0)]

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        return focal_terms(logits, *self.kernel(logits.shape[-1] - 1))

    def kernel(self, neg_ratio: int) -> tuple[float, float, float]:
        """gamma and the weights of a positive and of a negative, as `focal_terms` takes them."""
        return 0.0, self.positive_weight, 1.0


@dataclass(frozen=True, kw_only=True)
class GBCE:
    """Generalised BCE (Petrov and Macdonald 2023, eq. 11 and 17): -beta log p of the positive, -log p of negatives.

    beta = t (r - 1) + 1, with r = K / candidates the share of negatives that was drawn: t 0 is BCE, and t 1 undoes
    the overconfidence that drawing few negatives gives.
    """

    t: Annotated[float, Field(ge=0, le=1)]
    candidates: Annotated[int, Field(ge=1)]

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of logits (B, 1+K)."""
        return focal_terms(logits, *self.kernel(logits.shape[-1] - 1))

    def kernel(self, neg_ratio: int) -> tuple[float, float, float]:
        """gamma and the weights of a positive and of a negative, as `focal_terms` takes them."""
        drawn = min(1.0, neg_ratio / self.candidates)
        return 0.0, self.t * (drawn - 1) + 1, 1.0


@dataclass(frozen=True, kw_only=True)
class BPR:
    """Bayesian personalised ranking (Rendle et al. 2009, section 4.1): -log sigmoid(x_0 - x_j) for each negative j."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Losses (B, 1+K) of logits (B, 1+K): a pair's stands at its negative, column 0 is zero."""
        pairs = F.softplus(logits[..., 1:] - logits[..., :1])
        return torch.cat([torch.zeros_like(logits[..., :1]), pairs], dim=-1)


@dataclass(frozen=True, kw_only=True)
class SampledSoftmax:
    """-log of the positive's softmax among itself and its negatives.

    With `candidates` C, each negative stands for C / K items: the logQ correction of uniform draws, which are expected
    to hold an item K / C times (Bengio and Senecal 2008; Yi et al. 2019). None: a negative stands for itself. Other
    samplers would need each item's own logQ, which a loss, seeing no items, cannot know.
    """

    candidates: Annotated[int, Field(ge=1)] | None

    def __call__(self, logits: Tensor) -> Tensor:
        """Losses (B, 1+K) of logits (B, 1+K): a group's stands at its positive, the other columns are zero."""
        negatives = logits[..., 1:]
        if self.candidates is not None:
            negatives = negatives + math.log(self.candidates / negatives.shape[-1])
        total = torch.cat([logits[..., :1], negatives], dim=-1).logsumexp(-1, keepdim=True)
        return torch.cat([total - logits[..., :1], torch.zeros_like(negatives)], dim=-1)


LOSSES: dict[str, type] = {
    "bce": BCE,
    "alpha_bce": AlphaBCE,
    "focal": Focal,
    "focal_clamped": FocalClamped,
    "weighted_bce": WeightedBCE,
    "gbce": GBCE,
    "bpr": BPR,
    "sampled_softmax": SampledSoftmax,
}
