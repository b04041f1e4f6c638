"""Load a finished run to score and recommend with: `ncf.load(folder)`."""

import os
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ncf import models
from ncf.core.command_line import Parser
from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data.split import Split
from ncf.errors import DataError
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import completed
from ncf.runs.known_data import split_of
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.user_rows import around


def load(
    run_folder: str | Path, root: str | Path | None = None, archive: str | Path | None = None, mapped: bool = False
) -> LoadedRun:
    """Load the finished run in `run_folder`, preparing its data again, in memory, if it is not stored.

    The folder may be a stranger's: nothing is fetched or written, and its data is looked for as `known_data` says.

    Args:
        root: folder of data; None: the run's `data.root` if it is below the working folder, else the default one.
        archive: its data file or folder; None: the run's `data.archive` if it has the SHA-256 recorded with it.
        mapped: leave the weights in the file, which must not be written to meanwhile; only those that are used are then
            in memory, and processes share them.

    Raises:
        DataError: there is no such run, it is not finished, or its data is not found or has changed since training.
        CheckpointError: no checkpoint holds the weights of its result.
        TrainingError: there is not enough memory.
    """
    folder = Path(run_folder)
    result = finished(folder)
    config = _settings(folder, result)
    saved = checkpoint.of_result(folder, result, mapped)
    split = split_of(config, *(None if place is None else Path(place).expanduser() for place in (root, archive)))
    if split.digest != result["data_digest"]:
        raise DataError(
            f"{folder}: expected data with digest {result['data_digest'][:16]}, on which the run was trained, "
            f"found {split.digest[:16]}"
        )
    with checkpoint.understood(folder):
        return LoadedRun(folder, result, split, _restored(config, split, saved.best, mapped))


def add_options(options: Parser) -> None:
    """Add what every command that loads a run asks for: the run, and where its data lies."""
    options.add_argument("--run", required=True, help="folder of a finished run")
    options.add_argument("--root", help="folder of data (the run's data.root below the working folder, else data)")
    options.add_argument("--archive", help="the run's data file or folder (its data.archive, if its SHA-256 matches)")


def load_asked(options: Namespace, mapped: bool = False) -> LoadedRun:
    """Load the run that the options of `add_options` name. Raises as `load`."""
    return load(options.run, options.root, options.archive, mapped)


def _settings(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Return the run's settings. Raises DataError if they are not those of a run."""
    config = result["config"]
    if result.get("kind") == artifacts.SIMULATION:
        raise DataError(f"{folder}: expected a run of ncf.train, found a simulation")
    for group in ("data", "split", "model"):
        if not isinstance(config.get(group), dict):
            raise DataError(f"{folder / artifacts.RESULT}: expected the settings of a run, found no {group!r}")
    if not isinstance(config.get("seed"), int):
        raise DataError(f"{folder / artifacts.RESULT}: expected the settings of a run, found no 'seed'")
    return completed(config)


def finished(folder: Path) -> dict[str, Any]:
    """Return the result of the run in `folder`. Raises DataError if there is no run or it is not finished."""
    if not folder.is_dir():
        why = "is none" if os.path.lexists(folder) else "does not exist"
        raise DataError(f"run: expected a run folder, but {folder} {why}{_others(folder)}")
    result = artifacts.read_result(folder)
    if result is None and os.path.lexists(folder / checkpoint.NEWEST):
        raise DataError(f"{folder}: expected a finished run; resume it with python -m ncf.train resume={folder}")
    if result is None:
        raise DataError(f"{folder}: expected a run folder, found no {artifacts.RESULT}{_others(folder / 'x')}")
    return result


def _others(folder: Path) -> str:
    """Name some finished runs near `folder`, for an error message."""
    near = [path.parent for path in sorted(folder.parent.glob(f"*/{artifacts.RESULT}"))[:3]]
    return f" (finished runs nearby: {', '.join(map(str, near))})" if near else ""


def _restored(config: dict[str, Any], split: Split, state: dict[str, Tensor], mapped: bool) -> models.Recommender:
    make: partial[models.Recommender] = component("model", models.MODELS, config["model"])
    if mapped and (model := around(make, split.num_users, split.num_items, state)) is not None:
        return model
    model = models.build(make, split.num_users, split.num_items, generator(config["seed"], "initialisation"))
    if isinstance(model, models.NonGradientRecommender):
        model.restore(state)
    else:
        model.load_state_dict(state)
    return model.eval()
