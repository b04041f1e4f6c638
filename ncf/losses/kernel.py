"""Loss values and logit gradients for training, computed in one fused pass for the focal family.

The kernel computes w (1 - p)^gamma (-log p) and its derivative: gamma 0 is class-weighted BCE, and equal weights of 0.5
give BCE / 2, to the bit. It is stable for any finite float32 logit. Steps call `losses_and_logit_grad`; torch.compile
needs the differentiable forms `fused_per_example` and `focal_losses`.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ncf.data.batch import Batch
from ncf.losses import AnyLoss, FocalFamily, per_example

Weight = float | Tensor

_LINEAR_FROM = 40.0  # from here on softplus(x) = x in float64; exp(x) overflows float32 from 88 on


def losses_and_logit_grad(loss: AnyLoss, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the losses of `logits` (B, 1+K) and the gradient of their sum by the logits: both (B, 1+K), detached."""
    if isinstance(loss, FocalFamily):
        own = loss.kernel_arguments(logits.shape[-1] - 1)
        return focal_kernel(logits.detach(), own.gamma, own.positive, own.negative)
    with torch.enable_grad():
        logits = logits.clone().detach().requires_grad_()  # a copy, as inference tensors cannot require gradients
        losses = per_example(loss, logits, batch)
        (logit_grad,) = torch.autograd.grad(losses.sum(), logits)
    return losses.detach(), logit_grad


def fused_per_example(loss: AnyLoss, logits: Tensor, batch: Batch) -> Tensor:
    """Return per-example losses (B, 1+K) like `per_example`, by the fused kernel for the focal family."""
    if isinstance(loss, FocalFamily):
        own = loss.kernel_arguments(logits.shape[-1] - 1)
        return focal_losses(logits, own.gamma, own.positive, own.negative)
    return per_example(loss, logits, batch)


def focal_kernel(logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> tuple[Tensor, Tensor]:
    """Return `focal_losses` and the derivative of each with respect to its logit, in one pass: both (..., 1+K)."""
    weights = _column_weights(logits, positive, negative)
    minus_z = logits.clone()
    minus_z[..., 0].neg_()
    loss, q = _softplus_and_sigmoid(minus_z)  # -log p, 1 - p
    if isinstance(gamma, float) and gamma == 0:
        logit_grad = q
    else:
        # with q = 1 - p and g = gamma: d/d(-z) [q^g * -log p] = q^g (g p (-log p) + q)
        focus = q**gamma
        logit_grad = (1 - q).mul_(loss).mul_(gamma).add_(q).mul_(focus)
        loss *= focus
    logit_grad *= weights
    logit_grad[..., 0].neg_()  # d(-z)/dx: -1 for the positive, 1 for negatives
    return loss.mul_(weights), logit_grad


def focal_losses(logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> Tensor:
    """logits (..., 1+K) -> w (1 - p)^gamma (-log p), (..., 1+K), with w = `positive` in column 0, else `negative`.

    The other arguments are numbers, or tensors (S, 1, 1) for the logits (S, B, 1+K) of S stacked runs.
    Differentiable once: a second derivative raises RuntimeError (the formulas in `pointwise` have one).
    """
    losses: Tensor = _FocalKernel.apply(logits, gamma, positive, negative)
    return losses


class _FocalKernel(torch.autograd.Function):
    """Computes value and gradient in one pass over the logits; only the gradient is kept for the backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, gamma: Weight, positive: Weight, negative: Weight) -> Tensor:
        """logits (..., 1+K) -> losses (..., 1+K), as in `focal_losses`."""
        losses, logit_grad = focal_kernel(logits, gamma, positive, negative)
        ctx.save_for_backward(logit_grad)
        return losses

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient with respect to the losses (..., 1+K) -> with respect to the logits (..., 1+K)."""
        if torch.is_grad_enabled():  # create_graph=True, which would treat `logit_grad` as a constant
            raise RuntimeError("the fused kernel has no second derivative; call the loss itself instead")
        (logit_grad,) = ctx.saved_tensors
        return grad[0] * logit_grad, None, None, None


def _column_weights(logits: Tensor, positive: Weight, negative: Weight) -> Tensor:
    """Return the weight of each column of `logits` (..., 1+K): (1+K,), or (S, 1, 1+K) from weights (S, 1, 1)."""
    if isinstance(positive, Tensor) and isinstance(negative, Tensor):
        return torch.cat([positive, negative.expand(-1, -1, logits.shape[-1] - 1)], dim=-1)
    # torch.compile warns about lru_cache, and does not need it.
    constant = _constant_weights.__wrapped__ if torch.compiler.is_compiling() else _constant_weights
    return constant(logits.shape[-1], float(positive), float(negative), logits.dtype, logits.device)


@functools.lru_cache(maxsize=64)  # rebuilding them would take a tenth of the loss's time at 253 logits
def _constant_weights(
    columns: int, positive: float, negative: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    weights = torch.full((columns,), negative, dtype=dtype, device=device)
    weights[0] = positive
    return weights


def _softplus_and_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return softplus(x) and sigmoid(x); overwrites x."""
    if torch.compiler.is_compiling():  # one exponential for both; uncompiled, that takes more passes, not fewer
        e, linear = x.exp(), x > _LINEAR_FROM
        return torch.where(linear, x, e.log1p()), torch.where(linear, 1.0, e / (1 + e))
    return F.softplus(x, threshold=_LINEAR_FROM), x.sigmoid_()
