"""Tuning studies: trials of a model's settings on validation, which a kill or a stop leaves as they would have been.

What a trial draws is a function of the run's seed, the trial's number and the trials before it, and a trial that was
stopped half-way goes on with what it drew, from its checkpoint. So a study that was killed ends in the same values.
"""

import contextlib
import importlib
import json
import math
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from ncf.core.compose import compose
from ncf.core.files import write_text
from ncf.core.rng import numpy_generator
from ncf.core.signals import STOPPED, stop_flag
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.evaluation.ratings import ERRORS
from ncf.launch.hydra_app import memory_explained
from ncf.launch.search_space import override, read_space, space_path, suggest
from ncf.launch.study_database import opened
from ncf.runs.identity import config_hash, resolved
from ncf.runs.job import Job, open_job
from ncf.runs.plan import pick_device, plan_run, refuse_without_cuda
from ncf.runs.state import ClaimError, claim, failures_recorded

MOST_FAILURES = 10
"""Failed trials in a row after which a study gives up; the next call allows as many again."""

_QUIET = ["trainer.progress=false"]
_LONGEST_REASON = 500
_OF_EVERY_TRIAL = (DataError, CheckpointError, ClaimError, OSError)  # such as a full disk: no trial's own fault
_FAILURE, _SECONDS, _ALLOWED_FROM = "failure", "seconds", "failures_allowed_from"

Ending = Literal["trials", "minutes", "failures", "stopped"]


def tune(
    overrides: Sequence[str], trials: int, minutes: float, folder: Path, config_dir: str | None = None
) -> dict[str, Any]:
    """Run the trials of the study of `overrides` below `folder`, and return its summary; see `summarised`.

    The settings and the space are checked first. Each trial's end is a line on stderr.

    Args:
        overrides: of a training run; they choose the model, and thereby the space.
        trials: number of successful trials to reach, including those of earlier calls.
        minutes: total duration of trials, including earlier calls, after which none starts; at least one succeeds.
        folder: for the database, the trials' run folders and the study's summary.
        config_dir: the user's own YAML files; its tuning/<model>.yaml, if any, takes precedence over conf/tuning.

    Raises:
        ConfigError: optuna is not installed, the model has no valid space, or a setting is invalid.
        DataError: the data or the database cannot be used.
        FileError: the disk is full, for example; the same command goes on.
        ClaimError: another process is tuning the same study.
        TrainingError: no trial has succeeded, and `MOST_FAILURES` in a row have failed.
        SystemExit: 75 after a stop signal; the trial in hand is saved, and the same command goes on.
    """
    _refuse_arguments(trials, minutes, folder)
    optuna = _optuna()
    base = compose([*overrides, *_QUIET], config_dir)
    model = str(base.model.name)
    path = space_path(model, config_dir)
    space = read_space(path, base)
    name = f"{model}-{config_hash(resolved(base))[:12]}"
    _refuse_settings(base, space)
    if _watched():
        with contextlib.suppress(OSError):  # nothing depends on what is said
            print(f"tuning {model} on {base.data.name}, {trials} trials, in {folder / name}", file=sys.stderr)
    with stop_flag() as stopped, opened(optuna, folder, name) as record:
        study = Study(optuna, record, folder / name, space, overrides, config_dir, int(base.seed))
        ending = study.run(trials, minutes, stopped)
        if finished(record):
            summary = {**summarised(record, base), "ended": ending}
            write_text(folder / f"{name}.json", json.dumps(summary, indent=2) + "\n")
        if ending == "failures":
            study.give_up()
    if ending == "stopped":
        print("stopped; give the same command again to go on", file=sys.stderr)
        raise SystemExit(STOPPED)
    return summary


def _refuse_arguments(trials: int, minutes: float, folder: Path) -> None:
    """Raise ConfigError for an argument that cannot be met; nothing is read or created yet."""
    if trials < 1:
        raise ConfigError(f"--trials: expected at least 1, got {trials}")
    if not minutes > 0:
        raise ConfigError(f"--minutes: expected more than 0, got {minutes:g}")
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.lstat()  # such as a name that is too long
        nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        why = "is no folder" if not nearest.is_dir() else "is not writable"
        usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigError(f"--folder: expected a writable folder, got {str(folder)!r} ({error.strerror})") from None
    if not usable:
        raise ConfigError(f"--folder: expected a writable folder, got {str(folder)!r} ({nearest} {why})")


