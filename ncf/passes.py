"""The forward and backward pass of a step: a batch to gradients in place, by the ways there are to compute them."""

import contextlib
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from ncf.closed_form import ClosedForm
from ncf.errors import TrainingError
from ncf.losses import Loss
from ncf.models import Recommender

# logits (B, 1+K) -> the sum of their losses (), and its derivatives by them (B, 1+K); S stacked runs have S in front.
SumAndSlopes = Callable[[Tensor], tuple[Tensor, Tensor]]


class Passes(Protocol):
    """Those of one model, or of S stacked ones, whose shapes have S in front."""

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Put the gradients of the mean loss in place.

        Args:
            users: (B,) int64.
            items: (B, 1+K) int64, column 0 the positive.

        Returns:
            The logits (B, 1+K), without a graph, and the sum of their losses ().
        """
        ...


class Autograd:
    """Of any model; `half` computes the logits in bfloat16 where autocast does."""

    def __init__(self, model: Recommender, losses: SumAndSlopes, half: bool = False) -> None:
        self._model, self._losses = model, losses
        self._parameters = list(model.parameters())
        self._half = half

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Passes`."""
        for parameter in self._parameters:
            parameter.grad = None
        with torch.autocast(users.device.type, torch.bfloat16) if self._half else contextlib.nullcontext():
            logits: Tensor = self._model(users, items)
        logits = logits.float() if self._half else logits
        total, slopes = self._losses(logits.detach())
        logits.backward(slopes.div_(items.numel()))
        return logits.detach(), total


class Compiled(Autograd):
    """Of any model with dense gradients: loss and gradients as one function by torch.compile.

    Batches of fewer than `groups` groups, the last of an epoch, are left to autograd: they would be compiled anew.
    """

    def __init__(self, model: Recommender, losses: SumAndSlopes, loss: Loss, groups: int) -> None:
        super().__init__(model, losses)
        self._groups = groups

        def _mean_loss(
            weights: dict[str, Tensor], users: Tensor, items: Tensor
        ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            logits = torch.func.functional_call(model, weights, (users, items))
            total = loss(logits).sum()
            return total / items.numel(), (logits, total)

        self._gradients = torch.compile(torch.func.grad_and_value(_mean_loss, has_aux=True), dynamic=False)

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Passes`."""
        if len(users) != self._groups:
            return super().__call__(users, items)
        named = dict(self._model.named_parameters())
        weights = {name: parameter.detach() for name, parameter in named.items()}
        try:
            gradients, (_, (logits, total)) = self._gradients(weights, users, items)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"trainer.compile: torch.compile could not compile this model ({reason}); on a CPU it needs a C++ "
                "compiler. trainer.compile=false trains without"
            ) from error
        for name, parameter in named.items():
            parameter.grad = gradients[name]
        return logits, total


class InClosedForm:
    """Of the models that `ClosedForm` knows."""

    def __init__(self, form: ClosedForm, losses: SumAndSlopes) -> None:
        self._form, self._losses = form, losses

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Passes`."""
        logits = self._form.forward(users, items)
        total, slopes = self._losses(logits)
        self._form.backward(slopes.div_(items.shape[-1] * items.shape[-2]))
        return logits, total
