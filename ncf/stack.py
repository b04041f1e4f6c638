"""Many runs as one: S trainers whose forward and backward passes are one batched computation.

Each run stays an ordinary `Trainer`: its own batches and negatives, loss, optimizer, early stopping, checkpoints and
run folder. Only its parameters move, into slices of stacked tensors, so that one pass gives all S sets of logits and
one all S sets of gradients: in closed form where that is known, else by `torch.vmap` over the single-run model. A run
leaves the stack when it is over, and the next one waiting takes its place.
"""

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ncf.arithmetic import arithmetic
from ncf.closed_form import ClosedForm
from ncf.cuda_graph import GraphedStep
from ncf.errors import NcfError
from ncf.losses import Loss, focal_terms_and_slopes, terms_and_slopes
from ncf.models import Recommender
from ncf.optimizers import FusedAdam, JointAdam
from ncf.passes import InClosedForm, Passes, SumAndSlopes
from ncf.row_adam import RowAdam
from ncf.trainer import GLANCE_STEPS, Trainer

log = logging.getLogger(__name__)

_CPU_STACK, _GPU_STACK = 5, 128  # runs in a stack: more spill out of a core's cache; more do not fill a GPU better
_COPIES = 8  # of its parameters that a run may need: gradients, moments, the best weights, and as much in activations


def signature(trainer: Trainer) -> tuple[Any, ...]:
    """Trainers can share a stack if this is equal: model and shapes, device, and the shape and number of batches."""
    shapes = tuple((name, tuple(p.shape), p.dtype, p.device) for name, p in trainer.model.named_parameters())
    batches = trainer.batches
    return (
        type(trainer.model),
        trainer.closed_form,
        shapes,
        batches.steps,
        batches.groups,
        batches.neg_ratio,
        batches.rows,
    )


def stackable(trainer: Trainer) -> bool:
    """Whether the trainer can share a stack at all.

    row_adam must see the rows that its own model looks up; what is compiled, or in another precision, is one run.
    """
    settings = trainer.settings
    return not (isinstance(trainer.optimizer, RowAdam) or settings.compile or settings.precision != "float32")


