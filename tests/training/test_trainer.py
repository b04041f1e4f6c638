"""The trainer: what it minimises, when it stops, what it restores, and that it never sees a test item."""

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_training import SPLIT, trainer_of, values
from toys import compose, loss_named, random_split, same

from ncf.data import Batch, Split
from ncf.errors import TrainingError
from ncf.losses import BCE, LOSSES, Focal, JointLoss
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.trainer import Progress, Trainer


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_every_epoch_is_recorded_with_what_the_run_folder_promises() -> None:
    lines: list[dict[str, float]] = []
    subject = trainer_of(record=lines.append)
    assert subject.fit()
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    keys = {"epoch", "train_loss", "train_seconds", "valid_seconds", "rows_per_second", "ndcg@10"}
    assert all(line.keys() == keys for line in lines)
    assert lines == subject.progress.history


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows() -> None:
    """With steps too small to move a weight it is the initial model's, the short last batch included."""
    lines: list[dict[str, float]] = []
    subject = trainer_of(record=lines.append, epochs=1)
    for group in subject.step.optimizer.param_groups:
        group["lr"] = 1e-30
    with torch.no_grad():
        logits = [subject.model(batch.users, batch.items) for batch in subject.batches.epoch(1)]
    assert len(logits[-1]) < len(logits[0])
    expected = torch.cat([BCE()(x).flatten() for x in logits]).double().mean().item()
    subject.fit()
    assert lines[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("fast", [True, False])
def test_a_step_is_adam_on_the_mean_over_the_rows_of_the_batch(fast: bool) -> None:
    subject, plain = trainer_of(epochs=1, fast=fast), trainer_of(epochs=1)
    for batch in plain.batches.epoch(1):
        plain.step.optimizer.zero_grad()
        BCE()(plain.model(batch.users, batch.items)).mean().backward()
        plain.step.optimizer.step()
    subject.fit()
    for name, tensor in subject.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.model.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_training_lowers_the_loss() -> None:
    lines: list[dict[str, float]] = []
    trainer_of(record=lines.append, epochs=8).fit()
    losses = [line["train_loss"] for line in lines]
    assert losses[-1] < 0.9 * losses[0]


def test_it_stops_after_as_many_epochs_without_improvement_as_patience_allows_and_restores_the_best() -> None:
    seen: list[dict[str, Tensor]] = []

    def validate() -> dict[str, float]:
        seen.append(weights(subject.model))
        return {"ndcg@10": [0.1, 0.3, 0.2, 0.3, 0.1, 0.9][len(seen) - 1]}

    subject = trainer_of(validate, epochs=50, patience=3)
    assert subject.fit()
    assert len(seen) == 5  # epoch 4 equals the best but is not better
    assert subject.progress.best_epoch == 2
    assert subject.progress.best_value == 0.3
    assert same(weights(subject.model), seen[1])
    assert not same(seen[1], seen[-1])


def test_it_stops_at_the_last_epoch_and_restores_the_best_there_too() -> None:
    subject = trainer_of(values(0.1, 0.5, 0.2), epochs=3)
    assert subject.fit()
    assert (subject.progress.best_epoch, len(subject.progress.history)) == (2, 3)


def test_a_metric_that_stays_nought_still_has_a_best_epoch() -> None:
    subject = trainer_of(values(0.0, 0.0, 0.0), epochs=50, patience=2)
    assert subject.fit()
    assert (subject.progress.best_epoch, len(subject.progress.history)) == (1, 3)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [1, 9, 40])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_step_is_applied(poison: float, step: int) -> None:
    calls = itertools.count(1)
    before: list[dict[str, Tensor]] = []

    def loss(logits: Tensor) -> Tensor:
        if next(calls) == step:
            before.append(weights(subject.model))
            return BCE()(logits) * poison
        return BCE()(logits)

    saved: list[dict[str, Any]] = []
    subject = trainer_of(loss=loss, save=saved.append)
    per_epoch = subject.batches.steps
    where = f"epoch {(step - 1) // per_epoch + 1}, step {(step - 1) % per_epoch + 1}: "
    with pytest.raises(TrainingError, match=f"^{where}expected a finite loss and gradient"):
        subject.fit()
    assert same(weights(subject.model), before[0])
    assert not saved


def test_a_gradient_that_is_not_finite_stops_the_run_though_the_loss_is() -> None:
    """At x = 0 the square root of the absolute value is 0, and its slope infinite."""
    subject = trainer_of(loss=lambda logits: BCE()(logits) + (logits - logits.detach()).abs().sqrt())
    before = weights(subject.model)
    with pytest.raises(TrainingError, match=r"^epoch 1, step 1: "):
        subject.fit()
    assert same(weights(subject.model), before)


