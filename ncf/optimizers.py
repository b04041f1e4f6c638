"""The optimisers that `optimizer=` picks from."""

from collections.abc import Callable, Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ncf.row_adam import row_adam


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)`, to the bit, at less cost a step: all parameters share one step counter.

    Small models spend a quarter of PyTorch's step on the bookkeeping of a dozen counters. `found_inf`, if set to a
    tensor () that holds 1, makes a step do nothing, without waiting for the device.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of the parameters that have a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            states = [self.state[p] or self._begin(p) for p in moved]
            count = states[0]["step"]
            count += 1 if self.found_inf is None else 1 - self.found_inf
            for state in states:
                state["step"] = count
            torch._fused_adam_(
                moved,
                [p.grad for p in moved],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [count] * len(moved),
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
                grad_scale=None,
                found_inf=self.found_inf,
            )

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


def adam(
    model: nn.Module, *, lr: Annotated[float, Field(gt=0)], weight_decay: Annotated[float, Field(ge=0)]
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), one fused kernel a step; `weight_decay` is an L2 penalty added to the gradient."""
    return FusedAdam(model.parameters(), lr, weight_decay)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": adam, "row_adam": row_adam}
