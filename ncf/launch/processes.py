"""One run on several processes, started by torchrun: which of them speaks, and what the others do.

Rank 0 goes through everything that a run on one process goes through. The others only train and rank: they have no
folder, lock, log or record of their own, and keep quiet about errors that rank 0 tells.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ncf.core.signals import STOPPED, stop_flag
from ncf.errors import ConfigError


def _number(variable: str, otherwise: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else otherwise


def _several() -> bool:
    """Return whether torchrun has started this process as one of several."""
    return _number("WORLD_SIZE", 1) > 1 and "MASTER_ADDR" in os.environ


def speaks() -> bool:
    """Return whether this process is the one to tell what all processes of a run find alike, such as a wrong key."""
    return not (_several() and _number("RANK", 0) > 0)


def beside(cfg: DictConfig) -> bool:
    """Return whether this process works beside rank 0 of its run.

    Raises:
        ConfigError: torchrun has started several processes for a run on one.
    """
    if not _several():
        return False
    if OmegaConf.select(cfg, "trainer.sharding") is None:
        raise ConfigError(
            f"trainer: expected trainer=distributed for {_number('WORLD_SIZE', 1)} processes of torchrun; without it, "
            "start one process by python -m"
        )
    return not speaks()


def without_folder() -> list[str]:
    """Return the overrides of Hydra with which a process other than rank 0 leaves no folder behind."""
    return ["hydra.run.dir=.", "hydra.output_subdir=null"] if not speaks() else []


def follow(train: Callable[..., dict[str, Any] | None], cfg: DictConfig) -> float:
    """Train beside rank 0. Raises SystemExit if the run was stopped."""
    with stop_flag() as stopped:
        if train(cfg, Path(), stopped, lambda: None) is None:
            raise SystemExit(STOPPED)
    return float("nan")


def to_be_said(error: Exception) -> bool:
    """Return whether this process is the one to tell of an error that ends the run."""
    if getattr(error, "first", True) is False:
        return False
    known_to_all = getattr(error, "agreed", False) or isinstance(error, ConfigError)
    return speaks() or not known_to_all


def launcher() -> str:
    """Return what this process was started by, as it is typed."""
    return f"torchrun --nproc-per-node={_number('LOCAL_WORLD_SIZE', 1)}" if _several() else "python"
