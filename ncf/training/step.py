"""One training step: from a batch to an update of the parameters.

`PlainStep` is the definition: the model's forward pass, the loss's formula, autograd and the optimizer. By default
`build_step` replaces it with a faster equivalent from `ncf.training.fast`, after checking on a few rows that both
compute the same; `trainer.fast=false` keeps the plain one. Fast steps save time and differ only by rounding.
"""

import logging

import torch
from torch import Tensor

from ncf.data.batch import Batch
from ncf.losses import AnyLoss, JointLoss, per_example
from ncf.models import GradientRecommender, RatingRecommender
from ncf.training.base import Step
from ncf.training.settings import TrainerSettings

log = logging.getLogger(__name__)


class PlainStep(Step):
    """Forward, loss, autograd, optimizer: the reference for every other step."""

    def __call__(self, batch: Batch) -> Tensor:
        """Update the parameters, unless the loss or a gradient is not finite; return the summed loss ()."""
        logits, total = self.backward(batch)
        if self.observer:
            self.observer(batch, logits)
        self.tally.check([total, *self.gradients()])  # from the first inf or NaN on, the tally is broken
        if not self.tally.broken:
            self.clip()  # to optimizer.clip_norm, if it is set
            self.optimizer.step()
        self.tally.add(total)
        return total

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the gradients of the mean loss; return the detached logits (B, 1+K) and the summed loss ()."""
        self.model.zero_grad()
        logits = self.model(batch.users, batch.items)  # (B, 1+K)
        losses = self.losses(logits, batch)  # (B, 1+K)
        losses.mean().backward()
        return logits.detach(), losses.detach().sum()

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return per-example losses (B, 1+K) of logits (B, 1+K)."""
        return per_example(self.loss, logits, batch)


class JointStep(PlainStep):
    """The plain step of a model with two heads, and of a loss of both."""

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return per-example losses (B, 1+K) of logits (B, 1+K) and of the positives' ratings, predicted here."""
        assert isinstance(self.model, RatingRecommender)
        assert isinstance(self.loss, JointLoss)
        predicted = self.model.rate(batch.users, batch.items[:, 0])
        with torch.no_grad():
            self.tally.add_tasks(self.loss.per_task(logits, batch, predicted))
        return self.loss(logits, batch, predicted)


def build_step(
    model: GradientRecommender,
    loss: AnyLoss,
    optimizer: torch.optim.Optimizer,
    settings: TrainerSettings,
    groups: int,
    sample: Batch,
) -> Step:
    """Return the step to train with: a fast one if `settings` allow it and it agrees with the plain one.

    Args:
        groups: number of positives in a full batch.
        sample: a few rows on which the fast step is compared with the plain one.
    """
    if isinstance(loss, JointLoss) and isinstance(model, RatingRecommender):
        return JointStep(model, loss, optimizer)  # there is no faster one
    plain = PlainStep(model, loss, optimizer)
    if not settings.fast:
        return plain
    from ncf.training import fast  # the only place that chooses a fast step

    expected = fast.outcome(plain, sample)
    step = fast.choose(model, loss, optimizer, settings, groups)
    if (difference := fast.disagreement(fast.outcome(step, sample), expected)) is None:
        return step
    log.warning("%s: %s; using the plain step instead", type(step).__name__, difference)
    return PlainStep(model, loss, optimizer)  # a new one: the fast step may have moved the parameters
