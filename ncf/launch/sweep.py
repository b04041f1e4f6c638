"""A multirun that can be killed and restarted: the state of the run folders decides which runs are launched."""

import contextlib
import csv
import io
import multiprocessing
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, ListConfig, OmegaConf

from ncf.core.command_line import say, visible
from ncf.core.outside import read_text
from ncf.core.signals import STOPPED, handling
from ncf.errors import ConfigError, DataError, NcfError
from ncf.launch.progress import SweepProgress, progress_line, write_plan
from ncf.runs.artifacts import read_result
from ncf.runs.identity import changes, is_service, is_simulation, resolved, run_id
from ncf.runs.own_files import outward_links
from ncf.runs.plan import plan_run
from ncf.runs.simulation import plan_simulation
from ncf.runs.state import claim, done, record_failure, state
from ncf.study.outcomes import Chances, chances, describe_chances, from_pilot
from ncf.study.plan import describe, plans, require_plan
from ncf.study.registered_runs import admits, overrides, parts, registered_runs
from ncf.study.registration import Registration, load

_QUIET = ["hydra/job_logging=file"]
_SAVING_SECONDS = 60.0  # for running runs to save themselves when the sweep is stopped

Jobs = dict[Path, list[str]]
"""Run folder -> the overrides of its run."""


