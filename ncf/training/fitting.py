"""What takes the trainer's place when a model is fitted without gradients: a single fit."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ncf.core.memory import is_out_of_memory
from ncf.data.split import Split
from ncf.errors import TrainingError
from ncf.models import NonGradientRecommender
from ncf.models.non_gradient import StoppedError
from ncf.training.trainer import Progress


class OneFit:
    """Fits `model` to the training part of `split` and saves what it learned.

    Args:
        device: where the model scores; it is fitted on the CPU.
        save: called with a state dict of tensors and primitives, a subset of the trainer's keys.
        stopped: see `NonGradientRecommender`; a stopped fit saves nothing.
    """

    def __init__(
        self,
        model: NonGradientRecommender,
        split: Split,
        device: torch.device,
        save: Callable[[dict[str, Any]], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.progress = model, Progress()
        self._split, self._device, self._save = split, device, save
        model.stopped = stopped

    def fit(self) -> bool:
        """Fit the model and return True; return False if it was stopped, to start over when the run is resumed.

        Raises:
            ConfigError, DataError: the model cannot be fitted with these settings to this data.
            TrainingError: the memory does not suffice.
        """
        start = time.perf_counter()
        try:
            self.model.fit(self._split)
        except StoppedError:
            return False
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, TrainingError) or not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory while {type(self.model).__name__} was fitted to {self._split.num_users:,} users and "
                f"{self._split.num_items:,} items: use data with fewer of them, or a smaller model ({error})"
            ) from error
        self.progress.history = [{"epoch": 1, "train_seconds": time.perf_counter() - start, "valid_seconds": 0.0}]
        self.progress.best_epoch = 1
        self._save({"progress": dict(vars(self.progress)), "best": self.model.state_dict()})
        self.model.to(self._device)
        return True

    def load(self, state: Mapping[str, Any]) -> None:
        """Do nothing: an unfinished run starts over, since fitting takes seconds."""
