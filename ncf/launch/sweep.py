"""Hydra's multirun, made to be killed and started again: what the run folders say decides what is launched."""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, ListConfig, OmegaConf

from ncf.core.signals import ASKING, STOPPED
from ncf.errors import ConfigError, DataError, NcfError
from ncf.launch.progress import SweepProgress, progress_line, write_plan
from ncf.runs.artifacts import read_result
from ncf.runs.identity import changes, resolved, run_id
from ncf.runs.plan import plan_run
from ncf.runs.state import claim, done, record_failure, state
from ncf.study.plan import describe, plans, require_plan
from ncf.study.registered_runs import admits, overrides, parts, registered_runs
from ncf.study.registration import load

_QUIET = ["hydra/job_logging=file", "trainer.progress=false"]
_SAVING_SECONDS = 60.0  # that the runs in hand get to save themselves when the sweep is stopped

Jobs = dict[Path, list[str]]
"""Run folder -> the overrides of its run."""


class Sweep:
    """A sweep that launches what is not finished.

    Args:
        config: of the multirun, Hydra's own part included.
        loader: Hydra's, that composes each job's configuration.
        launcher: Hydra's, that runs jobs.
        parts: instead of all choices that overrides cross, parts of the `registration`, in this order; the overrides
            narrow them down (`seed=42,43 neg_ratio=10`) and set what they leave open.
        conclusive: refuse a registration with a comparison that no data could decide.
    """

    def __init__(
        self, config: DictConfig, loader: ConfigLoader, launcher: Launcher, parts: ListConfig | None, conclusive: bool
    ) -> None:
        self._config, self._loader, self._launcher = config, loader, launcher
        self._parts, self._conclusive = parts, conclusive
        self._cache: dict[tuple[str, ...], DictConfig] = {}

    def run(self, given: list[Override]) -> None:
        """Run the jobs that the overrides ask for.

        Raises:
            SystemExit: 2 for overrides that make no sweep, 1 if a run failed, 75 if some are not done otherwise.
        """
        folder = Path(self._config.hydra.sweep.dir)
        try:
            crossed = self._parts is None
            jobs, ratios = self._jobs(
                BasicSweeper.split_arguments(given, None)[0] if crossed else self._registered(given)
            )
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self._config, folder / "multirun.yaml")
            write_plan(folder, OmegaConf.select(self._config, "hydra.runtime.choices.experiment") or "adhoc", ratios)
        except (NcfError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        progress = SweepProgress(folder, ratios)
        with progress_line(progress), _stoppable(jobs):
            unusable = [folder for folder in jobs if _unusable(folder)]
            broken = self._launch_all({folder: job for folder, job in jobs.items() if folder not in unusable})
        states = {status.state for status in progress.look()}
        if broken:
            print(f"error: the launcher gave up: {type(broken).__name__}: {broken}", file=sys.stderr)
        for left_out in unusable:
            print(f"error: {left_out}: expected a folder that can be written to; its run was left out", file=sys.stderr)
        if states != {"done"}:
            print(f"not all runs are done; for more: python -m ncf.status {folder}", file=sys.stderr)
            raise SystemExit(1 if broken or unusable or "failed" in states else STOPPED)

    def _registered(self, given: list[Override]) -> list[list[str]]:
        """The registered runs that `given` admits, each with what `given` sets besides."""
        if self._config.registration is None:
            raise ConfigError("registration: hydra.sweeper.parts are parts of one, expected its path, got null")
        registration = load(Path(self._config.registration))
        wanted = parts(OmegaConf.to_container(self._parts))
        tested = {name for part in wanted for name in part.of}
        for plan in (plan for plan in plans(registration) if plan.hypothesis in tested):
            print(describe(plan), file=sys.stderr)
        if self._conclusive:
            require_plan(registration)
        runs = [overrides(run) for run in registered_runs(registration, wanted)]
        registered = {key for run in runs for key in run}
        chosen = {o.key_or_group: _values(o) for o in given if o.key_or_group in registered}
        fixed = [o for o in given if o.key_or_group not in registered]
        for override in fixed:
            if override.is_sweep_override():
                raise ConfigError(f"{override.key_or_group}: not registered, so a registered sweep takes one value")
        kept = [run for run in runs if admits(chosen, run)]
        if not kept:
            raise ConfigError(f"the registration has no run with {' '.join(f'{k}={v}' for k, v in chosen.items())}")
        lines = [str(override.input_line) for override in fixed]
        return [[*lines, *(f"{key}={value}" for key, value in run.items())] for run in kept]

    def _jobs(self, lists: Iterable[list[str]]) -> tuple[Jobs, dict[str, int]]:
        """Each list's run folder, and run -> negatives a positive. Bad settings are refused before anything starts.

        Raises:
            ConfigError: naming the key.
        """
        jobs: Jobs = {}
        ratios: dict[str, int] = {}
        settings: dict[Path, dict[str, Any]] = {}
        checked = set()
        for listed in ([*_QUIET, *given] for given in lists):
            cfg = self._composed(listed)
            seedless = tuple(line for line in listed if not re.fullmatch(r"seed=\d+", line))
            if seedless not in checked:
                plan_run(cfg)
                checked.add(seedless)
            name = str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
            if name != Path(name).name:
                raise ConfigError(f"hydra.sweep.subdir: expected the name of one folder, got {name!r}")
            folder = Path(self._config.hydra.sweep.dir) / name
            jobs[folder], ratios[folder.name] = listed, cfg.neg_ratio
            own = resolved(cfg)
            _refuse_another(folder, own, settings.setdefault(folder, own))
        return jobs, ratios

    def _composed(self, listed: list[str]) -> DictConfig:
        """The configuration of a job, until the next call: composing takes 0.1 s, so seeds and ratios share one."""
        numbers = [line for line in listed if re.fullmatch(r"(seed|neg_ratio)=\d+", line)]
        rest = [line for line in listed if line not in numbers]
        keys = [line.split("=")[0] for line in numbers]
        cfg = self._cache.get(key := (*rest, *keys))
        if cfg is None:
            cfg = self._cache[key] = self._loader.load_sweep_config(self._config, rest)
        for line in numbers:
            name, value = line.split("=")
            cfg[name] = int(value)
        return cfg

    def _launch_all(self, jobs: Jobs) -> Exception | None:
        """Launch the jobs, and again those that were dropped, until each is done, failed or another process's.

        The launcher's own error ends it: jobs may still be queued somewhere, so none is launched a second time.
        """
        left = {folder: job for folder, job in jobs.items() if state(folder) != "done"}
        while left:
            try:
                self._launch(left)
            except Exception as error:
                return error
            dropped = {folder: job for folder, job in left.items() if state(folder) in ("stopped", "waiting")}
            if len(dropped) == len(left):
                break
            left = dropped
        return None

    def _launch(self, jobs: Jobs) -> None:
        try:
            self._launcher.launch(list(jobs.values()), initial_job_idx=0)
        except BrokenProcessPool:
            # A process died, and took the pool with it. Nothing says whose: each run that was in hand goes on alone.
            for folder in [folder for folder in jobs if state(folder) == "stopped"]:
                self._launch_alone(folder, jobs[folder])

    def _launch_alone(self, folder: Path, job: list[str]) -> None:
        try:
            self._launcher.launch([job], initial_job_idx=0)
        except BrokenProcessPool:
            with contextlib.suppress(NcfError), claim(folder):
                if not done(folder):
                    record_failure(folder, "its process died without an error: killed, or out of memory")


def _unusable(folder: Path) -> bool:
    """Whether no run can be made in `folder`; Hydra's error about one would end the whole sweep."""
    fit = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return os.path.lexists(folder) and not fit and not done(folder)


def _refuse_another(folder: Path, settings: dict[str, Any], first: dict[str, Any]) -> None:
    """Raises ConfigError if `folder` would be taken for the run of `settings`, but has those of another.

    Args:
        first: the settings of the first job that the sweep puts there.
    """
    if folder.name == run_id(settings):  # unique to its settings
        return
    with contextlib.suppress(DataError):  # who runs one that is damaged is told so
        kept = read_result(folder)
        if changes(first, settings) or (kept and changes(kept["config"], settings)):
            raise ConfigError(
                f"hydra.sweep.subdir: expected a folder of its own for each run, found other settings at {folder}"
            )


def _values(override: Override) -> list[Any]:
    return list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]


@contextlib.contextmanager
def _stoppable(folders: Iterable[Path]) -> Iterator[None]:
    """A stop signal goes on to the processes of the launcher; once their runs are saved, SystemExit(75)."""

    def stop(number: int, frame: FrameType | None) -> None:
        children = multiprocessing.active_children()  # jobs of a cluster are none: they go on without this process
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _SAVING_SECONDS
        while children and any(state(folder) == "running" for folder in folders) and time.monotonic() < deadline:
            time.sleep(0.1)
        print("stopped; the same command goes on", file=sys.stderr)
        raise SystemExit(STOPPED)

    former = {number: signal.signal(number, stop) for number in ASKING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