class Sweep:
    """A sweep that launches the runs that are not finished.

    Args:
        config: of the multirun, including Hydra's own part.
        loader: Hydra's config loader, which composes each job's configuration.
        launcher: Hydra's launcher, which runs the jobs.
        parts: parts of the `registration` to run, in this order, instead of the product of all overrides; overrides
            then select among these runs (`seed=42,43 neg_ratio=10`) and set what the registration leaves open.
        conclusive: refuse a registration with a comparison that no data could decide.
        finished: a table of runs that count as done though their folders are not here, such as those of another
            machine: a CSV file whose column `run` names them. If there is no such file, there are none.
    """

    def __init__(
        self, config: DictConfig, loader: ConfigLoader, launcher: Launcher, parts: ListConfig | None, conclusive: bool,
        finished: str | None = None,
    ) -> None:  # fmt: skip
        self._config, self._loader, self._launcher = config, loader, launcher
        self._parts, self._conclusive, self._finished = parts, conclusive, finished
        self._cache: dict[tuple[str, ...], DictConfig] = {}

    def run(self, given: list[Override]) -> None:
        """Run the jobs that the overrides `given` define.

        Raises:
            SystemExit: 2 for invalid overrides, 1 if a run failed, 75 if some runs are otherwise not done.
        """
        folder = Path(self._config.hydra.sweep.dir)
        try:
            crossed = self._parts is None
            jobs, ratios = self._jobs(
                BasicSweeper.split_arguments(given, None)[0] if crossed else self._registered_jobs(given)
            )
            jobs = self._unfinished(jobs)
            ratios = {run.name: ratios[run.name] for run in jobs}
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self._config, folder / "multirun.yaml")
            write_plan(folder, OmegaConf.select(self._config, "hydra.runtime.choices.experiment") or "adhoc", ratios)
        except (NcfError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        progress = SweepProgress(folder, ratios)
        with progress_line(progress), _stoppable(jobs):
            unusable = [run for run in jobs if _unusable(run)]
            launch_error = self._launch_all({run: job for run, job in jobs.items() if run not in unusable})
        states = {status.state for status in progress.look()}
        if launch_error:
            print(f"error: the launcher failed: {type(launch_error).__name__}: {launch_error}", file=sys.stderr)
        for left_out in unusable:
            print(
                f"error: {left_out}: expected a writable folder without links out of it; its run was skipped",
                file=sys.stderr,
            )
        if states - {"done"}:
            print(f"not all runs are done; for details: python -m ncf.status {folder}", file=sys.stderr)
            raise SystemExit(1 if launch_error or unusable or "failed" in states else STOPPED)
        if jobs:
            registration = None if self._parts is None else str(self._config.registration)
            if is_service(self._config):  # whose tables no command compares
                say(visible(f"results: {folder}/*/estimates.csv"))
            else:
                say(_where_next(folder, registration, is_simulation(self._config)))

    def _registered_jobs(self, given: list[Override]) -> list[list[str]]:
        """Return the registered runs that match `given`, each with the other overrides in `given`."""
        if self._config.registration is None:
            raise ConfigError("registration: expected its path, since hydra.sweeper.parts refers to it, got null")
        registration = load(Path(self._config.registration))
        wanted = parts(OmegaConf.to_container(self._parts))
        tested = {name for part in wanted for name in part.of}
        for plan in (plan for plan in plans(registration) if plan.hypothesis in tested):
            print(describe(plan), file=sys.stderr)
        for found in _chances(registration):
            if found.hypothesis in tested:
                print(describe_chances(found), file=sys.stderr)
        if self._conclusive:
            require_plan(registration)
        runs = [overrides(run) for run in registered_runs(registration, wanted)]
        registered = {key for run in runs for key in run}
        chosen = {o.key_or_group: _values(o) for o in given if o.key_or_group in registered}
        fixed = [o for o in given if o.key_or_group not in registered]
        for override in fixed:
            if override.is_sweep_override():
                raise ConfigError(f"{override.key_or_group}: not in the registration, so expected a single value")
        kept = [run for run in runs if admits(chosen, run)]
        if not kept:
            raise ConfigError(f"the registration has no run with {' '.join(f'{k}={v}' for k, v in chosen.items())}")
        lines = [str(override.input_line) for override in fixed]
        return [[*lines, *(f"{key}={value}" for key, value in run.items())] for run in kept]

    def _jobs(self, lists: Iterable[list[str]]) -> tuple[Jobs, dict[str, int]]:
        """Return the jobs, and run -> negatives per positive; settings are checked before anything starts.

        Raises:
            ConfigError: a setting is invalid; names its key.
        """
        jobs: Jobs = {}
        ratios: dict[str, int] = {}
        settings: dict[Path, dict[str, Any]] = {}
        checked = set()
        plan, progress = _kind(self._config)
        quiet = [*_QUIET, f"{progress}=false"]
        for job in ([*quiet, *given] for given in lists):
            cfg = self._compose(job)
            self._refuse_inner_sweep(cfg)
            seedless = tuple(line for line in job if not re.fullmatch(r"seed=\d+", line))
            if seedless not in checked:
                plan(cfg)
                checked.add(seedless)
            name = str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
            if name != Path(name).name:
                raise ConfigError(f"hydra.sweep.subdir: expected a folder name, got {name!r}")
            folder = Path(self._config.hydra.sweep.dir) / name
            jobs[folder], ratios[folder.name] = job, cfg.get("neg_ratio", 1)
            own = resolved(cfg)
            _refuse_another(folder, own, settings.setdefault(folder, own))
        return jobs, ratios

    def _unfinished(self, jobs: Jobs) -> Jobs:
        """Return the jobs that the table of finished runs lacks. Raises ConfigError if it cannot be read."""
        finished = _finished_in(Path(self._finished)) if self._finished else set()
        left = {folder: job for folder, job in jobs.items() if folder.name not in finished}
        if len(left) < len(jobs):
            print(f"{len(jobs) - len(left)} of {len(jobs)} runs are in {self._finished}", file=sys.stderr)
        return left

    def _refuse_inner_sweep(self, cfg: DictConfig) -> None:
        """Raise ConfigError if a swept choice, `experiment=a,b`, defines a sweep of its own: it would be dropped."""
        for key in ("params", "parts"):
            inner = OmegaConf.select(cfg, f"hydra.sweeper.{key}")
            if inner and inner != OmegaConf.select(self._config, f"hydra.sweeper.{key}"):
                name = OmegaConf.select(cfg, "hydra.runtime.choices.experiment")
                raise ConfigError(
                    f"experiment: expected one choice, since {name} defines a sweep of its own; start a sweep for each"
                )

    def _compose(self, job: list[str]) -> DictConfig:
        """Return a job's configuration, valid until the next call; cached over seeds and ratios, as it takes 0.1 s."""
        numbers = [line for line in job if re.fullmatch(r"(seed|neg_ratio)=\d+", line)]
        rest = [line for line in job if line not in numbers]
        keys = [line.split("=")[0] for line in numbers]
        cfg = self._cache.get(key := (*rest, *keys))
        if cfg is None:
            cfg = self._cache[key] = self._loader.load_sweep_config(self._config, rest)
        for line in numbers:
            name, value = line.split("=")
            cfg[name] = int(value)
        return cfg

    def _launch_all(self, jobs: Jobs) -> Exception | None:
        """Launch the jobs, and relaunch dropped ones, until each is done, failed, or running in another process.

        An error of the launcher itself is returned at once: its jobs may still be queued, so none is launched twice.
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
            # A process died and broke the pool. Which run caused it is unknown, so each interrupted run is run alone.
            for folder in [folder for folder in jobs if state(folder) == "stopped"]:
                self._launch_alone(folder, jobs[folder])

    def _launch_alone(self, folder: Path, job: list[str]) -> None:
        try:
            self._launcher.launch([job], initial_job_idx=0)
        except BrokenProcessPool:
            with contextlib.suppress(NcfError), claim(folder):
                if not done(folder):
                    record_failure(folder, "its process died without an error: it was killed or ran out of memory")


def _kind(cfg: DictConfig) -> tuple[Callable[[DictConfig], object], str]:
    """Return what checks the settings of such runs, and their setting that shows progress."""
    if is_service(cfg):
        from ncf.runs.service import plan_service  # no other run needs its statistics

        return plan_service, "progress"
    return (plan_simulation, "progress") if is_simulation(cfg) else (plan_run, "trainer.progress")


def _finished_in(path: Path) -> set[str]:
    """Return the names of the runs in a CSV file. Raises ConfigError if it has no column `run`."""
    try:
        rows = csv.DictReader(io.StringIO(read_text(path, ConfigError)))
    except FileNotFoundError:
        return set()
    if "run" not in (rows.fieldnames or ()):
        raise ConfigError(f"hydra.sweeper.finished: expected a CSV file with a column run, got {path}")
    return {row["run"] for row in rows}


def _where_next(folder: Path, registration: str | None, simulated: bool) -> str:
    """Return where the results of a finished sweep lie, and the commands that read them.

    Simulations have no held-out positives for `ncf.compare`.
    """
    where, under = shlex.quote(str(folder)), f"registration={shlex.quote(registration)} " if registration else ""
    commands = [f"python -m ncf.report {under}sweep={where}", f"python -m ncf.compare {where}"][: 1 if simulated else 2]
    return visible(f"results: {folder}") + "".join(f"\n  {visible(command)}" for command in commands)


def _unusable(folder: Path) -> bool:
    """Return whether no run can use `folder`; Hydra would end the whole sweep with an error about it."""
    if not os.path.lexists(folder) or done(folder):
        return False
    fit = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return not fit or any(outward_links(folder))


def _refuse_another(folder: Path, settings: dict[str, Any], first: dict[str, Any]) -> None:
    """Raise ConfigError if `folder`, which a run with `settings` is to use, belongs to a run with other settings.

    Args:
        first: settings of the first job of this sweep that uses `folder`.
    """
    if folder.name == run_id(settings):  # unique to its settings
        return
    with contextlib.suppress(DataError):  # running one with a damaged result reports it
        kept = read_result(folder)
        if changes(first, settings) or (kept and changes(kept["config"], settings)):
            raise ConfigError(
                f"hydra.sweep.subdir: expected a separate folder per run, but {folder} has a run with other settings"
            )


def _chances(registration: Registration) -> list[Chances]:
    """What the registered rule will say, by the pilot's spread; empty without a pilot."""
    return chances(registration, from_pilot(registration)) if registration.pilot else []


def _values(override: Override) -> list[Any]:
    return list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]


@contextlib.contextmanager
def _stoppable(folders: Iterable[Path]) -> Iterator[None]:
    """Forward stop signals to the launcher's processes, wait until their runs are saved, then exit with status 75."""

    def _stop(number: int, frame: FrameType | None) -> None:
        children = multiprocessing.active_children()  # jobs on a cluster are not: they continue without this process
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _SAVING_SECONDS
        while children and any(state(folder) == "running" for folder in folders) and time.monotonic() < deadline:
            time.sleep(0.1)
        print("stopped; run the same command again to resume", file=sys.stderr)
        raise SystemExit(STOPPED)

    with handling(_stop):
        yield
