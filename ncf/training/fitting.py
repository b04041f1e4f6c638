"""The place of the trainer in a run whose model is fitted without gradient: one step, then over."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ncf.data.split import Split
from ncf.models import NonGradientRecommender
from ncf.training.trainer import Progress


class OneFit:
    """Fits `model` to the training part of `split`, and saves what it learned.

    Args:
        device: where the model scores; it is fitted on the CPU.
        save: takes a state dict of tensors and primitives, with the same keys as a trainer's for what they share.
    """

    def __init__(
        self, model: NonGradientRecommender, split: Split, device: torch.device, save: Callable[[dict[str, Any]], None]
    ) -> None:
        self.model, self.progress = model, Progress()
        self._split, self._device, self._save = split, device, save

    def fit(self) -> bool:
        """True, once the model is ready: there is no moment at which it could be interrupted and resumed."""
        begun = time.perf_counter()
        self.model.fit(self._split)
        self.progress.history = [{"epoch": 1, "train_seconds": time.perf_counter() - begun, "valid_seconds": 0.0}]
        self.progress.best_epoch = 1
        self._save({"progress": dict(vars(self.progress)), "best": self.model.state_dict()})
        self.model.to(self._device)
        return True

    def load(self, state: Mapping[str, Any]) -> None:
        """A run that did not finish begins anew: fitting takes seconds."""
