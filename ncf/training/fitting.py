"""What takes the trainer's place when a model is fitted without gradients: a single fit."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ncf.data.split import Split
from ncf.models import NonGradientRecommender
from ncf.training.trainer import Progress


class OneFit:
    """Fits `model` to the training part of `split` and saves what it learned.

    Args:
        device: where the model scores; it is fitted on the CPU.
        save: called with a state dict of tensors and primitives, a subset of the trainer's keys.
    """

    def __init__(
        self, model: NonGradientRecommender, split: Split, device: torch.device, save: Callable[[dict[str, Any]], None]
    ) -> None:
        self.model, self.progress = model, Progress()
        self._split, self._device, self._save = split, device, save

    def fit(self) -> bool:
        """Fit the model and return True; a fit can be neither interrupted nor resumed."""
        start = time.perf_counter()
        self.model.fit(self._split)
        self.progress.history = [{"epoch": 1, "train_seconds": time.perf_counter() - start, "valid_seconds": 0.0}]
        self.progress.best_epoch = 1
        self._save({"progress": dict(vars(self.progress)), "best": self.model.state_dict()})
        self.model.to(self._device)
        return True

    def load(self, state: Mapping[str, Any]) -> None:
        """Do nothing: an unfinished run starts over, since fitting takes seconds."""
