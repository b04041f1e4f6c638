"""The optimizers by name, for `optimizer=`, with the gradient clipping and learning-rate schedule that they share."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ncf.core.registry import Registry
from ncf.core.roles import Role
from ncf.training.fast.adam import FusedAdam, FusedAdamW
from ncf.training.fast.row_adam import row_adam
from ncf.training.schedules import Decay, Period, Schedule, Shape, Warmup

Rate = Annotated[float, Field(gt=0)]
Penalty = Annotated[float, Field(ge=0)]
ClipNorm = Annotated[Annotated[float, Field(gt=0)] | None, Role(since=None)]


def regulated(
    optimizer: torch.optim.Optimizer, clip_norm: float | None, schedule: Schedule | None
) -> torch.optim.Optimizer:
    """Return `optimizer`, which training steps then run with clipped gradients and at the rates of `schedule`.

    Args:
        clip_norm: largest norm of all gradients together; larger ones are scaled down to it. None: no clipping.
        schedule: None: the rate is constant.
    """
    optimizer.defaults["clip_norm"] = clip_norm
    optimizer.defaults["schedule"] = None if schedule is None or schedule.constant else schedule
    return optimizer


def _adaptive(kind: type[FusedAdam]) -> Callable[..., torch.optim.Optimizer]:
    """Return the component that makes an optimizer of this kind: one fused kernel per step."""

    def build(
        model: nn.Module,
        *,
        lr: Rate,
        weight_decay: Penalty,
        clip_norm: ClipNorm,
        schedule: Shape,
        warmup: Warmup,
        period: Period,
        decay: Decay,
    ) -> torch.optim.Optimizer:
        """Return the optimizer of the model's parameters."""
        optimizer = kind(model.parameters(), lr, weight_decay)
        return regulated(optimizer, clip_norm, Schedule(lr, schedule, warmup, period, decay))

    return build


adam = _adaptive(FusedAdam)
"""Adam (Kingma and Ba 2015); `weight_decay` adds an L2 penalty to the gradient."""

adamw = _adaptive(FusedAdamW)
"""Adam with decoupled weight decay (Loshchilov and Hutter 2019): a step shrinks weights by lr weight_decay."""


def sgd(
    model: nn.Module,
    *,
    lr: Rate,
    momentum: Annotated[float, Field(ge=0, lt=1)],
    nesterov: bool,
    weight_decay: Penalty,
    clip_norm: ClipNorm,
    schedule: Shape,
    warmup: Warmup,
    period: Period,
    decay: Decay,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, as in PyTorch; `weight_decay` adds an L2 penalty to the gradient.

    With `nesterov` (Sutskever et al. 2013) the gradient is added to the momentum once more; without momentum it has no
    effect.
    """
    ahead = nesterov and momentum > 0  # PyTorch refuses nesterov without momentum, where the two are equal
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=weight_decay, nesterov=ahead, fused=True)
    return regulated(optimizer, clip_norm, Schedule(lr, schedule, warmup, period, decay))


OPTIMIZERS = Registry("optimizer", {"adam": adam, "adamw": adamw, "sgd": sgd, "row_adam": row_adam})
