"""The training loop: epochs of steps, validation after each epoch, early stopping, and the best epoch restored.

The trainer never sees a test item: it is given batches and a function that validates, not the split.
"""

import copy
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ncf.data.batch import Batch
from ncf.errors import TrainingError
from ncf.evaluation.ratings import ERRORS
from ncf.training.arithmetic import arithmetic
from ncf.training.base import Step
from ncf.training.batches import Batches
from ncf.training.dynamics import Dynamics
from ncf.training.settings import TrainerSettings

SAVE_SHARE = 50  # between two saves, train for at least this many times as long as a save takes
GLANCE_STEPS = 32  # steps between two looks at the clock


@dataclass
class Progress:
    """The next step to take, and the state of early stopping."""

    epoch: int = 1
    step: int = 0
    best_epoch: int = 0
    best_value: float = float("-inf")  # of an error, its negative
    seconds: float = 0.0  # training time of the current epoch so far
    history: list[dict[str, float]] = field(default_factory=list)

    def epochs_without_improvement(self) -> int:
        """Return the number of epochs since the best one."""
        return len(self.history) - self.best_epoch


class Trainer:
    """Trains with `step` on `batches` until early stopping, the last epoch, or `stopped`.

    Args:
        validate: returns the validation metrics of the current model.
        record: called with the metrics of each finished epoch.
        save: called every `settings.checkpoint_every` with a state dict of tensors and primitives.
        stopped: returns true to request a graceful shutdown: finish the current step, save, and return.
        dynamics: observes each step and epoch.
    """

    def __init__(
        self,
        step: Step,
        batches: Batches,
        validate: Callable[[], dict[str, float]],
        settings: TrainerSettings,
        record: Callable[[dict[str, float]], None] = lambda line: None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        stopped: Callable[[], bool] = lambda: False,
        dynamics: Dynamics | None = None,
    ) -> None:
        self.model, self.step, self.batches, self.settings = step.model, step, batches, settings
        self.progress = Progress()
        self.dynamics = dynamics
        self._sign = -1 if settings.monitor in ERRORS else 1  # of an error, less is better
        if dynamics:
            step.observer = self._observe
        self._validate, self._record, self._save, self.stopped = validate, record, save, stopped
        self._best = self._weights()
        self._saved_at, self._save_seconds = time.monotonic(), 0.0

    def _observe(self, batch: Batch, logits: Tensor) -> None:
        assert self.dynamics
        self.dynamics.observe(self.progress.step, batch, logits)

    def fit(self) -> bool:
        """Train from `progress` on. Return True if the run is over, False if `stopped` interrupted it.

        When the run is over, the model has the weights of the best epoch.

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
        """Return whether early stopping or the last epoch has been reached."""
        return (
            self.progress.epoch > self.settings.epochs
            or self.progress.epochs_without_improvement() >= self.settings.patience
        )

    def close(self) -> None:
        """Save the finished run and restore the weights of its best epoch."""
        self.checkpoint()
        self.model.load_state_dict(self._best)

    def _train_epoch(self, bar: Any) -> bool:
        """Run the remaining steps of the epoch; return False if `stopped` interrupted it."""
        with arithmetic(self.settings.precision):
            return self._steps(bar)

    def _steps(self, bar: Any) -> bool:
        progress, start = self.progress, time.perf_counter()
        for batch in self.batches.epoch(progress.epoch, progress.step):
            self.step.at(progress.epoch, progress.step, self.batches)
            self.step(batch)
            progress.step += 1
            bar.update(batch.rows)
            if progress.step % GLANCE_STEPS == 0:
                now = time.perf_counter()
                progress.seconds, start = progress.seconds + now - start, now
                if self.due():
                    self.checkpoint()
            if self.stopped() and progress.step < self.batches.steps:
                return False
        progress.seconds += time.perf_counter() - start
        return True

    def _weights(self) -> dict[str, Tensor]:
        """Return a deep copy of the model's state dict."""
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _check_finite(self) -> None:
        tally = self.step.tally
        if tally.broken.item():
            step = int(tally.finite_steps.item()) + 1
            raise TrainingError(
                f"epoch {self.progress.epoch}, step {step}: expected a finite loss and gradient, got inf or NaN; "
                "the update was not applied. A smaller optimizer.lr may help"
            )

    def end_epoch(self) -> str:
        """Validate, keep the weights if they are the best so far, record the epoch; return a one-line summary.

        Raises:
            TrainingError: a loss or gradient of this epoch was not finite.
        """
        self.step.flush()  # `score` reads whole embedding tables, without dropout
        self._check_finite()
        progress = self.progress
        start = time.perf_counter()
        metrics = self._validate()
        line = {
            "epoch": progress.epoch,
            "train_loss": self.step.tally.loss_sum.item() / self.batches.rows,
            **self._task_losses(),
            "train_seconds": progress.seconds,
            "valid_seconds": time.perf_counter() - start,
            "rows_per_second": self.batches.rows / progress.seconds,
            **self._clipped(),
            **metrics,
        }
        if self.dynamics:
            self.dynamics.end_epoch(progress.epoch)
        progress.history.append(line)
        self._record(line)
        value = metrics[self.settings.monitor]
        if self._sign * value > progress.best_value:
            progress.best_value, progress.best_epoch = self._sign * value, progress.epoch
            self._best = self._weights()
        summary = (
            f"epoch {progress.epoch}, loss {line['train_loss']:.4f}, {self.settings.monitor} {value:.4f} "
            f"(best {self._sign * progress.best_value:.4f} at {progress.best_epoch})"
        )
        summary += f", {line['clipped']:.0%} of steps clipped" if "clipped" in line else ""
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        self.step.tally.reset()
        if self.due(epoch_end=True):
            self.checkpoint()
        return summary

    def _clipped(self) -> dict[str, float]:
        """Return the share of the epoch's steps whose gradients were clipped, if any are to be."""
        return {"clipped": self.step.tally.clipped.item() / self.batches.steps} if self.step.clips else {}

    def _task_losses(self) -> dict[str, float]:
        """Return the mean loss of each task over the epoch's positives, if the loss has several."""
        positives = self.batches.rows / (1 + self.batches.neg_ratio)
        return {f"{task}_loss": total.item() / positives for task, total in self.step.tally.task_sums.items()}

    def due(self, epoch_end: bool = False) -> bool:
        """Return whether a checkpoint is due; timed ones take at most 1/50 of the run, however large the model."""
        match = re.fullmatch(r"(\d+)(\D+)", self.settings.checkpoint_every)
        assert match
        count, unit = int(match[1]), match[2]
        if unit.startswith("epoch"):
            return epoch_end and (self.progress.epoch - 1) % count == 0
        interval = count * (60 if unit == "min" else 1)
        return time.monotonic() - self._saved_at >= max(interval, SAVE_SHARE * self._save_seconds)

    def checkpoint(self) -> None:
        """Save the current state. Raises TrainingError instead if a loss or gradient was not finite."""
        self._check_finite()
        start = time.monotonic()
        self._save(self.state())
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on; random streams, keyed by epoch and step, have no state."""
        tally = self.step.tally
        return {
            "progress": copy.deepcopy(vars(self.progress)),
            "model": self._weights(),
            "best": self._best,
            "optimizer": self.step.optimizer.state_dict(),
            "loss_sum": tally.loss_sum,
            "sound": tally.finite_steps,
            **({"clipped": tally.clipped} if self.step.clips else {}),
            "dynamics": self.dynamics.state() if self.dynamics else None,
            **({"task_sums": dict(tally.task_sums)} if tally.task_sums else {}),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        tally = self.step.tally
        self._best = {name: tensor.to(tally.broken.device) for name, tensor in state["best"].items()}
        self.step.optimizer.load_state_dict(state["optimizer"])
        tally.loss_sum.copy_(state["loss_sum"])
        tally.finite_steps.copy_(state["sound"])
        if (clipped := state.get("clipped")) is not None:
            tally.clipped.copy_(clipped)
        tally.task_sums = {task: s.to(tally.broken.device) for task, s in (state.get("task_sums") or {}).items()}
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
