"""The plain step on part of a batch: the gradient of the global batch's mean loss."""

from collections.abc import Callable

import torch
from torch import Tensor

from ncf.data.batch import Batch
from ncf.losses import AnyLoss, per_example
from ncf.training.base import Step
from ncf.training.distributed.batches import PartBatch
from ncf.training.distributed.group import Group
from ncf.training.distributed.model import ShardedModel
from ncf.training.distributed.optimizers import ShardedOptimizer


class PartStep(Step):
    """Forward, loss and autograd on this process's rows; one sum over the processes; then all update alike.

    The sum carries the dense gradients, the loss, whether a number was not finite anywhere, and whether any process was
    asked to stop, so that all stop after the same step.

    Args:
        asked: returns whether this process was asked to stop.
    """

    def __init__(
        self,
        model: ShardedModel,
        loss: AnyLoss,
        optimizer: ShardedOptimizer,
        group: Group,
        asked: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(model, loss, optimizer)
        self.stop = False
        self._group, self._asked, self._sharded = group, asked, optimizer

    def __call__(self, batch: Batch) -> Tensor:
        """Update the parameters, unless a number was not finite in any process; return the global summed loss ()."""
        _, own = self.backward(batch)
        rows = [shard.gradient()[1] for shard in self._sharded.shards]
        self.tally.check([own, *self.gradients(), *rows])
        total = self._summed(own)
        if not self.tally.broken:
            self.optimizer.step()
        self.tally.add(total)
        return total

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute this part's gradients of the global mean loss; return its logits (B, 1+K) and summed loss ()."""
        assert isinstance(batch, PartBatch)
        self.model.zero_grad()
        logits = self.model(batch.users, batch.items)  # (B, 1+K)
        losses = per_example(self.loss, logits, batch)
        (losses.sum() / (batch.groups * losses.shape[1])).backward()
        return logits.detach(), losses.detach().sum()

    def _summed(self, own: Tensor) -> Tensor:
        """Add up the dense gradients over the processes, in place; return the summed loss () of all."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        asked = own.new_tensor(float(self._asked()))
        flat = self._group.sum(torch.cat([g.reshape(-1) for g in gradients] + [torch.stack(
            [own, self.tally.broken, asked])]))  # fmt: skip
        for gradient, part in zip(gradients, flat[:-3].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        self.tally.broken.copy_((flat[-2] > 0) | ~flat.isfinite().all())  # also where only the sum overflows
        self.stop = bool(flat[-1] > 0)
        return flat[-3]
