"""`python -m ncf.train`: configuration in, result out. Wiring only."""

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ncf import checkpoint, models, pretraining, results, resume, trust
from ncf.commands import forgiving_streams, say
from ncf.config import bind, component
from ncf.data import DATASETS
from ncf.data.split import SPLITS, Split
from ncf.dynamics import Calibration, Dynamics
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.evaluation import EVALUATIONS, FullRanking, Ranks, test_targets, validation_targets
from ncf.files import remove_temporaries
from ncf.fitting import OneFit
from ncf.losses import LOSSES, Loss
from ncf.optimizers import OPTIMIZERS
from ncf.rng import generator
from ncf.runs import claim, failures_recorded
from ncf.sampling import SAMPLERS, Batches, groups_per_batch, refuse_users_of_everything
from ncf.signals import STOPPED, StopFlag, stop_flag
from ncf.tracking import TRACKERS, NoTracker, Tracker
from ncf.trainer import Trainer, TrainerSettings

log = logging.getLogger(__name__)

CONF = Path(__file__).parent.parent / "conf"
GROUPS = ("data", "split", "sampler", "model", "loss", "optimizer", "trainer", "evaluation", "tracking")
CHOICES = (*GROUPS, "experiment")
_WHILE_RESOLVING = r"\w+ raised while resolving interpolation: | full_key: \S+ object_type=\S+"  # OmegaConf's frame
BAD_INPUT = (ConfigError, DataError, CheckpointError)  # exit status 2; what fails later has 1

OmegaConf.register_new_resolver("run_id", lambda *, _root_: results.run_id(results.resolved(_root_)), replace=True)
OmegaConf.register_new_resolver("rows", lambda groups, neg_ratio: groups * (1 + neg_ratio), replace=True)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The keys of conf/train.yaml itself."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    neg_ratio: Annotated[int, Field(ge=1)]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    deterministic: bool
    dynamics: bool
    registration: str | None
    resume: str | None


@dataclass(frozen=True)
class Plan:
    """Every component of a run, checked; no data has been read yet."""

    run: RunSettings
    trainer: TrainerSettings
    data: partial[Any]
    split: partial[Split]
    sampler: partial[Any]
    model: partial[models.Recommender | models.Fitted]
    optimizer: partial[torch.optim.Optimizer]
    loss: Loss
    evaluation: FullRanking
    tracking: Tracker | NoTracker


def check(cfg: DictConfig) -> Plan:
    """The plan of `cfg`. Raises ConfigError, naming the key, for anything unknown, missing or out of range."""
    settings = results.resolved(cfg)
    groups = {name: settings.pop(name, None) or {} for name in GROUPS}
    settings.pop("experiment", None)
    plan = Plan(
        run=bind("", RunSettings, settings)(),
        trainer=bind("trainer", TrainerSettings, groups["trainer"])(),
        data=component("data", DATASETS, groups["data"]),
        split=component("split", SPLITS, groups["split"]),
        sampler=component("sampler", SAMPLERS, groups["sampler"]),
        model=component("model", models.MODELS, groups["model"]),
        optimizer=component("optimizer", OPTIMIZERS, groups["optimizer"]),
        loss=component("loss", LOSSES, groups["loss"])(),
        evaluation=component("evaluation", EVALUATIONS, groups["evaluation"])(),
        tracking=component("tracking", TRACKERS, groups["tracking"])(),
    )
    groups_per_batch(plan.trainer.batch_size, plan.run.neg_ratio)
    names = plan.evaluation.names
    if plan.trainer.monitor not in names:
        raise ConfigError(f"trainer.monitor: expected one of {', '.join(names)}, got {plan.trainer.monitor!r}")
    if plan.trainer.compile and cfg.optimizer.name == "row_adam":
        raise ConfigError("trainer.compile: expected false with optimizer=row_adam, whose gradients are sparse")
    return plan


