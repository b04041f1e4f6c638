"""One step of training: a batch to an update of the parameters.

`PlainStep` is the definition: the model's forward, the loss's formula, autograd, the optimizer. By default
`build_step` takes a faster equal of it from `ncf.training.fast`, once that has shown on a few rows that it computes the
same; `trainer.fast=false` takes the plain one. Without the folder `fast` nothing but time is lost.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ncf.data.batch import Batch
from ncf.losses import AnyLoss, per_example
from ncf.models import GradientRecommender
from ncf.training.settings import TrainerSettings

log = logging.getLogger(__name__)

Observer = Callable[[Batch, Tensor], None]
"""Is shown a batch and its logits (B, 1+K) before the update; neither is to be changed."""


class LazyOptimizer(torch.optim.Optimizer):
    """An optimizer that leaves rows of embeddings behind until they are looked up."""

    def flush(self) -> None:
        """Bring every row up to date."""
        raise TypeError(f"{type(self).__name__}: a lazy optimizer has to define flush")


class Tally:
    """The sums of an epoch, kept on the device, so that no step waits for it.

    Attributes:
        loss_sum: () float64, of this epoch, over rows.
        finite_steps: (), the steps of this epoch before the first whose loss or gradient was not finite.
        broken: (), 1 from that step on, else 0. Fused optimizers that have it as `found_inf` then skip their update.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.finite_steps = torch.zeros((), device=device)
        self.broken = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)

    def check(self, values: list[Tensor]) -> None:
        """Set `broken`, for good, if any of `values` (...) is inf or NaN."""
        torch._amp_foreach_non_finite_check_and_unscale_(values, self.broken, self._one)  # a scale of 1: only checks

    def add(self, total: Tensor) -> None:
        """Count a step whose summed loss is `total` ()."""
        self.loss_sum += total
        self.finite_steps += 1
        self.finite_steps -= self.broken

    def reset(self) -> None:
        """Begin an epoch."""
        self.loss_sum.zero_()
        self.finite_steps.zero_()


class Step(ABC):
    """Trains `model` on one batch after the other, minimising the mean of `loss` over rows."""

    def __init__(self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.parameters = list(model.parameters())
        self.tally = Tally(self.parameters[0].device)
        self.observer: Observer | None = None
        optimizer.found_inf = self.tally.broken  # type: ignore[attr-defined]  # the convention of fused optimizers

    def __call__(self, batch: Batch) -> Tensor:
        """Update the parameters once; the sum of the losses of `batch`, ()."""
        logits, total = self.backward(batch)
        if self.observer:
            self.observer(batch, logits)
        self.apply(total)
        return total

    @abstractmethod
    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Put the gradients of the mean loss in place; logits (B, 1+K) without a graph, the sum of the losses ()."""

    def apply(self, total: Tensor) -> None:
        """Move the parameters by the gradients in place, unless one or `total` (), the summed loss, is inf or NaN."""
        self.tally.check([total, *self.gradients()])
        self.optimizer.step()
        self.tally.add(total)

    def gradients(self) -> list[Tensor]:
        """The values of all gradients."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        return [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]

    def flush(self) -> None:
        """Bring all weights up to date, before they are read as a whole."""
        if isinstance(self.optimizer, LazyOptimizer):
            self.optimizer.flush()


class PlainStep(Step):
    """The definition of a step."""

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Forward, loss, mean, backward."""
        self.model.zero_grad()
        logits = self.model(batch.users, batch.items)  # (B, 1+K)
        losses = per_example(self.loss, logits, batch)  # (B, 1+K)
        losses.mean().backward()
        return logits.detach(), losses.detach().sum()


def build_step(
    model: GradientRecommender,
    loss: AnyLoss,
    optimizer: torch.optim.Optimizer,
    settings: TrainerSettings,
    groups: int,
    sample: Batch,
) -> Step:
    """The step that `settings` ask for, at its first batch.

    Args:
        groups: positives in a whole batch.
        sample: a few rows on which a fast step has to agree with the plain one; else the plain one is used.
    """
    plain = PlainStep(model, loss, optimizer)
    if not settings.fast:
        return plain
    from ncf.training import fast  # the one place

    expected = fast.outcome(plain, sample)
    step = fast.choose(model, loss, optimizer, settings, groups)
    if (difference := fast.disagreement(fast.outcome(step, sample), expected, settings)) is None:
        return step
    log.warning("%s: %s; training by the model's forward and the loss's formula", type(step).__name__, difference)
    return PlainStep(model, loss, optimizer)