def stopping_after(steps: int) -> Callable[[], bool]:
    """A stop flag that is up after this many steps."""
    calls = itertools.count(1)
    return lambda: next(calls) >= steps


@pytest.mark.parametrize("at", [1, 5, 36, 37, 38, 100])
def test_a_run_that_is_stopped_and_resumed_ends_in_the_same_bits(at: int) -> None:
    assert trainer_of().batches.steps == 37
    whole, saved = trainer_of(), []
    whole.fit()
    stopped = trainer_of(save=saved.append, stopped=stopping_after(at))
    assert not stopped.fit()
    resumed = trainer_of(values(*np.cumsum([0.01] * 50)[len(saved[-1]["progress"]["history"]) :]))
    resumed.load(saved[-1])
    assert resumed.fit()
    assert same(weights(resumed.model), weights(whole.model))
    assert resumed.progress.best_epoch == whole.progress.best_epoch
    assert [line["train_loss"] for line in resumed.progress.history] == [
        line["train_loss"] for line in whole.progress.history
    ]
    optimizers = resumed.step.optimizer.state_dict()["state"], whole.step.optimizer.state_dict()["state"]
    assert same(*optimizers)


def test_a_finished_run_that_is_loaded_has_nothing_left_to_do() -> None:
    saved: list[dict[str, Any]] = []
    whole = trainer_of(save=saved.append)
    whole.fit()
    again = trainer_of(values())  # would raise if it validated
    again.load(saved[-1])
    assert again.fit()
    assert same(weights(again.model), weights(whole.model))


def test_more_epochs_continue_a_finished_run() -> None:
    saved: list[dict[str, Any]] = []
    longer = trainer_of(epochs=6)
    longer.fit()
    trainer_of(save=saved.append, epochs=4).fit()
    continued = trainer_of(values(0.05, 0.06), epochs=6)
    continued.load(saved[-1])
    continued.fit()
    assert same(weights(continued.model), weights(longer.model))


@pytest.mark.parametrize(("every", "saves"), [("1epoch", 5), ("2epochs", 3), ("3epochs", 2), ("1000s", 1), ("9min", 1)])
def test_checkpoints_come_as_often_as_asked_and_at_the_end(every: str, saves: int) -> None:
    saved: list[dict[str, Any]] = []
    trainer_of(save=saved.append, checkpoint_every=every).fit()
    assert len(saved) == saves


def test_the_clock_is_looked_at_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    ticks = itertools.count(0, 3)
    monkeypatch.setattr("ncf.training.trainer.GLANCE_STEPS", 4)
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))
    subject = trainer_of(epochs=1, checkpoint_every="5s", save=lambda state: saved.append(state["progress"]["step"]))
    subject.fit()
    assert any(0 < step < 37 for step in saved)