def pick_device(name: str) -> torch.device:
    """The device called `name`; auto is CUDA where there is one. Raises ConfigError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: expected a device that is there, got {name!r}; CUDA devices found: "
            f"{torch.cuda.device_count()}. device=cpu or device=auto runs without one"
        )
    return device


def refuse_without_cuda(plan: Plan, device: torch.device) -> None:
    """Raises ConfigError for a setting that asks for what only CUDA has, which a CPU would ignore or do otherwise."""
    asked = {"cuda_graph": plan.trainer.cuda_graph is True, "precision": plan.trainer.precision == "tf32"}
    if device.type != "cuda" and (keys := [key for key, wanted in asked.items() if wanted]):
        other = {"cuda_graph": "auto or false", "precision": "float32 or bfloat16"}[keys[0]]
        found = getattr(plan.trainer, keys[0])
        raise ConfigError(f"trainer.{keys[0]}: expected {other} on device={device}, got {found!r}, which needs CUDA")


def build_trainer(plan: Plan, split: Split, device: torch.device, **hooks: Any) -> Trainer | OneFit:
    """A trainer at the first step of the run. It can validate; it has no way to reach a test item.

    For a model that is fitted without gradient: what fits it.
    """
    run = plan.run
    model = models.build(plan.model, split.num_users, split.num_items, generator(run.seed, "initialisation"))
    if isinstance(model, models.Fitted):
        return OneFit(model, split, device, hooks["save"])
    if isinstance(model, models.PretrainedNeuMF):
        pretraining.start(model, split)
    model = model.to(device)
    sampler = plan.sampler(split.train, split.num_users, split.num_items, device)
    batches = Batches(split.train, sampler, run.neg_ratio, plan.trainer.batch_size, run.seed, device)
    targets = validation_targets(split, device)

    def validate() -> dict[str, float]:
        return plan.evaluation.metrics(plan.evaluation.evaluate(model.score, targets))

    return Trainer(model, plan.loss, plan.optimizer(model), batches, validate, plan.trainer, **hooks)


def observer(trainer: Trainer, split: Split, path: Path) -> Dynamics:
    """What records the training dynamics of `trainer` at `path`; of the held-out items it sees validation's only."""
    calibration = Calibration(trainer.model, trainer.batches, split.valid)
    return Dynamics(trainer.loss, split.valid, split.num_users, calibration, path, trainer.batches.device)


@dataclass(frozen=True)
class Job:
    """A run that is ready to train, or to go on."""

    folder: Path
    settings: dict[str, Any]
    plan: Plan
    split: Split
    trainer: Trainer | OneFit
    registration: dict[str, str] | None


def prepare(cfg: DictConfig, folder: Path, stopped: StopFlag) -> Job | dict[str, Any]:
    """The run of `cfg` at its first step, or where its checkpoint in `folder` stands; its result if it is finished.

    Raises:
        ConfigError, DataError: bad settings, before any data is read; bad data.
        CheckpointError: `folder` holds a run with other settings, or only damaged checkpoints.
    """
    settings = results.resolved(cfg)
    plan = check(cfg)
    device = pick_device(plan.run.device)
    refuse_without_cuda(plan, device)
    registration = results.registered(plan.run.registration)
    torch.set_num_threads(plan.trainer.threads)
    set_deterministic(plan.run.deterministic)

    state, finished = checkpoint.load(folder), results.read_result(folder)
    history = []
    if state is not None:
        history = resume.epochs_behind(folder, state, settings, plan.trainer)
    elif finished is not None:
        resume.refuse_changes(folder, settings, finished["config"])
    if finished is not None and finished["config_hash"] == results.config_hash(settings):
        log.info("%s is finished already", folder)
        return finished

    split = plan.split(plan.data())
    refuse_users_of_everything(split)
    plan.evaluation.check(split.num_items)
    resume.refuse_other_data(folder, state or {}, split)
    remove_temporaries(folder)
    epochs = results.EpochLog(folder, history)
    trainer = build_trainer(
        plan,
        split,
        device,
        record=epochs.append,
        save=lambda state: checkpoint.save(folder, {"settings": settings, "data_digest": split.digest, **state}),
        stopped=stopped,
    )
    if plan.run.dynamics and isinstance(trainer, Trainer):
        trainer.dynamics = observer(trainer, split, folder / results.DYNAMICS)
    if state is not None:
        with checkpoint.understood(folder):
            trainer.load(state)
        log.info("going on from epoch %d, step %d", trainer.progress.epoch, trainer.progress.step)
    return Job(folder, settings, plan, split, trainer, registration)


