"""The training loop on several processes: that of one, with its decisions made once for all."""

from typing import Any

from ncf.errors import TrainingError
from ncf.training.distributed.group import Group
from ncf.training.distributed.step import PartStep
from ncf.training.trainer import Trainer


class GroupTrainer(Trainer):
    """Trains as `Trainer` does; rank 0 decides when to save, and the sum of each step whether to stop."""

    def __init__(self, step: PartStep, *args: Any, group: Group, **kwargs: Any) -> None:
        super().__init__(step, *args, **{"stopped": lambda: step.stop, **kwargs})
        self._group = group

    def due(self, epoch_end: bool = False) -> bool:
        """Return whether a checkpoint is due, by the clock of rank 0."""
        return self._group.from_first(super().due(epoch_end))

    def _check_finite(self) -> None:
        try:
            super()._check_finite()
        except TrainingError as error:
            error.agreed = True  # type: ignore[attr-defined]  # the sum of the step has told all processes
            raise
