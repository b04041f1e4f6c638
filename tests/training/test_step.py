"""One step of training: the plain step is its definition, and no step applies what is not finite."""

from collections import Counter

import pytest
import torch
from torch import Tensor
from toy_models import BY_GRADIENT, model_keys
from toy_training import SPLIT, adam, batches, model_named, optimizer_named, plain_step, step_of
from toys import compose, loss_named, same

from ncf.data import Batch
from ncf.losses import BCE, LOSSES, Focal, needs, per_example
from ncf.models import MODELS
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.base import Step
from ncf.training.fast.steps import ClosedFormStep, FusedLossStep
from ncf.training.step import PlainStep
from ncf.training.trainer import Trainer


def weights(step: Step) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in step.model.state_dict().items()}


def first_batch(**options: object) -> Batch:
    return next(batches(**options).epoch(1))  # type: ignore[arg-type]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each model's forward and each loss's formula is called."""
    counted: Counter[str] = Counter()

    def watch(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: object) -> Tensor:
            counted[f"{owner.__name__}.{name}"] += 1
            return original(*arguments)

        monkeypatch.setattr(owner, name, counting)

    for model in {MODELS[name] for name in BY_GRADIENT if "forward" in vars(MODELS[name])}:
        watch(model, "forward")
    for loss in LOSSES.values():
        watch(loss, "__call__")
    return counted


def trained(*overrides: str) -> Trainer:
    """A run of one epoch on the small split, as the command line would build and train it."""
    plan = plan_run(
        compose("trainer.epochs=1", "trainer.progress=false", "neg_ratio=4", "trainer.batch_size=55", *overrides)
    )
    trainer = build_trainer(plan, SPLIT, torch.device("cpu"))
    assert isinstance(trainer, Trainer)
    assert trainer.fit()
    return trainer


def chosen(name: str) -> list[str]:
    """The overrides that choose a small model."""
    return [f"model={name}", *(f"model.{key}={value}" for key, value in model_keys(name).items() if key != "name")]


@pytest.mark.parametrize(
    ("model", "loss"), [("gmf", "focal"), ("mlp", "bce"), ("neumf", "bpr"), ("mf", "logq_softmax")]
)
def test_a_plain_run_trains_by_the_models_forward_and_the_losss_formula(
    model: str, loss: str, calls: Counter[str]
) -> None:
    run = trained(*chosen(model), f"loss={loss}", "trainer.fast=false")
    assert type(run.step) is PlainStep
    steps = run.batches.steps
    assert calls == {f"{MODELS[model].__name__}.forward": steps, f"{LOSSES[loss].__name__}.__call__": steps}


@pytest.mark.parametrize(
    ("model", "kind"),
    [("gmf", ClosedFormStep), ("mlp", ClosedFormStep), ("neumf", ClosedFormStep), ("mf", FusedLossStep)],
)
def test_a_run_by_a_fast_step_calls_the_formula_for_the_check_alone(
    model: str, kind: type[Step], calls: Counter[str]
) -> None:
    run = trained(*chosen(model), "loss=focal")
    assert type(run.step) is kind
    assert calls["Focal.__call__"] == 1
    assert calls[f"{MODELS[model].__name__}.forward"] == (1 if kind is ClosedFormStep else 2 + run.batches.steps)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", BY_GRADIENT)
def test_the_plain_gradients_are_autograds_of_the_mean_over_rows(model: str, loss: str) -> None:
    subject = plain_step(model_named(model, std=0.3, dtype=torch.float64), loss_named(loss))
    batch = first_batch(needs=needs(subject.loss))
    logits, total = subject.backward(batch)
    twin = model_named(model, std=0.3, dtype=torch.float64)
    expected = twin(batch.users, batch.items)
    losses = per_example(subject.loss, expected, batch)
    (losses.sum() / batch.rows).backward()
    torch.testing.assert_close(logits, expected.detach())
    torch.testing.assert_close(total, losses.sum().detach())
    assert not logits.requires_grad
    assert not total.requires_grad
    for mine, other in zip(subject.parameters, twin.parameters()):
        torch.testing.assert_close(mine.grad, other.grad)


def test_gradients_of_the_step_before_are_gone() -> None:
    subject = plain_step(model_named(std=0.3), BCE())
    stream = list(batches().epoch(1))
    subject.backward(stream[0])
    subject.backward(stream[1])
    again = plain_step(model_named(std=0.3), BCE())
    again.backward(stream[1])
    assert same([p.grad for p in subject.parameters], [p.grad for p in again.parameters])


@pytest.mark.parametrize("optimizer", ["adam", "row_adam"])
def test_without_fast_the_plain_step_is_taken_unlooked_at(optimizer: str, calls: Counter[str]) -> None:
    model = model_named()
    step = step_of(model, Focal(gamma=2.0, alpha=0.25), optimizer_named(optimizer, model), fast=False)
    assert type(step) is PlainStep
    assert not calls


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "row_adam"])
@pytest.mark.parametrize("name", BY_GRADIENT)
def test_building_a_step_moves_no_weight_and_counts_no_step(name: str, optimizer: str, fast: bool) -> None:
    model = model_named(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    step = step_of(model, BCE(), optimizer_named(optimizer, model), fast=fast)
    step.flush()
    assert same(weights(step), before)
    assert (float(step.tally.loss_sum), float(step.tally.finite_steps), float(step.tally.broken)) == (0, 0, 0)
    counts = [state["step"] for state in step.optimizer.state_dict().get("state", {}).values()]
    assert not any(map(float, counts))


def test_the_optimizer_reads_the_tally_of_the_step_that_trains() -> None:
    """Not of the plain one that was made for the check: it skips the update by it."""
    model = model_named()
    optimizer = adam(model, lr=0.01, weight_decay=0.0)
    step = step_of(model, BCE(), optimizer, fast=True)
    assert type(step) is ClosedFormStep
    assert optimizer.found_inf is step.tally.broken  # type: ignore[attr-defined]
