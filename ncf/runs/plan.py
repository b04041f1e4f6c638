"""Turn a configuration into the plan of a run: check every setting and bind every component."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from ncf.core.config import bind, component
from ncf.core.registry import Registry
from ncf.data import DATASETS, SPLITS, Split
from ncf.errors import ConfigError
from ncf.evaluation import EVALUATIONS, FullRanking
from ncf.evaluation.ratings import ERRORS
from ncf.losses import LOSSES, AnyLoss, JointLoss
from ncf.models import MODELS, GradientRecommender, NonGradientRecommender, RatingRecommender, Recommender
from ncf.runs.components import GROUPS
from ncf.runs.identity import RunSettings, completed, resolved
from ncf.runs.tracking import TRACKERS, NoTracker, Tracker
from ncf.training.batches import groups_per_batch
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.samplers import SAMPLERS
from ncf.training.settings import TrainerSettings


@dataclass(frozen=True)
class RunPlan:
    """The checked components of a run; no data has been read yet.

    Attributes:
        settings: all settings of the run, as its result records them.
        run: the top-level keys of conf/train.yaml.
    """

    settings: dict[str, Any]
    run: RunSettings
    trainer: TrainerSettings
    data: partial[Any]
    split: partial[Split]
    sampler: partial[Any]
    model: partial[Recommender]
    optimizer: partial[torch.optim.Optimizer]
    loss: AnyLoss
    evaluation: FullRanking
    tracking: Tracker | NoTracker

    @property
    def rates(self) -> bool:
        """Whether the model predicts ratings, so that it is measured by them too."""
        return isinstance(self.model.func, type) and issubclass(self.model.func, RatingRecommender)


def plan_run(cfg: DictConfig) -> RunPlan:
    """Return the plan for `cfg`. Raises ConfigError, naming the key, for anything unknown, missing or out of range."""
    settings = completed(resolved(cfg))  # YAML of one's own may be older than a key
    own = {key: value for key, value in settings.items() if key not in (*GROUPS, "experiment")}
    run = bind("", RunSettings, own)()
    trainer = bind("trainer", TrainerSettings, settings.get("trainer") or {})()

    def chosen(registry: Registry) -> partial[Any]:
        return component(registry.group, registry, settings.get(registry.group) or {})

    plan = RunPlan(
        settings=settings,
        run=run,
        trainer=trainer,
        data=chosen(DATASETS),
        split=chosen(SPLITS),
        sampler=chosen(SAMPLERS),
        model=chosen(MODELS),
        optimizer=chosen(OPTIMIZERS),
        loss=chosen(LOSSES)(),
        evaluation=chosen(EVALUATIONS)(),
        tracking=chosen(TRACKERS)(),
    )
    _refuse_contradictions(plan)
    return plan


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; auto prefers CUDA. Raises ConfigError if it is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: {name!r} is not available; CUDA devices found: {torch.cuda.device_count()}. "
            "device=cpu or device=auto works without one"
        )
    return device


def refuse_without_cuda(plan: RunPlan, device: torch.device) -> None:
    """Raise ConfigError for a setting that needs CUDA and that `device` would ignore."""
    needs_cuda = {"cuda_graph": plan.trainer.cuda_graph is True, "precision": plan.trainer.precision == "tf32"}
    if device.type != "cuda" and (keys := [key for key, needed in needs_cuda.items() if needed]):
        other = {"cuda_graph": "auto or false", "precision": "float32 or bfloat16"}[keys[0]]
        found = getattr(plan.trainer, keys[0])
        raise ConfigError(f"trainer.{keys[0]}: expected {other} on device={device}, got {found!r}, which needs CUDA")


def _refuse_half_of_two_tasks(plan: RunPlan) -> None:
    """Raise ConfigError if only one of model and loss has a second task, or a setting needs a faster step for both."""
    model, loss = (plan.settings[group]["name"] for group in ("model", "loss"))
    joint = isinstance(plan.loss, JointLoss)
    if plan.rates and not joint:
        raise ConfigError(f"loss: expected one that learns ratings, such as bpr_rating, with model={model}, got {loss}")
    by_gradient = isinstance(plan.model.func, type) and issubclass(plan.model.func, GradientRecommender)
    if joint and by_gradient and not plan.rates:
        raise ConfigError(f"model: expected one that rates, such as multitask, with loss={loss}, got {model}")
    trainer = plan.trainer
    faster = {
        "trainer.compile": (trainer.compile, "false"),
        "trainer.cuda_graph": (trainer.cuda_graph is True, "auto or false"),
        "trainer.precision": (trainer.precision == "bfloat16", "float32"),
        "optimizer": (plan.settings["optimizer"]["name"] == "row_adam", "adam, adamw or sgd"),
    }
    for key, (needed, other) in faster.items():
        if joint and plan.rates and needed:
            raise ConfigError(f"{key}: expected {other} with loss={loss}, which trains by the plain step")


def _refuse_cold_items(plan: RunPlan) -> None:
    """Raise ConfigError if items without training positives are held out, and the model cannot tell them apart."""
    settings = plan.settings
    able = getattr(plan.model.func, "scores_cold", False) and plan.model.keywords.get("weight") != 0
    if settings["split"]["name"] == "cold_items" and not able:
        others = [name for name, model in MODELS.items() if getattr(model, "scores_cold", False)]
        name = settings["model"]["name"]
        hint = "a model.weight above 0" if name in others else f"another split, or one of model={', '.join(others)}"
        raise ConfigError(
            f"split: model={name} learns nothing of an item without training positives, so that "
            f"split=cold_items would measure noise; expected {hint}"
        )


def _refuse_contradictions(plan: RunPlan) -> None:
    """Raise ConfigError for settings that are valid individually but not together."""
    trainer = plan.trainer
    groups_per_batch(trainer.batch_size, plan.run.neg_ratio)
    names = [*plan.evaluation.names, *(ERRORS if plan.rates else ())]
    _refuse_half_of_two_tasks(plan)
    _refuse_cold_items(plan)
    if trainer.monitor not in names and not _fitted_at_once(plan.model.func):
        raise ConfigError(f"trainer.monitor: expected one of {', '.join(names)}, got {trainer.monitor!r}")
    if trainer.compile and plan.settings["optimizer"]["name"] == "row_adam":
        raise ConfigError("trainer.compile: expected false with optimizer=row_adam, whose gradients are sparse")
    model = plan.model.func
    if plan.settings["optimizer"]["name"] == "row_adam" and not getattr(model, "by_row", True):
        name = plan.settings["model"]["name"]
        raise ConfigError(
            f"optimizer: expected adam, adamw or sgd with model={name}, which reads whole embeddings, got row_adam"
        )
    if trainer.compile and plan.model.keywords.get("dropout"):
        raise ConfigError("trainer.compile: expected false with model.dropout, whose random streams it cannot compile")
    if trainer.compile and trainer.precision == "bfloat16":
        raise ConfigError("trainer.compile: expected false with trainer.precision=bfloat16, got True")
    needs_fast = {
        "compile": (trainer.compile, "false"),
        "cuda_graph": (trainer.cuda_graph is True, "auto or false"),
        "precision": (trainer.precision == "bfloat16", "float32"),
    }
    for key, (needed, other) in needs_fast.items():
        if needed and not trainer.fast:
            raise ConfigError(f"trainer.{key}: expected {other} with trainer.fast=false, got {getattr(trainer, key)!r}")


def _fitted_at_once(model: Any) -> bool:
    """Return whether a model is fitted without gradients, and so has no epochs for `trainer.monitor` to choose from."""
    return isinstance(model, type) and issubclass(model, NonGradientRecommender)
