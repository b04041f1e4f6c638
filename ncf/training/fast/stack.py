"""Train many runs at once: S trainers whose forward and backward passes are one batched computation.

Each run remains an ordinary `Trainer`, with its own batches and negatives, loss, optimizer, early stopping, checkpoints
and run folder. Only its parameters move, into slices of stacked tensors, so that a single pass computes the logits or
gradients of all S runs: in closed form where that is known, else by `torch.vmap` over the single-run model. A run
leaves the stack when it is over, and the next one in the queue takes its place.
"""

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ncf.data.batch import Batch
from ncf.errors import NcfError
from ncf.losses import AnyLoss, FocalFamily
from ncf.losses.kernel import focal_kernel, losses_and_logit_grad
from ncf.models import GradientRecommender
from ncf.training.arithmetic import arithmetic
from ncf.training.base import LazyOptimizer, set_if_not_finite
from ncf.training.fast.adam import FusedAdam, JointAdam
from ncf.training.fast.closed_form import ClosedForm
from ncf.training.fast.cuda_graph import GraphedStep
from ncf.training.fast.steps import ClosedFormStep, FastStep, FusedLossStep
from ncf.training.trainer import GLANCE_STEPS, Trainer

log = logging.getLogger(__name__)

_CPU_STACK, _GPU_STACK = 5, 128  # runs per stack: more overflow a core's cache, or do not use a GPU any better
_COPIES = 8  # a run's memory in copies of its parameters: gradients, moments, best weights, and as much for activations


def signature(trainer: Trainer) -> tuple[Any, ...]:
    """Return what trainers must have in common to share a stack: model, shapes, device, and kind of batches."""
    shapes = tuple((name, tuple(p.shape), p.dtype, p.device) for name, p in trainer.model.named_parameters())
    batches = trainer.batches
    return (
        type(trainer.model),
        type(trainer.step),
        shapes,
        batches.steps,
        batches.groups,
        batches.neg_ratio,
        batches.rows,
        batches.needs,
    )


def stackable(trainer: Trainer) -> bool:
    """Return whether the trainer can share a stack at all.

    A lazy optimizer must see the rows that its own model looks up; compiled, plain, lower-precision and regulated steps
    are for single runs.
    """
    lazy = isinstance(trainer.step.optimizer, LazyOptimizer)
    batched = type(trainer.step) in (ClosedFormStep, FusedLossStep)
    return batched and not lazy and not trainer.step.regulated and trainer.settings.precision == "float32"


