"""The command line around a training run: what is typed, what is printed, exit statuses, signals."""

import functools
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ncf.core import trust
from ncf.core.command_line import forgiving_streams, say, take_imports
from ncf.core.compose import CONF
from ncf.core.signals import STOPPED, StopFlag, stop_flag
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.runs import resume
from ncf.runs.components import CHOICES
from ncf.runs.state import claim, failures_recorded

BAD_INPUT = (ConfigError, DataError, CheckpointError)
"""Errors that end the process with status 2; what fails later has 1."""

_WHILE_RESOLVING = r"\w+ raised while resolving interpolation: | full_key: \S+ object_type=\S+"  # OmegaConf's frame
_run_began = False  # whether this process has come as far as a run, whose errors are none of the command line

Train = Callable[[DictConfig, Path, StopFlag], dict[str, Any] | None]


def hydra_job(train: Train) -> Callable[[DictConfig], float | None]:
    """`train` as a Hydra job: errors that the user can mend are one line; in a sweep each stays with its run."""

    @functools.wraps(train)
    def job(cfg: DictConfig) -> float | None:
        global _run_began
        _run_began = True
        try:
            return _one_run(train, cfg)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return None  # it is on record
            if not isinstance(error, NcfError):
                raise
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2 if isinstance(error, BAD_INPUT) else 1) from None

    return job


def _one_run(train: Train, cfg: DictConfig) -> float:
    """The monitored validation metric, never a test metric, so that sweepers can optimise it."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    alone = HydraConfig.get().mode == RunMode.RUN
    refusals = BAD_INPUT if alone else ()  # bad input leaves the folder as it was
    with claim(folder), failures_recorded(folder, but=refusals), stop_flag() as stopped, memory_explained():
        _refuse_stray_resume(cfg, folder)
        result = train(cfg, folder, stopped)
    if result is None:
        if alone:
            print(f"stopped, resumable: python -m ncf.train resume={folder}", file=sys.stderr)
        raise SystemExit(STOPPED)
    if alone:
        say(f"{table(result)}\n{folder}")
    return float(result["valid"][cfg.trainer.monitor])


def _refuse_stray_resume(cfg: DictConfig, folder: Path) -> None:
    """Raises ConfigError for `resume` that comes from a YAML file, where it cannot bring back the run's settings."""
    named = cfg.resume if "resume" in cfg else None
    if named and Path(HydraConfig.get().runtime.cwd, str(named)).resolve() != folder.resolve():
        raise ConfigError(f"resume: expected as resume=<run folder> on the command line, got {named!r} elsewhere")


def table(result: dict[str, Any]) -> str:
    """The metrics of a result as a small table."""
    names = list(result["test"])
    width = max(9, *map(len, names))
    lines = [" " * 6 + "".join(f"{name:>{width + 1}}" for name in names)]
    lines += [f"{part:<6}" + "".join(f"{result[part][n]:>{width + 1}.4f}" for n in names) for part in ("valid", "test")]
    return "\n".join(lines)


@contextmanager
def memory_explained() -> Iterator[None]:
    """Raises TrainingError, which says what to lower, where the context runs out of memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not re.search("out of memory|can't allocate memory", str(error)):
            raise
        raise TrainingError(
            f"out of memory: lower trainer.batch_size, or evaluation.memory_mb if it happened in validation ({error})"
        ) from error


def run(main: Callable[[], object]) -> None:
    """Run a Hydra application; what is wrong with what was typed is one line.

    Raises:
        SystemExit: 2 for what was typed, 130 for Ctrl-C before or after training, which saves itself.
    """
    global _run_began
    _run_began = False
    forgiving_streams()
    logging.raiseExceptions = False  # a log on a full disk would say so by tracebacks
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra's own errors then come up to here
    try:
        arguments = take_imports(sys.argv[1:])
        trust.check_arguments(arguments, CONF, CHOICES)
        sys.argv[1:] = resume.spelt_out(arguments, CHOICES)
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        if _run_began:
            raise
        causes = [error, *filter(None, [error.__cause__])]
        text = " ".join(" ".join(map(str, causes)).split())
        print("error: " + re.sub(_WHILE_RESOLVING, "", text), file=sys.stderr)
        raise SystemExit(2) from None
