"""Clipping, schedules, dropout and the further optimizers: exact on every step's path, and resumed to the bit."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import SPLIT, batches, model_named, settings, values
from toys import compose, keys_of, loss_named, same, small

from ncf.core.config import component
from ncf.models import Dropout, GradientRecommender
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.base import clip
from ncf.training.fast.stack import stackable
from ncf.training.fast.steps import ClosedFormStep, FusedLossStep
from ncf.training.optimizers import OPTIMIZERS, regulated
from ncf.training.step import PlainStep, build_step
from ncf.training.trainer import Trainer

COSINE = {"schedule": "cosine", "period": "3epochs", "warmup": "50steps"}


@dataclass(frozen=True)
class Regime:
    """What a run trains by: an optimizer, changes of its keys, and a probability of dropout."""

    optimizer: str = "adam"
    keys: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    model: str = "neumf"


REGIMES = {
    "sgd": Regime("sgd"),
    "nesterov": Regime("sgd", {"nesterov": True, "weight_decay": 0.01}),
    "adamw": Regime("adamw", {"weight_decay": 0.1}),
    "clipped": Regime("adam", {"clip_norm": 0.01}),
    "cosine": Regime("adam", COSINE),
    "falling": Regime("sgd", {"schedule": "step", "period": "20steps", "decay": 0.5}),
    "dropout": Regime(dropout=0.3),
    "dropout of mlp": Regime(dropout=0.3, model="mlp"),
    "all of mlp": Regime("sgd", {**COSINE, "clip_norm": 0.01}, 0.3, "mlp"),
    "all of mf": Regime("adamw", {**COSINE, "clip_norm": 0.01}, model="mf"),
}
ALIKE = ("sgd", "nesterov", "adamw")  # every step is as the one before it


def trainer_of(regime: Regime, fast: bool, dtype: torch.dtype = torch.float32, **options: Any) -> Trainer:
    """A run of four epochs of 37 steps."""
    model = model_named(regime.model, dtype=dtype)
    for part in model.modules():
        if isinstance(part, Dropout):
            part.p = regime.dropout
    optimizer = component("optimizer", OPTIMIZERS, keys_of("optimizer", regime.optimizer) | regime.keys)(model)
    stream = batches()
    step = build_step(model, loss_named("focal"), optimizer, settings(fast=fast), stream.groups, stream.sample())
    validate = options.pop("validate", values(*itertools.accumulate([0.01] * 4)))
    return Trainer(step, stream, validate, settings(fast=fast), **options)


def stopping_after(steps: int) -> Callable[[], bool]:
    calls = itertools.count(1)
    return lambda: next(calls) >= steps


def outcome(trainer: Trainer) -> list[object]:
    losses = [(line["train_loss"], line.get("clipped")) for line in trainer.progress.history]
    return [trainer.model.state_dict(), trainer.step.optimizer.state_dict(), losses]


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", REGIMES)
def test_a_run_that_is_killed_and_resumed_ends_in_the_same_bits(name: str, fast: bool) -> None:
    whole = trainer_of(REGIMES[name], fast)
    assert whole.fit()
    for at in (1, 40, 74):
        saved: list[dict[str, Any]] = []
        assert not trainer_of(REGIMES[name], fast, save=saved.append, stopped=stopping_after(at)).fit()
        left = list(itertools.accumulate([0.01] * 4))[len(saved[-1]["progress"]["history"]) :]
        resumed = trainer_of(REGIMES[name], fast, validate=values(*left))
        resumed.load(saved[-1])
        assert resumed.fit()
        assert same(outcome(resumed), outcome(whole))


@pytest.mark.parametrize("name", REGIMES)
def test_the_fast_step_is_the_plain_one(name: str) -> None:
    """In double precision, over the short batches at the ends of two epochs."""
    made = partial(trainer_of, REGIMES[name], dtype=torch.float64)
    runs = [made(fast=True, stopped=stopping_after(80)), made(fast=False, stopped=stopping_after(80))]
    for run in runs:
        run.fit()
    closed = REGIMES[name].model != "mf" and not REGIMES[name].dropout
    assert [type(run.step) for run in runs] == [ClosedFormStep if closed else FusedLossStep, PlainStep]
    first, second = (dict(run.model.named_parameters()) for run in runs)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", REGIMES)
def test_what_changes_from_step_to_step_shares_no_stack(name: str) -> None:
    trainer = trainer_of(REGIMES[name], fast=True)
    assert stackable(trainer) == (name in ALIKE)
    assert trainer.step.regulated == (name not in ALIKE)


def test_a_step_takes_the_rate_of_its_place_in_the_run() -> None:
    taken: list[float] = []
    trainer = trainer_of(REGIMES["cosine"], fast=False, dtype=torch.float64)
    original = trainer.step.optimizer.step
    trainer.step.optimizer.step = lambda: (taken.append(trainer.step.optimizer.param_groups[0]["lr"]), original())[1]  # type: ignore[method-assign, assignment]
    trainer.fit()
    assert taken[:2] == pytest.approx([0.001 / 50, 0.002 / 50])
    assert taken[49:51] == [0.001, 0.001]
    assert taken[-1] == pytest.approx(0.001 * 0.5 * (1 + torch.tensor(torch.pi * 97 / 111).cos().item()))
    assert len(taken) == 4 * 37


def test_a_clipped_gradient_by_hand() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]
    assert not clip(gradients, 10.0)
    assert same(gradients, [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])  # a norm of 5
    assert clip(gradients, 2.5)
    torch.testing.assert_close(gradients, [torch.tensor([1.5]), torch.tensor([[0.0, 2.0]])])
    nothing = [torch.zeros(3)]
    assert not clip(nothing, 1.0)
    assert same(nothing, [torch.zeros(3)])


@pytest.mark.parametrize("fast", [True, False])
def test_the_share_of_clipped_steps_is_that_of_the_norms_above(fast: bool) -> None:
    """Counted from the gradients before each clipping, over four epochs of 37 steps, some above and some below."""
    trainer, norms = trainer_of(Regime("sgd", {"clip_norm": 0.0254}), fast), []
    clipping = trainer.step.clip
    total = torch.linalg.vector_norm
    found = lambda: total(torch.stack([total(gradient) for gradient in trainer.step.gradients()])).item()  # noqa: E731
    trainer.step.clip = lambda: (norms.append(found()), clipping())[1]  # type: ignore[method-assign, func-returns-value]
    assert trainer.fit()
    above = [sum(norm > 0.0254 for norm in norms[at : at + 37]) / 37 for at in range(0, 148, 37)]
    assert [line["clipped"] for line in trainer.progress.history] == pytest.approx(above)
    assert any(0 < share < 1 for share in above)


def test_a_run_that_clips_nothing_records_no_share() -> None:
    trainer = trainer_of(Regime(), fast=True)
    assert trainer.fit()
    assert not any("clipped" in line for line in trainer.progress.history)
    assert "clipped" not in trainer.state()


@pytest.mark.parametrize("fast", [True, False])
def test_no_step_is_longer_than_the_clipped_gradient(fast: bool) -> None:
    """By SGD without momentum at rate 1, a step is the gradient."""
    regime = Regime("sgd", {"lr": 1.0, "momentum": 0.0, "clip_norm": 0.02})
    trainer = trainer_of(regime, fast)
    for number, batch in zip(range(5), trainer.batches.epoch(1)):
        before = parameters(trainer.model)
        trainer.step.at(1, number, trainer.batches)
        trainer.step(batch)
        assert float((parameters(trainer.model) - before).norm()) == pytest.approx(0.02, rel=1e-4)


def parameters(model: GradientRecommender) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("fast", [True, False])
def test_a_norm_that_is_never_reached_and_a_schedule_at_its_peak_change_no_bit(fast: bool) -> None:
    free, held = trainer_of(Regime(), fast), trainer_of(Regime(keys={"clip_norm": 1e6}), fast)
    flat = trainer_of(Regime(keys={"schedule": "step", "period": "999epochs"}), fast)
    for trainer in (free, held, flat):
        trainer.fit()
    assert same(free.model.state_dict(), held.model.state_dict())
    assert same(free.model.state_dict(), flat.model.state_dict())


def test_dropout_is_drawn_anew_at_each_step_and_is_over_when_the_model_is_validated() -> None:
    trainer = trainer_of(REGIMES["dropout"], fast=False)
    batch = trainer.batches.sample()

    def logits() -> Tensor:
        return trainer.model(batch.users, batch.items).detach()

    without = logits()
    trainer.step.at(1, 0, trainer.batches)
    first = logits()
    trainer.step.at(1, 1, trainer.batches)
    second = logits()
    trainer.step.at(1, 0, trainer.batches)
    assert torch.equal(logits(), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first, without)
    trainer.step.flush()
    assert torch.equal(logits(), without)
    torch.testing.assert_close(logits(), trainer.model.score(batch.users).gather(1, batch.items))
    validated: list[bool] = []

    def validate() -> dict[str, float]:
        validated.append(all(part.stream is None for part in run.model.modules() if isinstance(part, Dropout)))
        return {"ndcg@10": 0.1}

    run = trainer_of(REGIMES["dropout"], fast=True, validate=validate)
    run.fit()
    assert validated == [True] * 4


def test_runs_of_other_seeds_drop_otherwise() -> None:
    trainer = trainer_of(REGIMES["dropout"], fast=False)
    batch, seen = trainer.batches.sample(), []
    for seed in (42, 43):
        trainer.batches.seed = seed
        trainer.step.at(1, 0, trainer.batches)
        seen.append(trainer.model(batch.users, batch.items).detach())
    assert not torch.equal(*seen)


def test_an_optimizer_of_ones_own_can_be_regulated() -> None:
    model = model_named("gmf")
    own = regulated(torch.optim.Adagrad(model.parameters(), lr=1.0), clip_norm=0.1, schedule=None)
    step = PlainStep(model, loss_named("bce"), own)
    assert step.regulated
    assert not PlainStep(model, loss_named("bce"), torch.optim.Adagrad(model.parameters())).regulated


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=sgd", "optimizer.schedule=step", "optimizer.period=10steps", "model.dropout=0.5"],
        ["optimizer=adamw", "optimizer.warmup=1epoch", "optimizer.clip_norm=0.5", "model.dropout=0.1"],
    ],
)
def test_the_command_line_reaches_the_step(overrides: list[str]) -> None:
    plan = plan_run(compose(*small(Path("data"), *overrides), "neg_ratio=4"))
    trainer = build_trainer(plan, SPLIT, torch.device("cpu"))
    assert isinstance(trainer, Trainer)
    assert type(trainer.step) is FusedLossStep
    defaults = trainer.step.optimizer.defaults
    assert (defaults["clip_norm"], defaults["schedule"].shape) in [(None, "step"), (0.5, "constant")]
    assert trainer.fit()
