"""Resuming a run: the command line that started it, and the settings that must not change."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ncf.core import trust
from ncf.core.overrides import override
from ncf.data.split import Split
from ncf.errors import CheckpointError
from ncf.runs import checkpoint
from ncf.runs.checkpoint import Checkpoint
from ncf.runs.identity import changes, role_of
from ncf.runs.plan import RunPlan
from ncf.training.settings import TrainerSettings


def spelt_out(arguments: list[str], groups: Iterable[str]) -> list[str]:
    """Expand `resume=<folder>` in a command line into the overrides that started the run, and its folder.

    Args:
        groups: names of the configuration groups.

    Raises:
        ConfigError: the folder holds no run, or its saved overrides are not those of a run.
    """
    folders = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not folders or folders[-1] in ("", "null"):
        return arguments
    folder = Path(folders[-1])
    overrides = trust.saved_overrides(folder, groups)
    kept = [line for line in overrides if not line.startswith("resume=")]
    given = [argument for argument in arguments if not argument.startswith("resume=")]
    # No output_subdir: Hydra must not rewrite `.hydra`, so that a refused run leaves its folder unchanged. RUN: the
    # experiment may be a sweep, of which this is a single run.
    where = [override("resume", folder), override("hydra.run.dir", folder), "hydra.output_subdir=null"]
    where.append("hydra.mode=RUN")
    return [*kept, *given, *where]


def history(
    folder: Path, saved: Checkpoint | None, finished: Mapping[str, Any] | None, plan: RunPlan
) -> list[dict[str, float]]:
    """Return the metrics of the finished epochs in the checkpoint `saved` of the run in `folder`, if there is one.

    Raises:
        CheckpointError: by its checkpoint, or else its result, the run cannot be resumed with the settings of `plan`.
    """
    if saved is None:
        if finished is not None:
            refuse_changes(folder, plan.settings, finished["config"])
        return []
    refuse_changes(folder, plan.settings, saved.settings)
    with checkpoint.understood(folder):
        refuse_less(folder, plan.trainer, saved.progress.history)
    return saved.progress.history


def refuse_other_data(folder: Path, saved: Checkpoint | None, split: Split) -> None:
    """Raise CheckpointError if the run in `folder` was started on another split."""
    if saved is not None and saved.data_digest not in (None, split.digest):
        raise CheckpointError(
            f"{folder}: cannot resume with other data than it was started with ({saved.data_digest} -> {split.digest})"
        )


def refuse_sharded(folder: Path) -> None:
    """Raise CheckpointError if the unfinished run in `folder` was begun with trainer=distributed: it would be lost."""
    if any(os.path.lexists(folder / name) for name in (checkpoint.SHARDED, f"{checkpoint.SHARDED}.previous")):
        raise CheckpointError(f"{folder}: the run was started with trainer=distributed; go on with it, or elsewhere")


def refuse_changes(folder: Path, settings: dict[str, Any], saved: dict[str, Any]) -> None:
    """Raise CheckpointError if the run in `folder` was started with other settings; how long to train may change."""
    changed = {key: how for key, how in changes(saved, settings).items() if not role_of(key, settings).free_on_resume}
    if changed:
        what = "; ".join(f"{key}: {how}" for key, how in changed.items())
        raise CheckpointError(f"{folder}: cannot resume with other settings than it was started with ({what})")


def refuse_less(folder: Path, trainer: TrainerSettings, history: Sequence[Mapping[str, float]]) -> None:
    """Raise CheckpointError if a run with these settings would have ended before the last epoch of `history`."""
    best, best_epoch = float("-inf"), 0
    for done, line in enumerate(history):
        if done >= trainer.epochs or done - best_epoch >= trainer.patience:
            raise CheckpointError(
                f"{folder}: {len(history)} epochs are done, but with trainer.epochs={trainer.epochs} and "
                f"trainer.patience={trainer.patience} the run would have ended after {done}; start it in another folder"
            )
        if line.get(trainer.monitor, best) > best:  # a model fitted without gradients records no metric
            best, best_epoch = line[trainer.monitor], done + 1
