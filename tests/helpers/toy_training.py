"""What the tests of training build with: a small split, its batches, a step, and a trainer around it."""

import itertools
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from toy_models import drawn, with_ratings
from toys import PLAIN, keys_of, loss_named, random_split

from ncf.core.config import component
from ncf.data import Split
from ncf.losses import AnyLoss, needs
from ncf.models import GradientRecommender
from ncf.training import optimizers
from ncf.training.batches import Batches
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.samplers import uniform
from ncf.training.settings import TrainerSettings
from ncf.training.step import PlainStep, Step, build_step
from ncf.training.trainer import Trainer

# The optimizers at a constant rate, without clipping.
_CONSTANT: dict[str, Any] = {"clip_norm": None, "schedule": "constant", "warmup": None, "period": None, "decay": 0.1}
adam, adamw, sgd = (partial(made, **_CONSTANT) for made in (optimizers.adam, optimizers.adamw, optimizers.sgd))

SPLIT = with_ratings(random_split(20, 40))

_SETTINGS: dict[str, Any] = {
    "epochs": 4, "batch_size": 55, "patience": 10, "monitor": "ndcg@10", "checkpoint_every": "60s", "threads": 1,
    **PLAIN,
}  # fmt: skip


def settings(**changes: Any) -> TrainerSettings:
    """Settings of a short run by the plain step, with some changed."""
    return TrainerSettings(**(_SETTINGS | changes))


def batches(seed: int = 42, batch_size: int = 55, needs: Collection[str] = (), split: Split = SPLIT) -> Batches:
    """Batches of groups of one positive and four negatives: 37 an epoch, the last of them short."""
    sampler = uniform(split.train, split.num_users, split.num_items, "cpu")
    return Batches(split.train, sampler, 4, batch_size, seed, "cpu", needs)


def model_named(
    name: str = "neumf", seed: int = 42, std: float | None = None, dtype: torch.dtype = torch.float32
) -> GradientRecommender:
    """A small model of the split's size, its weights as a run draws them, or N(0, std) so that each matters."""
    model = drawn(name, SPLIT.num_users, SPLIT.num_items, seed)
    assert isinstance(model, GradientRecommender)
    if std is not None:
        stream = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.data.normal_(0, std, generator=stream)
    return model.to(dtype)


def optimizer_named(name: str, model: GradientRecommender, lr: float = 0.01) -> torch.optim.Optimizer:
    """The optimizer over the parameters of `model`."""
    keys = keys_of("optimizer", name) | {"lr": lr}
    made: torch.optim.Optimizer = component("optimizer", OPTIMIZERS, keys)(model)
    return made


def step_of(
    model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer | None = None, **changes: Any
) -> Step:
    """The step that `build_step` gives with these changes of the settings."""
    stream = batches(needs=needs(loss))
    optimizer = optimizer or adam(model, lr=0.01, weight_decay=0.0)
    return build_step(model, loss, optimizer, settings(**changes), stream.groups, stream.sample())


def plain_step(model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer | None = None) -> PlainStep:
    """The plain step."""
    return PlainStep(model, loss, optimizer or adam(model, lr=0.01, weight_decay=0.0))


def values(*given: float) -> Callable[[], dict[str, float]]:
    """A validation that gives these values of the monitored metric, one an epoch."""
    stream = iter(given)
    return lambda: {"ndcg@10": next(stream)}


def trainer_of(
    validate: Callable[[], dict[str, float]] | None = None, loss: AnyLoss | None = None, seed: int = 42, **options: Any
) -> Trainer:
    """NeuMF on the small split; `options` are those of Trainer, or changes of the settings."""
    changes = {key: options.pop(key) for key in list(options) if key in _SETTINGS}
    loss = loss or loss_named("bce")
    step = step_of(model_named(seed=seed), loss, **changes)
    validate = validate or values(*itertools.accumulate([0.01] * 50))
    stream = batches(seed, settings(**changes).batch_size, needs(loss))
    return Trainer(step, stream, validate, settings(**changes), **options)
