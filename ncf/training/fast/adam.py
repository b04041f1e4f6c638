"""Adam with less overhead: one step counter for all parameters, one operation if they lie in a single tensor."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def _uncompiled(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of PyTorch as it is under its `_disable_dynamo`, whose first call imports the compiler: 1 s."""
    plain: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return plain


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)`, equal to the bit, with one step counter shared by all parameters.

    For small models, PyTorch spends a quarter of its step on a dozen counters. While the tensor `found_inf` () holds 1,
    steps do nothing, without waiting for the device. After `lay_out`, `step_laid_out` updates all parameters in one
    operation on one tensor.
    """

    _kernel = staticmethod(torch._fused_adam_)
    add_param_group = _uncompiled(torch.optim.Optimizer.add_param_group)
    state_dict = _uncompiled(torch.optim.Optimizer.state_dict)
    zero_grad = _uncompiled(torch.optim.Optimizer.zero_grad)

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self.found_inf: Tensor | None = None
        self._flat: list[Tensor] = []
        self._count = torch.zeros(())

    def lay_out(self, values: Tensor, gradients: Tensor) -> None:
        """Use one flat tensor: the parameters are views of `values` (N,), their gradients views of `gradients` (N,)."""
        parameters = self.param_groups[0]["params"]
        states = [self.state[p] or self._new_state(p) for p in parameters]
        if not self._flat:
            self._count = torch.zeros_like(states[0]["step"])
        if not self._flat or self._flat[0] is not values:
            self._flat = [values, gradients, torch.zeros_like(values), torch.zeros_like(values)]
        self._count.copy_(states[0]["step"])
        for parameter, state in zip(parameters, states):
            offset = parameter.storage_offset() - values.storage_offset()
            for name, flat in zip(("exp_avg", "exp_avg_sq"), self._flat[2:]):
                view = flat[offset : offset + parameter.numel()].view_as(parameter)
                state[name] = view.copy_(state[name])
            state["step"] = self._count

    def laid_out(self) -> list[Tensor]:
        """Return the tensors that a step reads or changes after `lay_out`."""
        return [*self._flat, self._count]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `torch.optim.Optimizer`; the flat layout is kept."""
        _uncompiled(torch.optim.Optimizer.load_state_dict)(self, state_dict)
        if self._flat:
            self.lay_out(*self._flat[:2])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        active = [p for p in self.param_groups[0]["params"] if p.grad is not None]
        states = [self.state[p] or self._new_state(p) for p in active]
        count = states[0]["step"]
        for state in states:
            state["step"] = count
        means, squares = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
        self._increment(count)
        self._update([active, [p.grad for p in active], means, squares], [count] * len(active), self.found_inf)

    def step_laid_out(self) -> None:
        """Do what `step` does, on the flat tensors and without its hooks, which would take longer than the rest."""
        self._increment(self._count)
        self._update([[tensor] for tensor in self._flat], [self._count], self.found_inf)

    def _increment(self, count: Tensor) -> None:
        count += 1
        if self.found_inf is not None:
            count -= self.found_inf

    def _update(self, tensors: Sequence[list[Tensor]], counts: list[Tensor], found_inf: Tensor | None) -> None:
        """`tensors`: values, gradients, first and second moments; `counts`: the number of each one's step, from 1."""
        (group,) = self.param_groups
        values, gradients, means, squares = tensors
        self._kernel(
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

    def _new_state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class FusedAdamW(FusedAdam):
    """`FusedAdam` with decoupled weight decay: equal to `torch.optim.AdamW(fused=True)` to the bit."""

    _kernel = staticmethod(torch._fused_adamw_)


class JointAdam:
    """Steps several laid-out `FusedAdam`s, equal to the bit: one operation for all with the same settings."""

    def __init__(self, optimizers: Sequence[FusedAdam]) -> None:
        alike = defaultdict(list)
        for optimizer in optimizers:
            alike[type(optimizer), repr({**optimizer.param_groups[0], "params": None})].append(optimizer)
        self._alike = list(alike.values())

    def step(self) -> None:
        """Update all parameters once, ignoring `found_inf`."""
        for optimizers in self._alike:
            *tensors, counts = map(list, zip(*(optimizer.laid_out() for optimizer in optimizers)))
            torch._foreach_add_(counts, 1)
            optimizers[0]._update(tensors, counts, None)
