"""Adam at less cost a step: one counter for all parameters, one operation for parameters laid out in one tensor."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)`, to the bit, at less cost a step: all parameters share one step counter.

    Small models spend a quarter of PyTorch's step on the bookkeeping of a dozen counters. `found_inf`, if set to a
    tensor () that holds 1, makes a step do nothing, without waiting for the device. After `lay_out`,
    `step_laid_out` takes the step in one operation on one tensor.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self.found_inf: Tensor | None = None
        self._flat: list[Tensor] = []
        self._count = torch.zeros(())

    def lay_out(self, values: Tensor, gradients: Tensor) -> None:
        """Move all parameters as one: they are views of `values` (N,), their gradients views of `gradients` (N,)."""
        parameters = self.param_groups[0]["params"]
        states = [self.state[p] or self._begin(p) for p in parameters]
        if not self._flat:
            self._count = torch.zeros_like(states[0]["step"])
        if not self._flat or self._flat[0] is not values:
            self._flat = [values, gradients, torch.zeros_like(values), torch.zeros_like(values)]
        self._count.copy_(states[0]["step"])
        for parameter, state in zip(parameters, states):
            place = parameter.storage_offset() - values.storage_offset()
            for name, flat in zip(("exp_avg", "exp_avg_sq"), self._flat[2:]):
                view = flat[place : place + parameter.numel()].view_as(parameter)
                state[name] = view.copy_(state[name])
            state["step"] = self._count

    def laid_out(self) -> list[Tensor]:
        """The tensors that a step changes or reads after `lay_out`."""
        return [*self._flat, self._count]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of `torch.optim.Optimizer`; the layout stays."""
        super().load_state_dict(state_dict)
        if self._flat:
            self.lay_out(*self._flat[:2])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of the parameters that have a gradient."""
        moved = [p for p in self.param_groups[0]["params"] if p.grad is not None]
        states = [self.state[p] or self._begin(p) for p in moved]
        for state in states:
            state["step"] = states[0]["step"]
        means, squares = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
        self._count_step(states[0]["step"])
        self._move([moved, [p.grad for p in moved], means, squares], [states[0]["step"]] * len(moved), self.found_inf)

    def step_laid_out(self) -> None:
        """What `step` does, by the flat tensors; without its hooks, which take longer than anything else here."""
        self._count_step(self._count)
        self._move([[tensor] for tensor in self._flat], [self._count], self.found_inf)

    def _count_step(self, count: Tensor) -> None:
        count += 1
        if self.found_inf is not None:
            count -= self.found_inf

    def _move(self, tensors: Sequence[list[Tensor]], counts: list[Tensor], found_inf: Tensor | None) -> None:
        """`tensors` are values, gradients, first and second moments; `counts` the steps of each, this one included."""
        (group,) = self.param_groups
        values, gradients, means, squares = tensors
        torch._fused_adam_(
            values,
            gradients,
            means,
            squares,
            [],
            counts,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=None,
            found_inf=found_inf,
        )

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class JointAdam:
    """The steps of several laid out `FusedAdam`s, to the bit: one operation for all that have the same settings."""

    def __init__(self, optimizers: Sequence[FusedAdam]) -> None:
        alike = defaultdict(list)
        for optimizer in optimizers:
            alike[repr({**optimizer.param_groups[0], "params": None})].append(optimizer)
        self._alike = list(alike.values())

    def step(self) -> None:
        """One update of all parameters, whatever `found_inf` holds."""
        for optimizers in self._alike:
            *tensors, counts = map(list, zip(*(optimizer.laid_out() for optimizer in optimizers)))
            torch._foreach_add_(counts, 1)
            optimizers[0]._move(tensors, counts, None)
