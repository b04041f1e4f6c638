"""The command line around a training run, a simulation or a service: arguments, output, exit statuses and signals."""

import functools
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ncf.core import trust
from ncf.core.advice import explained, refuse_missing_run, refuse_unknown_options
from ncf.core.command_line import forgiving_streams, imported, say, take_imports, text_table
from ncf.core.compose import CONF, compose
from ncf.core.memory import is_out_of_memory
from ncf.core.signals import STOPPED, StopFlag, stop_flag
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.launch import log_file, processes, run_folder
from ncf.launch.driver import driving, end_with_driver, is_driver
from ncf.runs import resume
from ncf.runs.components import CHOICES
from ncf.runs.identity import is_service, is_simulation
from ncf.runs.state import claim, failures_recorded

BAD_INPUT = (ConfigError, DataError, CheckpointError)
"""Errors that exit with status 2; later failures exit with 1."""

_run_began = False  # whether this process has got as far as a run; errors before that concern the command line
_failed: list[Path] = []  # runs of this process that failed in a sweep of another sweeper than ours

Train = Callable[[DictConfig, Path, StopFlag, Callable[[], None]], dict[str, Any] | None]


class FailedRunError(NcfError):
    """A run of a sweep has failed, in a worker process; the record is in its folder."""


def hydra_job(train: Train) -> Callable[[DictConfig], float | None]:
    """Turn `train` into a Hydra job: user errors are printed as one line; in a sweep an error ends only its own run."""

    @functools.wraps(train)
    def _job(cfg: DictConfig) -> float | None:
        global _run_began
        _run_began = True
        hydra: Any = HydraConfig.get()
        if "submitit" not in str(OmegaConf.select(hydra, "launcher._target_")):  # a cluster's jobs outlive the driver
            end_with_driver()
        try:
            return _one_run(train, cfg)
        except Exception as error:
            if hydra.mode == RunMode.MULTIRUN:
                _note_failure(Path(hydra.runtime.output_dir))
                return None  # it is recorded in the run folder
            if not isinstance(error, NcfError):
                raise
            if processes.to_be_said(error):
                print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2 if isinstance(error, BAD_INPUT) else 1) from None

    return _job


def _note_failure(folder: Path) -> None:
    """Note that the run in `folder` failed; our own sweeper sees it by its record, others would take it for done.

    Raises:
        FailedRunError: in a worker process of another sweeper, whose driver knows only what is raised.
    """
    hydra: Any = HydraConfig.get()
    if OmegaConf.select(hydra, "runtime.choices.hydra/sweeper") in (None, "resumable"):
        return
    if not is_driver():
        raise FailedRunError(f"{folder}: the run failed")
    _failed.append(folder)


