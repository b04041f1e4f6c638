"""The interface of a training step, and the running sums that it keeps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.losses import AnyLoss
from ncf.models import Dropout, GradientRecommender
from ncf.training.batches import Batches
from ncf.training.schedules import Schedule

Observer = Callable[[Batch, Tensor], None]
"""Called with each batch and its logits (B, 1+K) before the update; must modify neither."""


def set_if_not_finite(flag: Tensor, values: list[Tensor], one: Tensor) -> None:
    """Set `flag` () to 1 if any of `values` (...) is inf or NaN, without waiting for the device; `one` () is 1."""
    torch._amp_foreach_non_finite_check_and_unscale_(values, flag, one)  # divides `values` by `one`: no change


def clip(gradients: list[Tensor], norm: float) -> Tensor:
    """Scale `gradients` (...) down to the joint L2 norm `norm` if theirs is larger, without waiting for the device.

    Return () bool, whether it was larger.
    """
    found = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (norm / found).clamp(max=1.0))
    return found > norm


class LazyOptimizer(torch.optim.Optimizer):
    """An optimizer that updates an embedding row only when it is next looked up."""

    def flush(self) -> None:
        """Apply all pending updates."""
        raise TypeError(f"{type(self).__name__}: a lazy optimizer must define flush")


class Tally:
    """Running sums of an epoch, kept on the device so that no step has to wait for it.

    Attributes:
        loss_sum: () float64, the summed loss of this epoch's rows.
        finite_steps: (), the steps of this epoch before the first with a non-finite loss or gradient.
        clipped: (), the steps of this epoch whose gradients were larger than `clip_norm`.
        broken: (), 1 from that step on, else 0. Fused optimizers that read it as `found_inf` then skip their update.
        task_sums: for a loss of several tasks, the summed loss () float64 of each, without its weight, over this
            epoch's positives.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.finite_steps = torch.zeros((), device=device)
        self.clipped = torch.zeros((), device=device)
        self.broken = torch.zeros((), device=device)
        self.task_sums: dict[str, Tensor] = {}
        self._one = torch.ones((), device=device)

    def check(self, values: list[Tensor]) -> None:
        """Set `broken`, permanently, if any of `values` (...) is inf or NaN."""
        set_if_not_finite(self.broken, values, self._one)

    def add(self, total: Tensor) -> None:
        """Count a step with summed loss `total` ()."""
        self.loss_sum += total
        self.finite_steps += self._one
        self.finite_steps -= self.broken

    def add_tasks(self, per_task: Mapping[str, Tensor]) -> None:
        """Add each task's losses (B, n), of which a positive counts with the mean over n."""
        for task, losses in per_task.items():
            total = losses.mean(-1).sum(dtype=torch.float64)
            self.task_sums[task] = self.task_sums[task] + total if task in self.task_sums else total

    def reset(self) -> None:
        """Start a new epoch."""
        self.task_sums = {}
        self.loss_sum.zero_()
        self.finite_steps.zero_()
        self.clipped.zero_()


class Step(ABC):
    """Trains `model` batch by batch, minimising the mean of `loss` over rows. `PlainStep` is the definition.

    Attributes:
        clips: whether gradients are clipped.
        regulated: whether gradients are clipped, the learning rate changes, or there is dropout: what stacks and CUDA
            graphs of several steps do not reproduce.
    """

    def __init__(self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.parameters = list(model.parameters())
        self.tally = Tally(self.parameters[0].device)
        self.observer: Observer | None = None
        self._clip_norm: float | None = optimizer.defaults.get("clip_norm")  # see `ncf.training.optimizers.regulated`
        self.clips = self._clip_norm is not None
        self._schedule: Schedule | None = optimizer.defaults.get("schedule")
        self._dropouts = [part for part in model.modules() if isinstance(part, Dropout) and part.p > 0]
        self.regulated = self.clips or self._schedule is not None or bool(self._dropouts)

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """Update the parameters, unless the loss or a gradient is not finite; return the summed loss ()."""

    @abstractmethod
    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the gradients of the mean loss; return the detached logits (B, 1+K) and the summed loss ()."""

    def at(self, epoch: int, step: int, batches: Batches) -> None:
        """Set the learning rate and the stream of dropout for step `step` (from 0) of `epoch` (from 1)."""
        if self._schedule:
            rate = self._schedule.rate((epoch - 1) * batches.steps + step, batches.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        if self._dropouts:
            self._set_stream(generator(batches.seed, "dropout", epoch, step, batches.device))

    def _set_stream(self, stream: torch.Generator | None) -> None:
        for dropout in self._dropouts:
            dropout.stream = stream

    def clip(self) -> None:
        """Scale the gradients down to the optimizer's `clip_norm`, if it has one and theirs is larger."""
        if self._clip_norm is not None:
            self.tally.clipped += clip(self.gradients(), self._clip_norm)

    def gradients(self) -> list[Tensor]:
        """Return the values of all gradients."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        return [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]

    def flush(self) -> None:
        """End dropout and apply a lazy optimizer's pending updates; required before the model is evaluated."""
        self._set_stream(None)
        if isinstance(self.optimizer, LazyOptimizer):
            self.optimizer.flush()
