"""`python -m ncf.tune model=ease trials=30`: tune a model's settings on validation; a stopped study can be resumed.

Optuna's TPE searches the space in conf/tuning/<model>.yaml; its trials are kept in a database on disk. The objective is
the monitored validation metric: no test metric is read.
"""

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.core.compose import CONF, compose
from ncf.core.files import write_text
from ncf.core.signals import StopFlag
from ncf.errors import ConfigError
from ncf.runs.identity import config_hash, resolved
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run

SPACES = CONF / "tuning"
_QUIET = ["trainer.progress=false"]


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.tune", __doc__)
    options.add_overrides("as for training: model=ease data=ml-1m trainer.epochs=20")
    options.add_argument("--trials", type=int, default=30, help="number of finished trials to reach (30)")
    options.add_argument(
        "--minutes", type=float, default=math.inf, help="total duration of trials after which none starts (no limit)"
    )
    options.add_argument(
        "--folder", type=Path, default=Path("outputs/tuning"), help="folder of the studies (outputs/tuning)"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    summary = tune(options.overrides, options.trials, options.minutes, options.folder, options.config_dir)
    print(text_table(["setting", "best"], [(k, str(v)) for k, v in summary["best"].items()]))
    print(f"{summary['monitor']} (validation) {summary['value']:.4f} of {summary['trials']} trials")


def tune(
    overrides: Sequence[str], trials: int, minutes: float, folder: Path, config_dir: str | None = None
) -> dict[str, Any]:
    """Run the trials of the study of `overrides` below `folder`, and return its summary; see `report`.

    Args:
        overrides: of a training run; they choose the model, and thereby the space.
        trials: number of finished trials to reach, including those of earlier calls.
        minutes: total duration of trials, including earlier calls, after which none starts; at least one always runs.
        folder: for the database, the trials' run folders and the study's summary.
        config_dir: the user's own YAML files; its tuning/<model>.yaml, if any, takes precedence over conf/tuning.

    Raises:
        ConfigError: optuna is not installed, the model has no space, or a setting is invalid.
    """
    optuna = _optuna()
    base = compose([*overrides, *_QUIET], config_dir)
    model = str(base.model.name)
    space = space_of(model, config_dir)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=f"{model}-{config_hash(resolved(base))[:12]}",
        storage=f"sqlite:///{folder}/studies.db",
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # a resumed study must not repeat its draws
    while not (done := finished(study)) or (len(done) < trials and seconds(done) < 60 * minutes):
        trial = study.ask()
        chosen = {key: suggest(trial, key, options) for key, options in space.items()}
        settings = [*overrides, *(f"{key}={value}" for key, value in chosen.items()), *_QUIET]
        cfg = compose(settings, config_dir)
        study.tell(trial, objective(cfg, folder / study.study_name / str(trial.number)))
    summary = report(study, base)
    write_text(folder / f"{study.study_name}.json", json.dumps(summary, indent=2) + "\n")
    return summary


def space_of(model: str, config_dir: str | None) -> dict[str, Any]:
    """Return key -> range or choices, as `suggest` takes them. Raises ConfigError for a model without a space."""
    folders = [Path(config_dir, "tuning")] if config_dir else []
    for folder in [*folders, SPACES]:
        if (path := folder / f"{model}.yaml").is_file():
            space: Any = OmegaConf.to_container(OmegaConf.load(path))
            return {str(key): options for key, options in space.items()}
    known = sorted(path.stem for path in SPACES.glob("*.yaml"))
    raise ConfigError(f"model: expected one with a search space in conf/tuning ({', '.join(known)}), got {model!r}")


def finished(study: Any) -> list[Any]:
    """Return the trials that have a value."""
    return [trial for trial in study.trials if trial.state.is_finished() and trial.value is not None]


def seconds(trials: Sequence[Any]) -> float:
    """Return the total duration of finished trials."""
    return float(sum(trial.duration.total_seconds() for trial in trials))


def suggest(trial: Any, key: str, space: Any) -> Any:
    """Draw the trial's value for a key whose space is [low, high], [low, high, log] or {choices: [...]}."""
    if isinstance(space, Mapping):
        return trial.suggest_categorical(key, space["choices"])
    low, high, *log = space
    whole = isinstance(low, int) and isinstance(high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(key, low, high, log=bool(log))


def objective(cfg: DictConfig, folder: Path) -> float:
    """Run `cfg` in `folder` and return the monitored validation metric."""
    folder.mkdir(parents=True, exist_ok=True)
    job = open_job(plan_run(cfg), folder, StopFlag())
    result = job.run() if isinstance(job, Job) else job
    assert result is not None  # nothing sets this stop flag
    return float(result["valid"][cfg.trainer.monitor])


def report(study: Any, base: DictConfig) -> dict[str, Any]:
    """Summarise the study: the best settings, their validation value, and the cost of finding them."""
    trials = finished(study)
    return {
        "model": str(base.model.name),
        "monitor": str(base.trainer.monitor),
        "value": study.best_value,
        "best": study.best_params,
        "trials": len(trials),
        "seconds": round(seconds(trials), 1),
    }


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise ConfigError("tune: optuna is not installed; pip install 'ncf[tuning]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


if __name__ == "__main__":
    command_line.run(main)
