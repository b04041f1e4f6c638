"""Losses of logits and labels of any shape: `bce(logits, labels)`, for arrays of one's own.

They compute what the classes in `pointwise` compute on groups (B, 1+K), whose labels are 1 in column 0 and 0 elsewhere,
and can be differentiated twice. Logits and labels may be tensors or NumPy arrays; the result is a tensor.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ncf.core.config import bind
from ncf.core.tensors import tensor_of
from ncf.errors import ConfigError
from ncf.losses.pointwise import Alpha, Focal, Gamma

Array = Tensor | np.ndarray
Reduction = Literal["mean", "sum", "none"]


def bce(logits: Array, labels: Array, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy -log p, p the probability of the true label.

    Args:
        logits: (...), floating-point.
        labels: (...), of the shape of `logits`: 1 for positives, 0 for negatives.
        reduction: "mean" or "sum" over all logits: (); "none": (...).

    Raises:
        ConfigError: the shapes differ, a label is neither 0 nor 1, or `reduction` is none of the three.
    """
    x, y = _tensors(logits, labels)
    return _reduced(-F.logsigmoid(_signed(x, y)), reduction)


def alpha_bce(logits: Array, labels: Array, alpha: Alpha, reduction: Reduction = "mean") -> Tensor:
    """Class-weighted BCE -a_t log p, a_t = alpha for positives and 1 - alpha for negatives.

    Args:
        logits: (...), floating-point.
        labels: (...), of the shape of `logits`: 1 for positives, 0 for negatives.
        alpha: above 0 and below 1; "balanced": the share of negatives, which gives both classes the same total weight.
        reduction: as for `bce`.

    Raises:
        ConfigError: as `bce`; or `alpha` is out of range.
    """
    return focal(logits, labels, 0.0, alpha, reduction)


def focal(logits: Array, labels: Array, gamma: Gamma, alpha: Alpha, reduction: Reduction = "mean") -> Tensor:
    """Focal loss -a_t (1 - p)^gamma log p (Lin et al. 2017, eq. 5).

    Args:
        logits: (...), floating-point.
        labels: (...), of the shape of `logits`: 1 for positives, 0 for negatives.
        gamma: 0 or more; 0 is `alpha_bce`.
        alpha: as for `alpha_bce`.
        reduction: as for `bce`.

    Raises:
        ConfigError: as `bce`; or `gamma` or `alpha` is out of range.
    """
    bind("", Focal, {"gamma": gamma, "alpha": alpha})  # checks both
    x, y = _tensors(logits, labels)
    z = _signed(x, y)
    positive = (
        (~y).to(x.dtype).mean() if alpha == "balanced" else torch.as_tensor(alpha, dtype=x.dtype, device=x.device)
    )
    weights = -torch.where(y, positive, 1 - positive)
    if gamma > 0:  # else the factor is 1, which 0 times the infinite logarithm of an infinite logit would not give
        weights = weights * (gamma * F.logsigmoid(-z)).exp()  # (1 - p)^gamma, without 0^(gamma - 1) in its gradient
    return _reduced(weights * F.logsigmoid(z), reduction)


def _tensors(logits: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Return the logits and whether each label is 1, both (...). Raises ConfigError if they do not fit."""
    x, y = _tensor("logits", logits), _tensor("labels", labels)
    if x.shape != y.shape:
        raise ConfigError(
            f"labels: expected the shape of the logits, {tuple(x.shape)}, got {tuple(y.shape)}; the losses by name, "
            "such as Focal, take groups (B, 1+K) without labels"
        )
    if not x.is_floating_point():
        raise ConfigError(f"logits: expected floating-point numbers, got {x.dtype}")
    positive = y == 1
    if not bool((positive | (y == 0)).all()):
        raise ConfigError(f"labels: expected 0 and 1 only, got {y[~positive & (y != 0)][0].item()}")
    return x, positive.to(x.device)


def _tensor(name: str, values: Any) -> Tensor:
    if not isinstance(values, Tensor | np.ndarray):
        raise ConfigError(f"{name}: expected a torch tensor or NumPy array, got {type(values).__name__}")
    return tensor_of(name, values, ConfigError)


def _signed(logits: Tensor, positive: Tensor) -> Tensor:
    """Return the logit of the true label, (...)."""
    return torch.where(positive, logits, -logits)


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"reduction: expected mean, sum or none, got {reduction!r}")
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
