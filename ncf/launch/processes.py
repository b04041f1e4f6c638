"""One run on several processes, started by torchrun: which of them speaks, and what the others do.

Rank 0 goes through everything that a run on one process goes through. The others only train and rank: they have no
folder, lock, log or record of their own, and keep quiet about errors that rank 0 tells.
"""

import atexit
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from omegaconf import DictConfig, OmegaConf

from ncf.core.signals import STOPPED, stop_flag
from ncf.errors import ConfigError
from ncf.launch.driver import end_with


def _number(variable: str, otherwise: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else otherwise


def _several() -> bool:
    """Return whether torchrun has started this process as one of several."""
    return _number("WORLD_SIZE", 1) > 1 and "MASTER_ADDR" in os.environ


@contextmanager
def one_of_several() -> Iterator[None]:
    """Be one process of a run within the context: end soon after torchrun, and without the interpreter's own end.

    A process that has met others never leaves the context: gloo's threads may still be dropping tensors, and one that
    asks for the interpreter while that is ending aborts the process (SIGABRT, one run in ten before this).
    """
    if _several():
        end_with(os.getppid())
    status: object = None
    try:
        yield
    except SystemExit as end:
        if not _have_met():
            raise
        status = end.code
    except BaseException:
        if not _have_met():
            raise
        traceback.print_exc()
        status = 1
    if _have_met():
        _end(status if isinstance(status, int) else int(status is not None))


def _have_met() -> bool:
    return dist.is_available() and dist.is_initialized()


def _end(status: int) -> None:
    """Do what the interpreter does at its end for what is left to be written, then end this process."""
    atexit._run_exitfuncs()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a closed pipe; there is nobody to tell
            status = status or 1
    os._exit(status)


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
