"""Training: epochs of steps, validation after each, early stopping on validation only, the best epoch restored.

The trainer never sees a test item: it is handed the batches and a function that validates, not the split.
"""

import copy
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from tqdm import tqdm

from ncf import closed_form
from ncf.arithmetic import arithmetic
from ncf.closed_form import ClosedForm
from ncf.cuda_graph import GraphedStep
from ncf.dynamics import Dynamics
from ncf.errors import TrainingError
from ncf.losses import Loss, terms_and_slopes
from ncf.models import Recommender
from ncf.optimizers import FusedAdam
from ncf.passes import Autograd, Compiled, InClosedForm, Passes
from ncf.row_adam import RowAdam
from ncf.sampling import Batches

SAVE_SHARE = 50  # times as long as the last save took, at least, until the next
GLANCE_STEPS = 32  # between two looks at the clock and the progress bar


def _interval(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(s|min|epochs?)", text):
        raise ValueError('expected seconds, minutes or epochs, such as "30s", "5min" or "1epoch"')
    return text


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """What `conf/trainer` sets; its comments say what each key does."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    patience: Annotated[int, Field(ge=1)]
    monitor: str
    checkpoint_every: Annotated[str, AfterValidator(_interval)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    compile: bool
    cuda_graph: Literal["auto"] | bool
    precision: Literal["float32", "tf32", "bfloat16"]
    progress: bool


@dataclass
class Progress:
    """Where a run is: the next step to take, and what early stopping remembers."""

    epoch: int = 1
    step: int = 0
    best_epoch: int = 0
    best_value: float = float("-inf")
    seconds: float = 0.0  # of training in this epoch so far
    history: list[dict[str, float]] = field(default_factory=list)

    def stale(self) -> int:
        """Epochs since the best one."""
        return len(self.history) - self.best_epoch


class Trainer:
    """Trains `model` on `batches`; `fit` returns when early stopping, the last epoch or `stopped` ends it.

    Args:
        loss: logits (B, 1+K) -> per-example losses (B, 1+K); their mean over rows is minimised.
        validate: gives the validation metrics of the model as it is.
        record: takes the line of each finished epoch.
        save: takes a state dict of tensors and primitives; called every `settings.checkpoint_every`.
        stopped: true once the run should save and return after the step in hand.
    """

    def __init__(
        self,
        model: Recommender,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        validate: Callable[[], dict[str, float]],
        settings: TrainerSettings,
        record: Callable[[dict[str, float]], None] = lambda line: None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.loss, self.optimizer, self.batches = model, loss, optimizer, batches
        self.settings = settings
        self.progress = Progress()
        self.dynamics: Dynamics | None = None  # observes each step and epoch; set it before `load` and `fit`
        self._validate, self._record, self._save, self.stopped = validate, record, save, stopped
        self._parameters = list(model.parameters())
        device = self._parameters[0].device
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)  # of this epoch, over rows
        self._broken = torch.zeros((), device=device)  # 1 from the first step on whose loss or gradient is not finite
        self._sound = torch.zeros((), device=device)  # steps of this epoch before that
        self._one = torch.ones((), device=device)
        optimizer.found_inf = self._broken  # type: ignore[attr-defined]  # fused optimisers skip the update if it is 1
        self._flat_gradients: Tensor | None = None
        self._update: Callable[[], object] = optimizer.step
        self._passes = self._pick_passes()
        self._step = self._pick_step()
        self._best = self._weights()
        self._saved_at, self._save_seconds = time.monotonic(), 0.0

    def _pick_passes(self) -> Passes:
        settings = self.settings
        half = settings.precision == "bfloat16"
        plain = not (settings.compile or half or isinstance(self.optimizer, RowAdam))
        self.closed_form = plain and closed_form.supports(self.model)
        if self.closed_form:
            form = ClosedForm([self.model])
            self.lay_out(form.flat.values[0], form.flat.gradients[0])
            return InClosedForm(form, self._sum_and_slopes)
        if settings.compile:
            return Compiled(self.model, self._sum_and_slopes, self.loss, self.batches.groups)
        return Autograd(self.model, self._sum_and_slopes, half)

    def _sum_and_slopes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        terms, slopes = terms_and_slopes(self.loss, logits)
        return terms.sum(), slopes

    def _pick_step(self) -> Callable[[Tensor, Tensor], None]:
        """Training on a batch, without `progress`: by a CUDA graph where that is possible and wanted."""
        flat = isinstance(self.optimizer, FusedAdam) and self.closed_form
        self.graphed = self._broken.is_cuda and flat and bool(self.settings.cuda_graph)
        return GraphedStep(self._train_on, self.changed()) if self.graphed else self._train_on

    def changed(self) -> list[Tensor]:
        """The tensors that a step changes, of a run whose parameters are laid out."""
        assert isinstance(self.optimizer, FusedAdam)
        return [*self.optimizer.laid_out(), self._loss_sum, self._sound, self._broken]

    def fit(self) -> bool:
        """Train from where `progress` stands. True if the run is over, False if `stopped` interrupted it.

        When it is over the model has the weights of the best epoch.

        Raises:
            TrainingError: a loss or gradient was not finite; the weights are those before that step.
        """
        with self._bar() as bar:
            while not self.over():
                if not self._train_epoch(bar):
                    self.checkpoint()
                    return False
                bar.set_postfix_str(self.end_epoch())
        self.close()
        return True

    def over(self) -> bool:
        """Whether early stopping or the last epoch has been reached."""
        return self.progress.epoch > self.settings.epochs or self.progress.stale() >= self.settings.patience

    def close(self) -> None:
        """Save the finished run and put the best epoch's weights back."""
        self.checkpoint()
        self.model.load_state_dict(self._best)

    def _train_epoch(self, bar: Any) -> bool:
        """The steps of one epoch that are still to do; False if interrupted between two of them."""
        with arithmetic(self.settings.precision):
            return self._steps(bar)

    def _steps(self, bar: Any) -> bool:
        progress, begun = self.progress, time.perf_counter()
        for users, items in self.batches.epoch(progress.epoch, progress.step):
            self.step(users, items)
            bar.update(items.numel())
            if progress.step % GLANCE_STEPS == 0:
                now = time.perf_counter()
                progress.seconds, begun = progress.seconds + now - begun, now
                if self.due():
                    self.checkpoint()
            if self.stopped() and progress.step < self.batches.steps:
                return False
        progress.seconds += time.perf_counter() - begun
        return True

    def step(self, users: Tensor, items: Tensor) -> None:
        """Train on one batch: users (B,), items (B, 1+K), column 0 the positive."""
        step = self._train_on if self.dynamics else self._step  # dynamics look into some steps only
        step(users, items)
        self.progress.step += 1

    def _train_on(self, users: Tensor, items: Tensor) -> None:
        logits, total = self._passes(users, items)
        if self.dynamics:
            self.dynamics.observe(self.progress.step, users, items, logits)
        self.apply(total)

    def lay_out(self, values: Tensor, gradients: Tensor) -> None:
        """Take note that all parameters are views of `values` (N,) now, and their gradients views of `gradients`."""
        self._flat_gradients = gradients
        if isinstance(self.optimizer, FusedAdam):
            self.optimizer.lay_out(values, gradients)
            self._update = self.optimizer.step_laid_out

    def apply(self, total: Tensor) -> None:
        """Move the parameters by the gradients in place; `total` () is the sum of the step's losses.

        Nothing here waits for the device: a step that is not finite is skipped on the device.
        """
        # Sets `_broken` if the loss or any gradient is inf or NaN, and leaves it set; the scale of 1 changes nothing.
        values = [total, *self._gradients()]
        torch._amp_foreach_non_finite_check_and_unscale_(values, self._broken, self._one)
        self._update()
        self._loss_sum += total
        self._sound += 1
        self._sound -= self._broken

    def tallies(self) -> tuple[Tensor, Tensor]:
        """The sum of this epoch's losses and the number of its finite steps: () each, as `apply` adds to them."""
        return self._loss_sum, self._sound

    def _gradients(self) -> list[Tensor]:
        """The values of all gradients, in as few tensors as they are."""
        if self._flat_gradients is not None:
            return [self._flat_gradients]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]

    def _weights(self) -> dict[str, Tensor]:
        """A copy of the model's state, each tensor with memory of its own."""
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _check_finite(self) -> None:
        if self._broken.item():
            step = int(self._sound.item()) + 1
            raise TrainingError(
                f"epoch {self.progress.epoch}, step {step}: expected a finite loss and gradient, got inf or NaN; "
                "the update was not applied. A smaller optimizer.lr may help"
            )

    def end_epoch(self) -> str:
        """Validate, remember the best weights, record the epoch; what came out, in a few words.

        Raises:
            TrainingError: a loss or gradient of this epoch was not finite.
        """
        if isinstance(self.optimizer, RowAdam):
            self.optimizer.flush()  # `score` reads whole tables
        self._check_finite()
        progress = self.progress
        begun = time.perf_counter()
        metrics = self._validate()
        line = {
            "epoch": progress.epoch,
            "train_loss": self._loss_sum.item() / self.batches.rows,
            "train_seconds": progress.seconds,
            "valid_seconds": time.perf_counter() - begun,
            "rows_per_second": self.batches.rows / progress.seconds,
            **metrics,
        }
        if self.dynamics:
            self.dynamics.end_epoch(progress.epoch)
        progress.history.append(line)
        self._record(line)
        value = metrics[self.settings.monitor]
        if value > progress.best_value:
            progress.best_value, progress.best_epoch = value, progress.epoch
            self._best = self._weights()
        summary = (
            f"epoch {progress.epoch}, loss {line['train_loss']:.4f}, {self.settings.monitor} {value:.4f} "
            f"(best {progress.best_value:.4f} at {progress.best_epoch})"
        )
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        self._loss_sum.zero_()
        self._sound.zero_()
        if self.due(epoch_end=True):
            self.checkpoint()
        return summary

    def due(self, epoch_end: bool = False) -> bool:
        """Whether it is time for a checkpoint; saving takes a fiftieth of the time at most, however large the model."""
        match = re.fullmatch(r"(\d+)(\D+)", self.settings.checkpoint_every)
        assert match
        count, unit = int(match[1]), match[2]
        if unit.startswith("epoch"):
            return epoch_end and (self.progress.epoch - 1) % count == 0
        interval = count * (60 if unit == "min" else 1)
        return time.monotonic() - self._saved_at >= max(interval, SAVE_SHARE * self._save_seconds)

    def checkpoint(self) -> None:
        """Save the run as it stands. Raises TrainingError instead if it is no longer finite."""
        self._check_finite()
        begun = time.monotonic()
        self._save(self.state())
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begun

    def state(self) -> dict[str, Any]:
        """Everything that determines what follows; random streams are addressed by epoch and step, so these suffice."""
        return {
            "progress": copy.deepcopy(vars(self.progress)),
            "model": self._weights(),
            "best": self._best,
            "optimizer": self.optimizer.state_dict(),
            "loss_sum": self._loss_sum,
            "sound": self._sound,
            "dynamics": self.dynamics.state() if self.dynamics else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Stand where the run that gave `state` stood."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        self._best = {name: tensor.to(self._broken.device) for name, tensor in state["best"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self._loss_sum.copy_(state["loss_sum"])
        self._sound.copy_(state["sound"])
        if self.dynamics and state.get("dynamics"):
            self.dynamics.load(state["dynamics"])

    def _bar(self) -> Any:
        done = (self.progress.epoch - 1) * self.batches.rows + self.progress.step * self.batches.groups * (
            1 + self.batches.neg_ratio
        )
        return tqdm(
            total=self.settings.epochs * self.batches.rows,
            initial=done,
            desc="training",
            unit="rows",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else 30,
            disable=not self.settings.progress,
        )