def stack_size(trainer: Trainer) -> int:
    """Return how many such runs to stack: the measured optimum on a CPU, what fits half the free memory on a GPU."""
    parameters = list(trainer.model.parameters())
    if not parameters[0].is_cuda:
        return _CPU_STACK
    free, _ = torch.cuda.mem_get_info(parameters[0].device)
    own = sum(p.numel() * p.element_size() for p in parameters)
    return max(1, min(_GPU_STACK, free // 2 // (_COPIES * own)))


LossAndGrad = Callable[[Batch, Tensor], tuple[Tensor, Tensor]]
"""A stacked batch and its logits (S, B, 1+K) -> summed losses (S,) and logit gradients (S, B, 1+K)."""


class _Passes(Protocol):
    """Forward and backward passes of S models of one shape."""

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the gradients of each mean loss; return detached logits (S, B, 1+K) and summed losses (S,)."""
        ...


class _Vmapped:
    """Passes by vmap over the single-run model; the models' parameters become views of stacked ones."""

    def __init__(self, models: Sequence[GradientRecommender], losses: LossAndGrad) -> None:
        self._losses = losses
        self._own = [dict(model.named_parameters()) for model in models]
        self._stacked = {
            name: torch.stack([own[name].detach() for own in self._own]).requires_grad_() for name in self._own[0]
        }
        for slot, own in enumerate(self._own):
            for name, parameter in own.items():
                parameter.data = self._stacked[name].data[slot]
        model = copy.deepcopy(models[0]).to("meta")
        self._forward = torch.vmap(
            lambda weights, users, items: torch.func.functional_call(model, weights, (users, items))
        )

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `_Passes`."""
        logits = self._forward(self._stacked, batch.users, batch.items)
        totals, logit_grad = self._losses(batch, logits.detach())
        logits.backward(logit_grad.div_(batch.items[0].numel()))
        for name, stacked in self._stacked.items():
            assert stacked.grad is not None
            for own, gradient in zip(self._own, stacked.grad.unbind(), strict=True):
                own[name].grad = gradient
            stacked.grad = None
        return logits.detach(), totals


class _InClosedForm:
    """Passes by `ClosedForm`."""

    def __init__(self, form: ClosedForm, losses: LossAndGrad) -> None:
        self._form, self._losses = form, losses

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `_Passes`."""
        logits = self._form.forward(batch.users, batch.items)
        totals, logit_grad = self._losses(batch, logits)
        self._form.backward(logit_grad.div_(batch.items[0].numel()))
        return logits, totals


class _JointUpdate:
    """`FastStep.update` for all runs at once, equal to the bit, as long as every loss and gradient is finite.

    For runs laid out in `form`, on a CPU only, since that check would stall a GPU.
    """

    def __init__(self, trainers: Sequence[Trainer], optimizers: Sequence[FusedAdam], form: ClosedForm) -> None:
        self._form, self._adam = form, JointAdam(optimizers)
        self._loss_sums = [trainer.step.tally.loss_sum for trainer in trainers]
        self._finite_steps = [trainer.step.tally.finite_steps for trainer in trainers]
        self._broken, self._one = torch.zeros(()), torch.ones(())

    def __call__(self, totals: Tensor) -> bool:
        """Update all runs, given the summed losses (S,); if one or a gradient is not finite, only return False."""
        set_if_not_finite(self._broken, [totals, *self._form.touched()], self._one)
        if self._broken:
            return False
        self._adam.step()
        torch._foreach_add_(self._loss_sums, list(totals))
        torch._foreach_add_(self._finite_steps, 1)
        return True


class _Stack:
    """S trainers that step together."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self._joint_update: _JointUpdate | None = None
        self._passes = self._pick_passes()
        self._step: Callable[[Batch], Tensor] = self._train_on
        steps = [trainer.step for trainer in self.trainers]
        graphed = [step for step in steps if isinstance(step, ClosedFormStep) and step.graphed]
        if len(graphed) == len(steps):
            self._step = GraphedStep(self._train_on, [tensor for step in graphed for tensor in step.changed()])

    def _pick_passes(self) -> _Passes:
        first, models = self.trainers[0], [trainer.model for trainer in self.trainers]
        like = first.step.parameters[0]
        losses = _joint_loss([t.step.loss for t in self.trainers], first.batches.neg_ratio, like)
        steps = [t.step for t in self.trainers if isinstance(t.step, ClosedFormStep)]
        if not steps:
            return _Vmapped(models, losses)
        form = ClosedForm(models)
        for step, values, gradients in zip(steps, form.flat.values, form.flat.gradients, strict=True):
            step.lay_out(values, gradients)
        optimizers = [step.optimizer for step in steps if isinstance(step.optimizer, FusedAdam)]
        if len(optimizers) == len(models) and not like.is_cuda:
            self._joint_update = _JointUpdate(self.trainers, optimizers, form)
        return _InClosedForm(form, losses)

    def step(self, batches: Sequence[Batch]) -> None:
        """Take one step of every run; `batches` holds one batch per run."""
        joined = Batch(**{name: torch.stack([b.tensors()[name] for b in batches]) for name in batches[0].tensors()})
        observed = any(trainer.dynamics for trainer in self.trainers)  # in some steps only, which a graph cannot do
        step = self._train_on if observed else self._step
        step(joined)
        for trainer in self.trainers:
            trainer.progress.step += 1

    def _train_on(self, batch: Batch) -> Tensor:
        """Update every run on a stacked batch and return the summed losses (S,)."""
        logits, totals = self._passes(batch)
        for slot, trainer in enumerate(self.trainers):
            if trainer.step.observer:
                trainer.step.observer(_slot(batch, slot), logits[slot])
        if self._joint_update is None or not self._joint_update(totals):
            for trainer, total in zip(self.trainers, totals, strict=True):
                assert isinstance(trainer.step, FastStep)
                trainer.step.update(total)
        return totals


def _slot(batch: Batch, slot: int) -> Batch:
    """Return one run's part of a stacked batch."""
    return Batch(**{name: tensor[slot] for name, tensor in batch.tensors().items()})


def _joint_loss(losses: Sequence[AnyLoss], neg_ratio: int, like: Tensor) -> LossAndGrad:
    """Return the joint loss of S runs: a single kernel call if all are of the focal family."""
    family = [loss for loss in losses if isinstance(loss, FocalFamily)]
    if len(family) < len(losses):

        def _one_by_one(batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor]:
            parts = [
                losses_and_logit_grad(loss, x, _slot(batch, slot))
                for slot, (loss, x) in enumerate(zip(losses, logits.unbind(), strict=True))
            ]
            return torch.stack([values.sum() for values, _ in parts]), torch.stack([grad for _, grad in parts])

        return _one_by_one
    settings = [loss.kernel_arguments(neg_ratio) for loss in family]
    gamma, positive, negative = (
        like.new_tensor([getattr(own, name) for own in settings]).view(-1, 1, 1)
        for name in ("gamma", "positive", "negative")
    )
    focusing = gamma if any(own.gamma for own in settings) else 0.0

    def _at_once(batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor]:
        values, logit_grad = focal_kernel(logits, focusing, positive, negative)
        return values.sum((1, 2)), logit_grad

    return _at_once


def train_stacked(waiting: Iterator[Trainer], size: int) -> Iterator[tuple[Trainer, NcfError | None]]:
    """Train all of `waiting`, at most `size` at a time; yield each run as it ends, with its error if it failed.

    All must have the same `signature`. When `stopped` interrupts them, they are checkpointed and not yielded, unless
    the checkpoint fails.
    """
    running: list[Trainer] = []
    stack = None
    while joining := [*running, *itertools.islice(waiting, size - len(running))]:
        for trainer in [t for t in joining if t.over()]:
            yield trainer, _failure(trainer.close)
        running = [t for t in joining if not t.over()]
        if not running:
            continue
        if stack is None or stack.trainers != _in_step(running):
            stack = _Stack(_in_step(running))
        with arithmetic("float32"):
            whole = _train_epoch(stack)
        if not whole:
            failures = [(trainer, _failure(trainer.checkpoint)) for trainer in running]
            yield from ((trainer, error) for trainer, error in failures if error is not None)
            return
        for trainer in stack.trainers:
            error = _failure(partial(_end_epoch, trainer))
            if error is not None or trainer.over():
                running.remove(trainer)
                yield trainer, error


def _in_step(trainers: Sequence[Trainer]) -> list[Trainer]:
    """Return the trainers that can step together: those furthest into their epoch, so that resumed epochs end first."""
    furthest = max(trainer.progress.step for trainer in trainers)
    return [trainer for trainer in trainers if trainer.progress.step == furthest]


def _end_epoch(trainer: Trainer) -> None:
    """Validate one run, and close it if it is over."""
    log.debug(trainer.end_epoch())
    if trainer.over():
        trainer.close()


def _failure(work: Callable[[], object]) -> NcfError | None:
    """Run `work` for one run and return its error, if any, so that the other runs are not affected."""
    try:
        work()
    except NcfError as error:
        return error
    return None


def _train_epoch(stack: _Stack) -> bool:
    """Run the remaining steps of the epoch for every run; return False if `stopped` interrupted it."""
    trainers, start = stack.trainers, time.perf_counter()
    streams = [t.batches.epoch(t.progress.epoch, t.progress.step) for t in trainers]
    steps = trainers[0].batches.steps
    for batches in zip(*streams, strict=True):
        stack.step(batches)
        done = trainers[0].progress.step
        if done % GLANCE_STEPS == 0 or done == steps:
            now = time.perf_counter()
            for trainer in trainers:
                trainer.progress.seconds += (now - start) / len(trainers)  # an equal share
                if done < steps and trainer.due():
                    _failure(trainer.checkpoint)  # an error here occurs again when the epoch ends
            start = now
        if trainers[0].stopped() and done < steps:
            return False
    return True
