"""The optimisers that `optimizer=` picks from."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ncf.row_adam import row_adam


def adam(
    model: nn.Module, *, lr: Annotated[float, Field(gt=0)], weight_decay: Annotated[float, Field(ge=0)]
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), one fused kernel a step; `weight_decay` is an L2 penalty added to the gradient."""
    return torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": adam, "row_adam": row_adam}