def set_deterministic(wanted: bool) -> None:
    """Only algorithms that give the same bits every time; cuBLAS reads its part before CUDA starts."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)


def train(cfg: DictConfig, folder: Path, stopped: StopFlag) -> dict[str, Any] | None:
    """Train, select, test, and write the run folder; the result, or None if `stopped` interrupted it.

    A run that `folder` holds already is not run again, and one that it holds half is gone on with.
    """
    job = prepare(cfg, folder, stopped)
    if not isinstance(job, Job):
        return job
    with job.plan.tracking.following(folder, job.settings):
        return finish(job) if job.trainer.fit() else None


def finish(job: Job) -> dict[str, Any]:
    """Test the restored best epoch, once, and write what the run leaves behind; `result.json` last."""
    plan, split, trainer = job.plan, job.split, job.trainer
    device = pick_device(plan.run.device)
    score, evaluate = trainer.model.score, plan.evaluation.evaluate
    ranks: dict[str, Ranks] = {
        "valid": evaluate(score, validation_targets(split, device)),
        "test": evaluate(score, test_targets(split, device)),
    }
    results.write_ranks(job.folder, split, ranks)
    history = trainer.progress.history
    result = {
        **{part: plan.evaluation.metrics(r) for part, r in ranks.items()},
        "tied_positives": {part: r.tied_positives() for part, r in ranks.items()},
        "best_epoch": trainer.progress.best_epoch,
        "epochs": len(history),
        "seed": plan.run.seed,
        "config": job.settings,
        "config_hash": results.config_hash(job.settings),
        "registration": job.registration,
        "data_digest": split.digest,
        "device": str(device),
        "timings": {key: sum(line[key] for line in history) for key in ("train_seconds", "valid_seconds")},
        **results.environment(),
    }
    results.write_result(job.folder, result)
    return result


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


def run(cfg: DictConfig) -> float:
    """One Hydra job: returns the monitored validation metric, never a test metric, so that sweepers can optimise it."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    alone = HydraConfig.get().mode == RunMode.RUN
    refusals = BAD_INPUT if alone else ()  # bad input leaves the folder as it was
    with claim(folder), failures_recorded(folder, but=refusals), stop_flag() as stopped, memory_explained():
        named = cfg.resume if "resume" in cfg else None
        if named and Path(HydraConfig.get().runtime.cwd, str(named)).resolve() != folder.resolve():
            raise ConfigError(f"resume: expected as resume=<run folder> on the command line, got {named!r} elsewhere")
        result = train(cfg, folder, stopped)
    if result is None:
        if alone:
            print(f"stopped, resumable: python -m ncf.train resume={folder}", file=sys.stderr)
        raise SystemExit(STOPPED)
    if alone:
        say(f"{table(result)}\n{folder}")
    return float(result["valid"][cfg.trainer.monitor])


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(cfg: DictConfig) -> float | None:
    """What Hydra runs: errors that the user can mend are one line; in a sweep each stays with its run."""
    try:
        return run(cfg)
    except Exception as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return None  # `run` has put it on record
        if not isinstance(error, NcfError):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, BAD_INPUT) else 1) from None


def main() -> None:
    """The command line; what is wrong with what was typed is one line."""
    forgiving_streams()
    logging.raiseExceptions = False  # a log on a full disk would say so by tracebacks
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra's own errors then come up to here
    try:
        trust.check_arguments(sys.argv[1:], CONF, CHOICES)
        sys.argv[1:] = resume.spelt_out(sys.argv[1:], CHOICES)
        job()
    except KeyboardInterrupt:  # before training, which saves itself, or after it
        print("interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        if any(frame.f_code is run.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise  # a run had begun, so this is no mistake in the command line
        causes = [error, *filter(None, [error.__cause__])]
        text = " ".join(" ".join(map(str, causes)).split())
        print("error: " + re.sub(_WHILE_RESOLVING, "", text), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