def _refuse_settings(base: DictConfig, space: Mapping[str, Any]) -> None:
    """Raise ConfigError if no trial could run, whatever it draws, because of what the user has set."""
    try:
        plan = plan_run(base)
        if plan.trainer.monitor in ERRORS:
            raise ConfigError(f"trainer.monitor: expected a metric of which more is better, got {plan.trainer.monitor}")
    except ConfigError as error:
        if str(error).partition(":")[0] in space:  # a trial draws another value
            return
        raise
    if base.trainer.monitor not in plan.evaluation.names:  # a run of a model without epochs does without it
        names = ", ".join(plan.evaluation.names)
        raise ConfigError(f"trainer.monitor: expected one of {names}, got {base.trainer.monitor!r}")
    refuse_without_cuda(plan, pick_device(plan.run.device))


@dataclass(frozen=True)
class Study:
    """A study in progress.

    Attributes:
        record: optuna's study, opened by this process alone.
        folder: of the trials' run folders.
        space: see `ncf.launch.search_space`.
        overrides: of every trial.
        seed: of the runs, and so of what trials draw.
    """

    optuna: Any
    record: Any
    folder: Path
    space: Mapping[str, Any]
    overrides: Sequence[str]
    config_dir: str | None
    seed: int

    def run(self, trials: int, minutes: float, stopped: Callable[[], bool]) -> Ending:
        """Run trials, first those that were left half-way, until the study ends; see `tune`."""
        start = time.monotonic()
        while (ending := self._ending(trials, minutes)) is None:
            if stopped() or not self._attempt(trial := self._next(), stopped):
                return "stopped"
            if _watched():
                print(self._line(trial.number, trials, time.monotonic() - start), file=sys.stderr, flush=True)
        return ending

    def _ending(self, trials: int, minutes: float) -> Ending | None:
        done = finished(self.record)
        if len(done) >= trials:
            return "trials"
        if done and seconds([*done, *failed(self.record)]) >= 60 * minutes:
            return "minutes"
        return "failures" if len(self._failed_last()) >= MOST_FAILURES else None

    def _failed_last(self) -> list[Any]:
        """Return the latest trials, as far back as all have failed, but none from before the study last gave up."""
        ended = [trial for trial in self.record.trials if trial.state.is_finished()]
        since = max((trial.number + 1 for trial in ended if trial.value is not None), default=0)
        since = max(since, self.record.user_attrs.get(_ALLOWED_FROM, 0))
        return [trial for trial in ended if trial.number >= since]

    def _next(self) -> Any:
        """Return the first trial that a killed or stopped process has left, or else a new one, not yet drawn for."""
        trials = self.record.trials
        number, identity = len(trials), None
        for trial in trials:
            if trial.state == self.optuna.trial.TrialState.RUNNING:  # nobody runs it: the study is locked by us
                number, identity = trial.number, trial._trial_id
                break
        self._address(number, "")
        return self.record.ask() if identity is None else self.optuna.trial.Trial(self.record, identity)

    def _address(self, number: int, key: str) -> None:
        """Draw what comes from the stream of this trial and key, however much was drawn before."""
        stream = numpy_generator(self.seed, f"tuning/{number}/{key}")
        self.record.sampler = self.optuna.samplers.TPESampler(seed=int(stream.integers(2**32)))

    def _draw(self, trial: Any) -> dict[str, Any]:
        """Return the trial's value for each key; those that it had drawn before a kill stay. Raises ConfigError."""
        trial.relative_params  # noqa: B018  drawn jointly, and now: from the trial's own stream
        chosen = {}
        for key, options in self.space.items():
            self._address(trial.number, key)
            try:
                chosen[key] = suggest(trial, key, options)
            except ValueError:
                raise ConfigError(
                    f"{key}: expected the kind of range and the choices that {self.folder} began with, found others "
                    "in the search space; restore them, or choose another --folder"
                ) from None
        return chosen

    def _attempt(self, trial: Any, stopped: Callable[[], bool]) -> bool:
        """Run the trial, and record its value or why it failed; return False if it was stopped half-way."""
        chosen, start, value, reason = self._draw(trial), time.monotonic(), None, None
        settings = [*self.overrides, *(override(key, drawn) for key, drawn in chosen.items()), *_QUIET]
        try:
            value = self._value(settings, self.folder / str(trial.number), stopped)
        except _OF_EVERY_TRIAL:
            raise
        except Exception as error:
            said = str(error) if isinstance(error, NcfError) else f"{type(error).__name__}: {error}"
            reason = " ".join(said.split())[:_LONGEST_REASON]
            trial.set_user_attr(_FAILURE, reason)
        trial.set_user_attr(_SECONDS, trial.user_attrs.get(_SECONDS, 0.0) + time.monotonic() - start)
        if value is None and reason is None:
            return False
        state = self.optuna.trial.TrialState
        self.record.tell(trial, value, state=state.FAIL if value is None else state.COMPLETE)
        return True

    def _value(self, settings: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> float | None:
        """Run or resume `settings` in `folder`; return the monitored validation metric, or None if stopped half-way."""
        with claim(folder), failures_recorded(folder, but=_OF_EVERY_TRIAL), memory_explained():
            cfg = compose(settings, self.config_dir)
            try:
                job = open_job(plan_run(cfg), folder, stopped)
            except CheckpointError as error:
                raise CheckpointError(f"{error}; move {folder} away, and this trial begins again") from None
            result = job.run() if isinstance(job, Job) else job
        if result is None:
            return None
        value = float(result["valid"][cfg.trainer.monitor])
        if not math.isfinite(value):
            raise TrainingError(f"{cfg.trainer.monitor}: expected a finite value on validation, found {value}")
        return value

    def _line(self, number: int, trials: int, elapsed: float) -> str:
        """Format as "trial 3: 0.1196, best 0.1224 (trial 1), 4 of 30 done, 12 s"."""
        trial, done = self.record.trials[number], finished(self.record)
        found = f"failed ({_reason(trial)})" if trial.value is None else f"{trial.value:.4f}"
        top = [f"best {best(done).value:.4f} (trial {best(done).number})"] if done else []
        return f"trial {number}: {', '.join([found, *top])}, {len(done)} of {trials} done, {elapsed:.0f} s"

    def give_up(self) -> None:
        """Say on stderr why the study stops, and allow the next call as many failures.

        Raises:
            TrainingError: no trial has succeeded.
        """
        reasons = [_reason(trial) for trial in self._failed_last()]
        self.record.set_user_attr(_ALLOWED_FROM, len(self.record.trials))
        if not finished(self.record):
            raise TrainingError(
                f"none of {len(failed(self.record))} trials succeeded; the first failed by: {reasons[0]}"
            )
        print(f"error: the last {len(reasons)} trials failed, the first of them by: {reasons[0]}", file=sys.stderr)


def finished(study: Any) -> list[Any]:
    """Return the trials that have a value."""
    return [trial for trial in study.trials if trial.state.is_finished() and trial.value is not None]


def failed(study: Any) -> list[Any]:
    """Return the trials that ended without a value."""
    return [trial for trial in study.trials if trial.state.is_finished() and trial.value is None]


def best(trials: Sequence[Any]) -> Any:
    """Return the trial with the highest value; of several, the first."""
    return max(trials, key=lambda trial: trial.value)


def seconds(trials: Sequence[Any]) -> float:
    """Return for how long the trials have run; the time up to a kill is not known, and not counted."""
    return float(sum(trial.user_attrs.get(_SECONDS, trial.duration.total_seconds()) for trial in trials))


def summarised(study: Any, base: DictConfig) -> dict[str, Any]:
    """Summarise the study: the best settings, their validation value, and the cost of finding them."""
    done, lost = finished(study), failed(study)
    return {
        "model": str(base.model.name),
        "monitor": str(base.trainer.monitor),
        "value": best(done).value,
        "best": best(done).params,
        "trials": len(done),
        "failed": len(lost),
        "seed": int(base.seed),
        "seconds": round(seconds([*done, *lost]), 1),
    }


def _reason(trial: Any) -> str:
    return str(trial.user_attrs.get(_FAILURE, "a reason that is not on record"))


def _watched() -> bool:
    """Return whether to show progress: not if another program reads stdout, unless it is given stderr as well."""
    try:
        out, errors = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # no files, as in a notebook
        return True
    return not stat.S_ISFIFO(out.st_mode) or (out.st_dev, out.st_ino) == (errors.st_dev, errors.st_ino)


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise ConfigError("tune: optuna is not installed; pip install 'ncf[tuning]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
