"""A job is a run in progress: started afresh or from its checkpoint, trained, and finished."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ncf import models
from ncf.core.files import remove_temporaries
from ncf.core.rng import generator
from ncf.data.split import Pairs, Split
from ncf.evaluation import Ranks, test_targets, validation_targets
from ncf.evaluation.ratings import HeldOutRatings, rating_errors, refuse_without_ratings
from ncf.losses import JointLoss, needs
from ncf.runs import artifacts, checkpoint, hybrids, pretraining, resume
from ncf.runs.checkpoint import Checkpoint
from ncf.runs.identity import config_hash, registered
from ncf.runs.plan import RunPlan, pick_device, refuse_without_cuda
from ncf.runs.ranks_file import write_ranks
from ncf.training.batches import Batches
from ncf.training.dynamics import Calibration, Dynamics
from ncf.training.fitting import OneFit
from ncf.training.samplers import refuse_users_of_everything, sampler_for
from ncf.training.step import build_step
from ncf.training.trainer import Trainer

log = logging.getLogger(__name__)

Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A run that is ready to train or to resume.

    Attributes:
        registration: path and SHA-256 of the study's registration, if the run belongs to one.
    """

    folder: Path
    plan: RunPlan
    split: Split
    trainer: Trainer | OneFit
    registration: dict[str, str] | None

    def run(self) -> Result | None:
        """Fit and finish; return None if interrupted. Raises TrainingError if training fails."""
        with self.tracked():
            return self.finish() if self.fit() else None

    def tracked(self) -> AbstractContextManager[None]:
        """Track the run during the context: its epochs and, at the end, its test metrics."""
        return self.plan.tracking.following(self.folder, self.plan.settings)

    def fit(self) -> bool:
        """Train to the end; return False if interrupted. Raises TrainingError if training fails."""
        return self.trainer.fit()

    def finish(self) -> Result:
        """Rank the held-out positives (the first use of test data) and write the result, `result.json` last."""
        device = pick_device(self.plan.run.device)
        score, evaluate = self.trainer.model.score, self.plan.evaluation.evaluate
        ranks: dict[str, Ranks] = {
            "valid": evaluate(score, validation_targets(self.split, device)),
            "test": evaluate(score, test_targets(self.split, device)),
        }
        return self.write(ranks, checkpoint.digest(self.trainer.model.state_dict()))

    def write(self, ranks: dict[str, Ranks], weights: str | None) -> Result:
        """Write `ranks` and the result of the run, whose weights have the SHA-256 `weights`; `result.json` last."""
        plan, split, trainer = self.plan, self.split, self.trainer
        write_ranks(self.folder, split, ranks)
        history = trainer.progress.history
        result = {
            **{part: plan.evaluation.metrics(r) | self._errors(getattr(split, part)) for part, r in ranks.items()},
            "tied_positives": {part: r.tied_positives() for part, r in ranks.items()},
            **({"chosen": trainer.model.chosen} if isinstance(trainer.model, models.Hybrid) else {}),
            "best_epoch": trainer.progress.best_epoch,
            "epochs": len(history),
            "weights_sha256": weights,
            "seed": plan.run.seed,
            "config": plan.settings,
            "config_hash": config_hash(plan.settings),
            "registration": self.registration,
            "data_digest": split.digest,
            "device": str(pick_device(plan.run.device)),
            "timings": {key: sum(line[key] for line in history) for key in ("train_seconds", "valid_seconds")},
            **artifacts.environment(),
        }
        artifacts.write_result(self.folder, result)
        return result

    def _errors(self, part: Pairs) -> dict[str, float]:
        """Return the errors of predicted ratings of a part; none for a model that predicts none."""
        model = self.trainer.model
        if not isinstance(model, models.RatingRecommender):
            return {}
        return rating_errors(model.rate, HeldOutRatings.of(part, pick_device(self.plan.run.device)))


def open_job(plan: RunPlan, folder: Path, stopped: Callable[[], bool]) -> Job | Result:
    """Open the run of `plan` at its first step or its checkpoint in `folder`; return its result if it is finished.

    Raises:
        ConfigError: this machine does not support the settings; raised before any data is read.
        DataError: the data is invalid.
        CheckpointError: `folder` holds a run with other settings, or no checkpoint that can be read.
    """
    if plan.trainer.sharding is not None:
        from ncf.runs import distributed  # the only place that chooses it

        return distributed.open_job(plan, folder, stopped)
    device = pick_device(plan.run.device)
    refuse_without_cuda(plan, device)
    registration = registered(plan.run.registration)
    set_up_torch(plan)

    saved, finished = checkpoint.load(folder), artifacts.read_result(folder)
    history = resume.history(folder, saved, finished, plan)
    if finished is not None and finished["config_hash"] == config_hash(plan.settings):
        log.info("%s is already finished", folder)
        return finished
    resume.refuse_sharded(folder)

    split = plan.split(plan.data())
    refuse_users_of_everything(split)
    plan.evaluation.check(split.num_items)
    resume.refuse_other_data(folder, saved, split)
    remove_temporaries(folder)
    if finished is not None:
        _log_extension(folder, finished, plan)
    epochs = artifacts.EpochLog(folder, history)

    def save(state: dict[str, Any]) -> None:
        checkpoint.save(folder, {"settings": plan.settings, "data_digest": split.digest, **state})

    dynamics = folder / artifacts.DYNAMICS if plan.run.dynamics else None
    trainer = build_trainer(plan, split, device, dynamics, record=epochs.append, save=save, stopped=stopped)
    if saved is not None:
        _restore(trainer, saved, folder)
        checkpoint.set_damaged_aside(folder, saved)
    return Job(folder, plan, split, trainer, registration)