def _one_run(train: Train, cfg: DictConfig) -> float:
    """Make one run and return what sweepers optimise: the monitored validation metric, never a test metric.

    Of a simulation it is the mean regret, of a service the effect.
    """
    if processes.beside(cfg):
        with memory_explained():
            return processes.follow(train, cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    alone, kind = HydraConfig.get().mode == RunMode.RUN, _kind(cfg)
    not_recorded = BAD_INPUT if alone else ()  # bad input leaves the folder unchanged
    with (
        claim(folder),
        failures_recorded(folder, but=not_recorded),
        stop_flag() as stopped,
        memory_explained(kind.to_lower),
    ):
        _refuse_stray_resume(cfg, folder)
        result = train(cfg, folder, stopped, functools.partial(_begin, cfg, folder))
    if result is None:
        if alone:
            onward = kind.onward.format(folder).replace("python", processes.launcher(), 1)
            print(f"stopped; {onward}", file=sys.stderr)
        raise SystemExit(STOPPED)
    if alone:
        say(f"{kind.shown(result)}\n{folder}")
    return kind.objective(cfg, result)


def _begin(cfg: DictConfig, folder: Path) -> None:
    """Write what Hydra would have written to `folder` before it was known to be free for this run: record and log."""
    log_file.begin()
    hydra: Any = HydraConfig.get()
    if not cfg.get("resume") and hydra.output_subdir is None:  # a resumed run keeps the record of its start
        run_folder.record(folder, cfg, hydra.overrides.task, cast(DictConfig, HydraConfig.instance().cfg))


def _refuse_stray_resume(cfg: DictConfig, folder: Path) -> None:
    """Raise ConfigError if `resume` comes from a YAML file, where it cannot restore the run's settings."""
    named = cfg.resume if "resume" in cfg else None
    if named and Path(HydraConfig.get().runtime.cwd, str(named)).resolve() != folder.resolve():
        raise ConfigError(f"resume: expected resume=<run folder> on the command line, got {named!r} from a file")


def table(result: dict[str, Any]) -> str:
    """Format the metrics of a result as a small table."""
    names = list(result["test"])
    width = max(9, *map(len, names))
    lines = [" " * 6 + "".join(f"{name:>{width + 1}}" for name in names)]
    lines += [f"{part:<6}" + "".join(f"{result[part][n]:>{width + 1}.4f}" for n in names) for part in ("valid", "test")]
    return "\n".join(lines)


def regrets(result: dict[str, Any]) -> str:
    """Format the regrets of a simulation's result as a small table."""
    return text_table(["regret", "agent", "best item"], [
        [name, value, result["best_item_regret"][name]] for name, value in result["regret"].items()
    ])  # fmt: skip


_TO_LOWER = "lower trainer.batch_size, or evaluation.memory_mb if this was during validation"


@dataclass(frozen=True)
class _Kind:
    """What differs between the kinds of runs.

    Attributes:
        shown: formats a result.
        objective: what sweepers optimise.
        to_lower: what makes a run take less memory.
        onward: how to go on with the stopped run in folder {}.
    """

    shown: Callable[[dict[str, Any]], str]
    objective: Callable[[DictConfig, dict[str, Any]], float]
    to_lower: str
    onward: str


def _kind(cfg: DictConfig) -> _Kind:
    if is_service(cfg):
        from ncf.service.tables import shown  # no other run needs its statistics

        return _Kind(
            shown, lambda cfg, result: float(result["effect"]), "lower world.users, days or world.sessions",
            "nothing is kept of it; start it again",
        )  # fmt: skip
    if is_simulation(cfg):
        return _Kind(
            regrets, lambda cfg, result: float(result["regret"]["mean"]),
            "lower environment.users or environment.items, or agent.factors",
            "resume with python -m ncf.simulate resume={}",
        )  # fmt: skip
    return _Kind(
        table, lambda cfg, result: float(result["valid"].get(cfg.trainer.monitor, math.nan)),  # none without epochs
        _TO_LOWER, "resume with python -m ncf.train resume={}",
    )  # fmt: skip


@contextmanager
def memory_explained(lower: str = _TO_LOWER) -> Iterator[None]:
    """Turn running out of memory within the context into a TrainingError that says which setting to `lower`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory: {lower} ({error})") from error


def run(main: Callable[[], object], root: str = "train") -> None:
    """Run a Hydra application, whose root configuration is `root`; errors in its arguments are printed as one line.

    Raises:
        SystemExit: 2 for such an error, 130 for Ctrl-C outside of training (which saves itself and exits with 75), 1 if
            a run of a sweep failed.
    """
    with processes.one_of_several():
        _run(main, root)


def _run(main: Callable[[], object], root: str) -> None:
    global _run_began
    _run_began = False
    _failed.clear()
    imported()
    forgiving_streams()
    logging.raiseExceptions = False  # logging to a full disk would print tracebacks
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that Hydra's own errors are raised up to here
    try:
        arguments = take_imports(sys.argv[1:])
        refuse_unknown_options(arguments, lambda: compose([], root=root))
        trust.check_arguments(arguments, CONF, CHOICES)
        refuse_missing_run(arguments)
        sys.argv[1:] = [*resume.spelt_out(arguments, CHOICES), *processes.without_folder()]
        with driving():
            main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except FailedRunError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        if _run_began:
            raise
        if processes.speaks():
            print(f"error: {explained(error, CONF)}", file=sys.stderr)
        raise SystemExit(2) from None
    if _failed:
        print(
            f"error: {len(_failed)} runs failed; for details: python -m ncf.status {_failed[0].parent}", file=sys.stderr
        )
        raise SystemExit(1)