def stack_size(trainer: Trainer) -> int:
    """How many runs of this shape a stack takes: what measured best on a CPU, what fits into half a GPU's memory."""
    parameters = list(trainer.model.parameters())
    if not parameters[0].is_cuda:
        return _CPU_STACK
    free, _ = torch.cuda.mem_get_info(parameters[0].device)
    own = sum(p.numel() * p.element_size() for p in parameters)
    return max(1, min(_GPU_STACK, free // 2 // (_COPIES * own)))


class _Vmapped:
    """The passes of S models of one shape, by vmap over the single-run model; their parameters become views."""

    def __init__(self, models: Sequence[Recommender], losses: SumAndSlopes) -> None:
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

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Passes`."""
        logits = self._forward(self._stacked, users, items)
        totals, slopes = self._losses(logits.detach())
        logits.backward(slopes.div_(items[0].numel()))
        for name, stacked in self._stacked.items():
            assert stacked.grad is not None
            for own, gradient in zip(self._own, stacked.grad.unbind(), strict=True):
                own[name].grad = gradient
            stacked.grad = None
        return logits.detach(), totals


class _JointUpdate:
    """`Trainer.apply` of all runs at once, to the bit, as long as every loss and gradient is finite.

    For trainers laid out in `form` on a CPU, where the answer to that can be waited for.
    """

    def __init__(self, trainers: Sequence[Trainer], optimizers: Sequence[FusedAdam], form: ClosedForm) -> None:
        self._form, self._adam = form, JointAdam(optimizers)
        self._loss_sums, self._sound = map(list, zip(*(trainer.tallies() for trainer in trainers)))
        self._broken, self._one = torch.zeros(()), torch.ones(())

    def __call__(self, totals: Tensor) -> bool:
        """Given the summed losses (S,); once any of them or a gradient is inf or NaN: False, and nothing is done."""
        torch._amp_foreach_non_finite_check_and_unscale_([totals, *self._form.touched()], self._broken, self._one)
        if self._broken:
            return False
        self._adam.step()
        torch._foreach_add_(self._loss_sums, list(totals))
        torch._foreach_add_(self._sound, 1)
        return True


class _Stack:
    """S trainers that take their steps together."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self._joint_update: _JointUpdate | None = None
        self._passes = self._pick_passes()
        self._step: Callable[[Tensor, Tensor], None] = self._train_on
        if all(trainer.graphed for trainer in self.trainers):
            self._step = GraphedStep(self._train_on, [t for trainer in self.trainers for t in trainer.changed()])

    def _pick_passes(self) -> Passes:
        first, models = self.trainers[0], [trainer.model for trainer in self.trainers]
        like = next(first.model.parameters())
        losses = _joint_loss([t.loss for t in self.trainers], first.batches.neg_ratio, like)
        if not first.closed_form:
            return _Vmapped(models, losses)
        form = ClosedForm(models)
        for trainer, values, gradients in zip(self.trainers, form.flat.values, form.flat.gradients, strict=True):
            trainer.lay_out(values, gradients)
        optimizers = [t.optimizer for t in self.trainers if isinstance(t.optimizer, FusedAdam)]
        if len(optimizers) == len(models) and not like.is_cuda:
            self._joint_update = _JointUpdate(self.trainers, optimizers, form)
        return InClosedForm(form, losses)

    def step(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """One step of every run: `batches` has the users (B,) and items (B, 1+K) of each."""
        users = torch.stack([users for users, _ in batches])
        items = torch.stack([items for _, items in batches])
        observed = any(trainer.dynamics for trainer in self.trainers)  # dynamics look into some steps only
        step = self._train_on if observed else self._step
        step(users, items)
        for trainer in self.trainers:
            trainer.progress.step += 1

    def _train_on(self, users: Tensor, items: Tensor) -> None:
        """users (S, B), items (S, B, 1+K)."""
        logits, totals = self._passes(users, items)
        for trainer, *own in zip(self.trainers, users, items, logits, strict=True):
            if trainer.dynamics:
                trainer.dynamics.observe(trainer.progress.step, *own)
        if self._joint_update is None or not self._joint_update(totals):
            for trainer, total in zip(self.trainers, totals, strict=True):
                trainer.apply(total)


def _joint_loss(losses: Sequence[Loss], neg_ratio: int, like: Tensor) -> SumAndSlopes:
    """logits (S, B, 1+K) -> each run's summed loss (S,), and the derivatives of the sums by the logits (S, B, 1+K).

    One kernel where every loss is of the focal family.
    """
    if not all(hasattr(loss, "kernel") for loss in losses):

        def _one_by_one(logits: Tensor) -> tuple[Tensor, Tensor]:
            parts = [terms_and_slopes(loss, x) for loss, x in zip(losses, logits.unbind(), strict=True)]
            return torch.stack([terms.sum() for terms, _ in parts]), torch.stack([slopes for _, slopes in parts])

        return _one_by_one
    settings = [loss.kernel(neg_ratio) for loss in losses]  # type: ignore[attr-defined]
    columns = [like.new_tensor(column).view(-1, 1, 1) for column in zip(*settings, strict=True)]
    gamma = columns[0] if any(gamma for gamma, *_ in settings) else 0.0

    def _at_once(logits: Tensor) -> tuple[Tensor, Tensor]:
        terms, slopes = focal_terms_and_slopes(logits, gamma, columns[1], columns[2])
        return terms.sum((1, 2)), slopes

    return _at_once


def train_stacked(waiting: Iterator[Trainer], size: int) -> Iterator[tuple[Trainer, NcfError | None]]:
    """Train all of `waiting`, at most `size` at a time; yields each run as it ends, with its error if it failed.

    Runs must share `signature`. One that `stopped` interrupts is checkpointed and, unless that fails, not yielded.
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
    """Those that can go on together; epochs that were resumed half-way are finished first."""
    place = max(trainer.progress.step for trainer in trainers)
    return [trainer for trainer in trainers if trainer.progress.step == place]


def _end_epoch(trainer: Trainer) -> None:
    """Validate one run, and close it if it is over."""
    log.debug(trainer.end_epoch())
    if trainer.over():
        trainer.close()


def _failure(work: Callable[[], object]) -> NcfError | None:
    """Do `work` of one run; the error that ended it, if one did, which is no matter of the others."""
    try:
        work()
    except NcfError as error:
        return error
    return None


def _train_epoch(stack: _Stack) -> bool:
    """The steps of one epoch that are still to do, of every run; False if interrupted between two of them."""
    trainers, begun = stack.trainers, time.perf_counter()
    streams = [t.batches.epoch(t.progress.epoch, t.progress.step) for t in trainers]
    steps = trainers[0].batches.steps
    for batches in zip(*streams, strict=True):
        stack.step(batches)
        done = trainers[0].progress.step
        if done % GLANCE_STEPS == 0 or done == steps:
            now = time.perf_counter()
            for trainer in trainers:
                trainer.progress.seconds += (now - begun) / len(trainers)  # its share of the machine
                if done < steps and trainer.due():
                    _failure(trainer.checkpoint)  # what fails here does so again when the epoch ends
            begun = now
        if trainers[0].stopped() and done < steps:
            return False
    return True