def build_trainer(
    plan: RunPlan, split: Split, device: torch.device, dynamics: Path | None = None, **hooks: Any
) -> Trainer | OneFit:
    """Return a trainer at the first step of the run, or a `OneFit` for a model that is fitted without gradients.

    It can validate, but has no access to test items.

    Args:
        dynamics: file to record training dynamics in, if any.
        hooks: `record`, `save` and `stopped` of the trainer.
    """
    run, settings = plan.run, plan.trainer
    model = models.build(plan.model, split.num_users, split.num_items, generator(run.seed, "initialisation"))
    if isinstance(model, models.Hybrid):
        hybrids.start(model, split, plan.evaluation, settings.monitor)
    if isinstance(model, models.NonGradientRecommender):
        return OneFit(model, split, device, hooks["save"], hooks["stopped"])
    if isinstance(model, models.PretrainedNeuMF):
        pretraining.start(model, split)
    if isinstance(model, models.MFFeatures):
        model.use_features(split)
    assert isinstance(model, models.GradientRecommender)
    if isinstance(plan.loss, JointLoss):
        refuse_without_ratings(split)
        _warn_of_idle_weights(plan)
    model = model.to(device)
    sampler = sampler_for(plan.sampler, split, device)
    batches = Batches(split.train, sampler, run.neg_ratio, settings.batch_size, run.seed, device, needs(plan.loss))
    step = build_step(model, plan.loss, plan.optimizer(model), settings, batches.groups, batches.sample())
    validate = _validation(plan, split, model, device)
    observer = None if dynamics is None else _observer(plan, split, model, batches, dynamics)
    return Trainer(step, batches, validate, settings, dynamics=observer, **hooks)


def _validation(
    plan: RunPlan, split: Split, model: models.GradientRecommender, device: torch.device
) -> Callable[[], dict[str, float]]:
    """Return a function that measures the current model on the validation positives."""
    targets = validation_targets(split, device)
    ratings = HeldOutRatings.of(split.valid, device) if isinstance(model, models.RatingRecommender) else None

    def validate() -> dict[str, float]:
        metrics = plan.evaluation.metrics(plan.evaluation.evaluate(model.score, targets))
        if ratings is not None and isinstance(model, models.RatingRecommender):
            metrics |= rating_errors(model.rate, ratings)
        return metrics

    return validate


def _warn_of_idle_weights(plan: RunPlan) -> None:
    """Warn if the weights of two tasks scale gradients that nothing else shares, which Adam divides out again."""
    separate = plan.rates and plan.model.keywords.get("shared") is False
    optimizer = plan.settings["optimizer"]
    if separate and optimizer["name"] in ("adam", "adamw") and not (optimizer["clip_norm"] or _decays(optimizer)):
        log.warning(
            "loss.ranking and loss.rating do nothing here: with model.shared=false each head has its own weights, "
            "and optimizer=%s scales their steps by their own gradients", optimizer["name"],
        )  # fmt: skip


def _decays(optimizer: dict[str, Any]) -> bool:
    """Return whether an L2 penalty is added to the gradient, against which a task's weight does count."""
    return bool(optimizer["weight_decay"]) and optimizer["name"] == "adam"


def set_up_torch(plan: RunPlan) -> None:
    """Set the number of threads and, if `deterministic`, allow only algorithms that are reproducible to the bit."""
    torch.set_num_threads(plan.trainer.threads)
    if plan.run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it before CUDA starts
    if plan.run.deterministic != torch.are_deterministic_algorithms_enabled():  # setting it imports torch's compiler
        torch.use_deterministic_algorithms(plan.run.deterministic)


def _observer(plan: RunPlan, split: Split, model: models.GradientRecommender, batches: Batches, path: Path) -> Dynamics:
    """Return the recorder of training dynamics at `path`; of the held-out items it sees only validation's."""
    calibration = Calibration(model, batches, split.valid, split.num_items)
    return Dynamics(plan.loss, split.valid, split.num_items, calibration, path, batches.device)


def _log_extension(folder: Path, finished: Result, plan: RunPlan) -> None:
    done = f"{finished['epochs']} epoch{'' if finished['epochs'] == 1 else 's'}"
    limits = f"trainer.epochs={plan.trainer.epochs} and trainer.patience={plan.trainer.patience}"
    log.info("%s was finished after %s; it goes on to %s, and its result is replaced at the end", folder, done, limits)


def _restore(trainer: Trainer | OneFit, saved: Checkpoint, folder: Path) -> None:
    with checkpoint.understood(folder):
        trainer.load(saved.state())
    log.info("resuming at epoch %d, step %d", trainer.progress.epoch, trainer.progress.step)
