"""The optimizers by name, for `optimizer=`."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ncf.core.registry import Registry
from ncf.training.fast.adam import FusedAdam
from ncf.training.fast.row_adam import row_adam


def adam(
    model: nn.Module, *, lr: Annotated[float, Field(gt=0)], weight_decay: Annotated[float, Field(ge=0)]
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), one fused kernel per step; `weight_decay` adds an L2 penalty to the gradient."""
    return FusedAdam(model.parameters(), lr, weight_decay)


OPTIMIZERS = Registry("optimizer", {"adam": adam, "row_adam": row_adam})