def test_a_clock_that_is_set_back_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are measured on the monotonic clock, which nobody can set."""
    clock = itertools.count(2_000_000_000, -86_400)
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    subject = trainer_of()
    assert subject.fit()
    assert all(line["train_seconds"] >= 0 and line["rows_per_second"] > 0 for line in subject.progress.history)


def watched(trainer: Trainer) -> list[dict[str, Tensor]]:
    """The batches that its steps are given, as they come."""
    seen: list[dict[str, Tensor]] = []
    step = trainer.step

    class Watching(type(step)):  # type: ignore[misc]
        def __call__(self, batch: Batch) -> Tensor:
            seen.append({name: tensor.clone() for name, tensor in batch.tensors().items()})
            return super().__call__(batch)

    step.__class__ = Watching
    return seen


@pytest.mark.parametrize("name", [name for name in LOSSES if not isinstance(loss_named(name), JointLoss)])
def test_runs_of_one_seed_and_any_loss_see_the_same_weights_batches_and_negatives(
    name: str, untouched: Callable[[], bool]
) -> None:
    reference = prepared("loss=bce")
    subject = prepared(f"loss={name}", *(["loss.candidates=40"] if name == "gbce" else []))
    assert same(weights(reference.model), weights(subject.model))
    assert untouched()
    seen = [watched(runner) for runner in (reference, subject)]
    for runner in (reference, subject):
        runner.fit()
    assert len(seen[1]) == 2 * subject.batches.steps
    shared = [[{key: batch[key] for key in ("users", "items")} for batch in each] for each in seen]
    assert same(*shared)
    assert not same(weights(reference.model), weights(subject.model)) or name == "bce"
    assert untouched()


@pytest.mark.parametrize("change", ["seed=43", "neg_ratio=3", "trainer.batch_size=120"])
def test_other_settings_see_other_batches(change: str) -> None:
    a, b = (next(iter(prepared(*o).batches.epoch(1))).tensors() for o in ([], [change]))
    assert not same(a, b)


def prepared(*overrides: str, split: Split = SPLIT) -> Trainer:
    """The trainer that the command line would build for this split."""
    small = "trainer.epochs=2", "trainer.progress=false", "trainer.batch_size=110", "neg_ratio=4"
    sizes = "model.gmf_factors=4", "model.mlp_factors=4", "model.hidden=[8,4]"
    built = build_trainer(plan_run(compose(*small, *sizes, *overrides)), split, torch.device("cpu"))
    assert isinstance(built, Trainer)
    return built


def reachable(start: object) -> Iterator[object]:
    """Every object that can be reached from `start` through attributes, containers and closures, modules aside."""
    seen, todo = set(), [start]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type(gc) | type):
            continue
        seen.add(id(thing))
        yield thing
        globals_of_functions = getattr(thing, "__globals__", None)
        todo += [other for other in gc.get_referents(thing) if other is not globals_of_functions]
        todo += getattr(thing, "__dict__", {}).values()


def test_a_test_item_cannot_be_reached_from_the_trainer() -> None:
    split = random_split(21, 41, seed=5)
    parts = {id(split.test), id(split.test.users), id(split.test.items), id(split)}
    found = list(reachable(prepared(split=split)))
    assert not parts & {id(thing) for thing in found}
    test_items = split.test.items
    for thing in found:
        if isinstance(thing, Tensor | np.ndarray) and tuple(thing.shape) == test_items.shape:
            assert not np.array_equal(np.asarray(thing), test_items)
    assert any(
        isinstance(thing, Tensor) and thing.shape == (21,) for thing in found
    )  # validation is reached, so it looks


def test_the_search_would_find_a_split() -> None:
    split = random_split(21, 41, seed=5)
    subject = prepared(split=split)
    subject.settings, kept = (lambda: split), subject.settings
    assert any(thing is split.test for thing in reachable(subject))
    subject.settings = kept


def test_validation_is_the_evaluation_of_the_model_as_it_is() -> None:
    subject = prepared("loss=focal")
    assert isinstance(subject.step.loss, Focal)
    first = subject._validate()
    with torch.no_grad():
        subject.model.output.weight.neg_()
    assert subject._validate() != first
    assert first.keys() >= {"ndcg@10", "hit@10", "mrr"}


def test_epochs_without_improvement_are_counted_from_the_best_one() -> None:
    progress = Progress(best_epoch=3, history=[{}] * 7)
    assert progress.epochs_without_improvement() == 4
    assert Progress().epochs_without_improvement() == 0


def test_a_fast_run_goes_on_where_a_plain_one_stopped() -> None:
    """The checkpoint does not say which step took it there."""
    saved: list[dict[str, Any]] = []
    plain = trainer_of()
    plain.fit()
    assert not trainer_of(save=saved.append, stopped=stopping_after(40)).fit()
    resumed = trainer_of(values(0.02, 0.03, 0.04), fast=True)
    resumed.load(saved[-1])
    assert resumed.fit()
    for name, tensor in resumed.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_slow_disk_is_saved_to_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of 10 s every 60 s would take a seventh of the time."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def save(state: dict[str, Any]) -> None:
        now[0] += 10

    subject = trainer_of(checkpoint_every="60s", save=save)
    now[0] += 61
    assert subject.due()
    subject.checkpoint()
    for seconds, due in ((61, False), (400, False), (40, True)):
        now[0] += seconds
        assert subject.due() == due


def test_steps_take_denormals_for_zero_and_validation_does_not() -> None:
    flushed: dict[str, list[bool]] = {"training": [], "validation": []}

    def note(when: str) -> None:
        flushed[when].append(bool(torch.tensor(1e-40) / 2 == 0))

    def loss(logits: Tensor) -> Tensor:
        note("training")
        return BCE()(logits)

    def validate() -> dict[str, float]:
        note("validation")
        return {"ndcg@10": 0.1}

    trainer_of(validate, loss=loss, epochs=1).fit()
    assert flushed == {"training": [True] * 37, "validation": [False]}
