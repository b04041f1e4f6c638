"""Stacked runs are the solo runs: same weights step by step, same stopping, one failure does not spread."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from toy_training import adam, adamw, sgd
from toys import PLAIN, compose, replayed, same, small

from ncf import models
from ncf.core.rng import generator
from ncf.data import Pairs, Split
from ncf.errors import TrainingError
from ncf.losses import BCE, AlphaBCE, AnyLoss, Focal, FocalClamped, LogQSoftmax, needs
from ncf.models import MODELS, GradientRecommender
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.batches import Batches
from ncf.training.fast.closed_form import ClosedForm
from ncf.training.fast.cuda_graph import GraphedStep
from ncf.training.fast.row_adam import row_adam
from ncf.training.fast.stack import _JointUpdate, _Stack, signature, stack_size, stackable, train_stacked
from ncf.training.fast.steps import ClosedFormStep
from ncf.training.samplers import uniform
from ncf.training.settings import TrainerSettings
from ncf.training.step import PlainStep, build_step
from ncf.training.trainer import Trainer

USERS, ITEMS, RATIO = 30, 40, 4
SHAPES = {
    "gmf": {"factors": 8},
    "mlp": {"factors": 8, "hidden": [16, 8], "dropout": 0.0},
    "neumf": {"gmf_factors": 8, "mlp_factors": 8, "hidden": [16, 8], "dropout": 0.0},
    "mf": {"factors": 8},
}
LOSSES: list[AnyLoss] = [BCE(), AlphaBCE(alpha=0.25), Focal(gamma=2.0, alpha=0.25), Focal(gamma=0.5, alpha="balanced")]


def train_pairs() -> Pairs:
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, USERS * ITEMS, 300))
    return Pairs(pairs // ITEMS, pairs % ITEMS)


def make(
    seed: int,
    loss: AnyLoss,
    name: str = "neumf",
    epochs: int = 4,
    patience: int = 10,
    dtype: torch.dtype = torch.float32,
    values: Callable[[int], float] = float,
    lr: float = 1e-3,
    optimizer: Callable[[GradientRecommender], torch.optim.Optimizer] | None = None,
    **changes: object,
) -> Trainer:
    """A small run whose validation metric after epoch e is `values(e)`."""
    train = train_pairs()
    batches = Batches(train, uniform(train, USERS, ITEMS, "cpu"), RATIO, 50, seed, "cpu", needs(loss))
    model = models.build(partial(MODELS[name], **SHAPES[name]), USERS, ITEMS, generator(seed, "initialisation"))
    model = model.to(dtype)
    settings = TrainerSettings(
        epochs=epochs, batch_size=50, patience=patience, monitor="m", checkpoint_every="60s", threads=1,
        **PLAIN | {"fast": True} | changes,
    )  # fmt: skip
    seen: list[int] = []

    def validate() -> dict[str, float]:
        seen.append(1)
        return {"m": values(len(seen))}

    own = optimizer(model) if optimizer else adam(model, lr=lr, weight_decay=0.0)
    step = build_step(model, loss, own, settings, batches.groups, batches.sample())
    return Trainer(step, batches, validate, settings)


def gap(a: Trainer, b: Trainer) -> float:
    pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
    return max((p - q).abs().max().item() for p, q in pairs)


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fifty_steps_equal_solo(name: str, dtype: torch.dtype) -> None:
    build = partial(make, name=name, dtype=dtype, epochs=2)
    stacked = [build(seed, loss) for seed, loss in enumerate(LOSSES)]
    solo = [build(seed, loss) for seed, loss in enumerate(LOSSES)]
    assert solo[0].batches.steps * 2 >= 50
    assert all(error is None for _, error in train_stacked(iter(stacked), size=len(stacked)))
    for a, b in zip(stacked, solo, strict=True):
        assert b.fit()
        assert gap(a, b) < (1e-5 if dtype == torch.float32 else 1e-12)
        assert a.progress.history[-1]["train_loss"] == pytest.approx(b.progress.history[-1]["train_loss"], rel=1e-5)


def test_losses_outside_the_focal_family_and_other_learning_rates_stack() -> None:
    def build() -> list[Trainer]:
        return [make(1, FocalClamped(gamma=2.0, alpha=0.25)), make(1, BCE(), lr=1e-2), make(2, BCE())]

    stacked, solo = build(), build()
    list(train_stacked(iter(stacked), size=3))
    for a, b in zip(stacked, solo, strict=True):
        b.fit()
        assert gap(a, b) < 1e-5


@pytest.mark.parametrize("name", ["neumf", "mf"])
def test_runs_of_other_optimizers_stack(name: str) -> None:
    momentum = partial(sgd, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.01)
    decayed = partial(adamw, lr=1e-3, weight_decay=0.3)
    penalised = partial(adam, lr=1e-3, weight_decay=0.3)

    def build(*optimizers: Callable[[GradientRecommender], torch.optim.Optimizer]) -> list[Trainer]:
        return [make(1, BCE(), name=name, dtype=torch.float64, optimizer=own) for own in optimizers]

    for optimizers in ([decayed, penalised, decayed], [momentum, decayed, penalised]):
        stacked, solo = build(*optimizers), build(*optimizers)
        assert all(error is None for _, error in train_stacked(iter(stacked), size=3))
        for a, b in zip(stacked, solo, strict=True):
            b.fit()
            assert gap(a, b) < 1e-9


@pytest.mark.parametrize("name", ["neumf", "mf"])
def test_a_loss_that_reads_the_batch_is_given_its_own_runs(name: str) -> None:
    def build() -> list[Trainer]:
        return [make(seed, LogQSoftmax(), name=name, dtype=torch.float64) for seed in range(3)]

    stacked, solo = build(), build()
    assert stacked[0].batches.needs == {"log_probs"}
    assert all(error is None for _, error in train_stacked(iter(stacked), size=3))
    for a, b in zip(stacked, solo, strict=True):
        b.fit()
        assert gap(a, b) < 1e-9


def test_runs_whose_batches_hold_other_fields_share_no_stack() -> None:
    assert signature(make(1, LogQSoftmax())) != signature(make(1, BCE()))
    assert signature(make(1, Focal(gamma=2.0, alpha=0.25))) == signature(make(2, BCE()))


@pytest.mark.parametrize("change", [{"name": "gmf"}, {"dtype": torch.float64}, {"fast": False}])
def test_runs_of_another_model_type_or_step_share_no_stack(change: dict) -> None:
    assert signature(make(1, BCE(), **change)) != signature(make(1, BCE()))


def test_what_is_plain_compiled_lazy_or_in_another_precision_is_one_run() -> None:
    assert stackable(make(1, BCE()))
    assert stackable(make(1, BCE(), name="mf"))
    assert not stackable(make(1, BCE(), fast=False))
    assert not stackable(make(1, BCE(), precision="bfloat16"))
    assert not stackable(make(1, BCE(), compile=True))
    assert not stackable(make(1, BCE(), optimizer=lambda model: row_adam(model, lr=1e-3)))


def test_a_run_whose_fast_step_disagreed_is_one_run_and_trains_by_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack would compute its loss by the kernel."""
    monkeypatch.setattr(Focal, "__call__", lambda self, logits: 2 * BCE()(logits))
    subject = make(1, Focal(gamma=2.0, alpha=0.25))
    assert type(subject.step) is PlainStep
    assert not stackable(subject)


def test_updating_all_runs_at_once_is_updating_each_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among other learning rates, and step counts that differ because a run joined later."""

    def trained() -> tuple[list[Trainer], list[dict]]:
        runs = [make(s, LOSSES[s], lr=lr, epochs=3 + s) for s, lr in enumerate((1e-3, 1e-2, 1e-3, 1e-3))]
        saved: list[dict] = []
        for run in runs:
            run._save = saved.append
        assert [error for _, error in train_stacked(iter(runs), size=3)] == [None] * 4
        return runs, saved

    joint, states = trained()
    monkeypatch.setattr(_JointUpdate, "__call__", lambda self, totals: False)
    each, expected = trained()
    assert len(states) == len(expected) == 4
    for a, b in zip(joint, each, strict=True):
        assert gap(a, b) == 0
        assert [line["train_loss"] for line in a.progress.history] == [x["train_loss"] for x in b.progress.history]
    for state, other in zip(states, expected, strict=True):
        torch.testing.assert_close(state["optimizer"], other["optimizer"], rtol=0, atol=0)


def test_a_replayed_stack_is_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: runs updated one by one, in a step that is captured anew whenever a run joins or leaves."""

    def trained(graphed: bool) -> list[Trainer]:
        runs = [make(s, LOSSES[s], epochs=3 + s % 2) for s in range(4)]
        for run in runs:
            assert isinstance(run.step, ClosedFormStep)
            run.step.graphed = graphed
        assert [error for _, error in train_stacked(iter(runs), size=3)] == [None] * 4
        return runs

    captures: list[int] = []

    class OnDevice(ClosedForm):
        def __init__(self, models: Sequence[GradientRecommender]) -> None:
            super().__init__(models)
            self.flat.clear_rows = False

    def capture(step: Callable[[], None]) -> Callable[[], None]:
        captures.append(1)
        return replayed(step)

    monkeypatch.setattr(_JointUpdate, "__call__", lambda self, totals: False)
    monkeypatch.setattr("ncf.training.fast.stack.ClosedForm", OnDevice)
    plain = trained(False)
    monkeypatch.setattr("ncf.training.fast.stack.GraphedStep", partial(GraphedStep, capture=capture))
    for a, b in zip(trained(True), plain, strict=True):
        assert same(a.state() | {"progress": 0}, b.state() | {"progress": 0})
        assert [line["train_loss"] for line in a.progress.history] == [x["train_loss"] for x in b.progress.history]
    assert len(captures) > 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graphed_stack_waits_for_nothing_and_is_its_runs_alone(root: Path) -> None:
    plans = [plan_run(compose(*small(root), "device=cuda", f"seed={seed}")) for seed in range(3)]
    split = plans[0].split(plans[0].data())
    stacked, solo = ([build_trainer(plan, split, torch.device("cuda")) for plan in plans] for _ in range(2))
    stack = _Stack(stacked)
    batches = list(zip(*(trainer.batches.epoch(1) for trainer in stacked), strict=True))
    stack.step(batches[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in batches[1:]:
            stack.step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for own, trainer, alone in zip(zip(*batches, strict=True), stacked, solo, strict=True):
        for batch in own:
            alone.step(batch)
        assert gap(trainer, alone) < 1e-5


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_the_joint_check_sees_every_gradient_that_is_not_zero(name: str) -> None:
    form = ClosedForm([make(seed, BCE(), name=name).model for seed in range(3)])
    stream = torch.Generator().manual_seed(0)
    for groups in (20, 2):  # a short batch, of which rows are gathered, after a long one, whose rows are zero again
        users = torch.randint(USERS, (3, groups), generator=stream)
        items = torch.randint(ITEMS, (3, groups, 1 + RATIO), generator=stream)
        form.backward(torch.randn(form.forward(users, items).shape, generator=stream))
        gradients = form.flat.gradients
        for run, place in gradients.nonzero().tolist()[::7]:
            value = gradients[run, place].item()
            gradients[run, place] = float("nan")
            assert any(part.isnan().any() for part in form.touched())
            gradients[run, place] = value


def test_a_gradient_that_overflows_in_a_few_rows_ends_that_run_alone() -> None:
    runs = [make(s, BCE(), name="gmf") for s in range(3)]
    before: list[torch.Tensor] = []

    def after_a_step() -> bool:
        if runs[1].progress.step == 3 and not before:
            users, items, output, _ = runs[1].model.parameters()
            with torch.no_grad():  # the logits are finite, and so is every gradient but that of the users
                users.zero_()
                items.fill_(1e30)
                output.fill_(1e30)
            before.extend(p.detach().clone() for p in runs[1].model.parameters())
        return False

    runs[0].stopped = after_a_step
    ended = {id(trainer): error for trainer, error in train_stacked(iter(runs), size=3)}
    assert "epoch 1, step 4:" in str(ended[id(runs[1])])
    assert all(torch.equal(p, q) for p, q in zip(runs[1].model.parameters(), before, strict=True))
    for s in (0, 2):
        alone = make(s, BCE(), name="gmf")
        alone.fit()
        assert ended[id(runs[s])] is None
        assert gap(runs[s], alone) < 1e-5


def test_runs_leave_when_over_and_the_next_one_joins() -> None:
    best = [2, 5, 1, 3, 4]
    runs = [make(s, BCE(), epochs=20, patience=2, values=lambda e, b=b: -abs(e - b)) for s, b in enumerate(best)]
    ended = [trainer for trainer, _ in train_stacked(iter(runs), size=2)]
    assert set(map(id, ended)) == set(map(id, runs))
    for trainer, epoch in zip(runs, best, strict=True):
        assert trainer.progress.best_epoch == epoch
        assert len(trainer.progress.history) == epoch + 2
    alone = make(1, BCE(), epochs=20, patience=2, values=lambda e: -abs(e - 5))
    alone.fit()
    assert gap(runs[1], alone) < 1e-5  # the best epoch's weights, although neighbours came and went


def test_one_broken_run_does_not_spread() -> None:
    runs = [make(s, BCE()) for s in range(3)]
    with torch.no_grad():
        next(runs[1].model.parameters()).fill_(float("nan"))
    ended = {id(trainer): error for trainer, error in train_stacked(iter(runs), size=3)}
    assert isinstance(ended[id(runs[1])], TrainingError)
    for s in (0, 2):
        alone = make(s, BCE())
        alone.fit()
        assert ended[id(runs[s])] is None
        assert gap(runs[s], alone) < 1e-5


def test_a_broken_run_keeps_no_other_from_its_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.training.fast.stack.GLANCE_STEPS", 1)

    def runs() -> list[Trainer]:
        made = [make(s, BCE()) for s in range(3)]
        with torch.no_grad():
            next(made[1].model.parameters()).fill_(float("nan"))
        for s, trainer in enumerate(made):
            trainer._save = lambda state, s=s: saved.append(s)
            trainer.due = lambda epoch_end=False: True  # type: ignore[method-assign]
        return made

    saved: list[int] = []
    whole = runs()
    ended = {id(trainer): error for trainer, error in train_stacked(iter(whole), size=3)}
    assert [isinstance(ended[id(trainer)], TrainingError) for trainer in whole] == [False, True, False]
    assert {s: saved.count(s) for s in set(saved)} == dict.fromkeys((0, 2), 4 * whole[0].batches.steps + 1)

    saved = []
    interrupted = runs()
    for trainer in interrupted:
        trainer.stopped = lambda: interrupted[0].progress.step >= 2
        trainer.due = lambda epoch_end=False: False  # type: ignore[method-assign]
    ((failed, error),) = train_stacked(iter(interrupted), size=3)
    assert failed is interrupted[1]
    assert isinstance(error, TrainingError)
    assert saved == [0, 2]


def test_a_checkpoint_of_a_stack_goes_on_alone() -> None:
    saved: dict[int, dict] = {}
    runs = [make(s, BCE()) for s in range(3)]
    for s, trainer in enumerate(runs):
        trainer._save = lambda state, s=s: saved.__setitem__(s, copy.deepcopy(state))
        trainer.stopped = lambda: runs[0].progress.epoch == 2 and runs[0].progress.step >= 2
    assert list(train_stacked(iter(runs), size=3)) == []
    for s, state in saved.items():
        moments = state["optimizer"]["state"][0]["exp_avg"].untyped_storage().nbytes()
        assert moments < 1.1 * sum(p.nbytes for p in runs[s].model.parameters())  # its own, not those of the stack
        again, alone = make(s, BCE()), make(s, BCE())
        again.load(state)
        assert (again.progress.epoch, again.progress.step) == (2, 2)
        assert again.fit()
        assert alone.fit()
        assert gap(again, alone) < 1e-5
        losses = [[line["train_loss"] for line in t.progress.history] for t in (again, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_interrupted_stack_saves_every_run_and_goes_on() -> None:
    saved: dict[int, dict] = {}
    runs = [make(s, BCE()) for s in range(3)]
    for s, trainer in enumerate(runs):
        trainer._save = lambda state, s=s: saved.__setitem__(s, state)
        trainer.stopped = lambda: runs[0].progress.step >= 2
    assert list(train_stacked(iter(runs), size=3)) == []
    again = [make(s, BCE()) for s in range(3)]
    for s, trainer in enumerate(again):
        trainer.load(saved[s])
        assert trainer.progress.step == 2
    fresh = make(7, BCE())  # joins once the others have finished the epoch that they were interrupted in
    assert len({signature(t) for t in [*again, fresh]}) == 1
    assert len(list(train_stacked(iter([again[0], fresh, *again[1:]]), size=4))) == 4
    assert len(fresh.progress.history) == len(again[0].progress.history) == 4
    alone = make(1, BCE())
    alone.fit()
    assert gap(again[1], alone) < 1e-5


@pytest.mark.slow
def test_final_metrics_of_ten_stacked_and_ten_solo_runs_are_one_distribution(ml100k: Split) -> None:
    """Rounding sends the runs different ways; where they arrive may not depend on the stack."""
    overrides = "neg_ratio=4", "trainer.batch_size=2048", "optimizer.lr=0.004", "trainer.epochs=5"

    def trainers() -> list[Trainer]:
        plans = [plan_run(compose(*overrides, f"seed={seed}", "trainer.progress=false")) for seed in range(10)]
        made = [build_trainer(plan, ml100k, torch.device("cpu")) for plan in plans]
        return [trainer for trainer in made if isinstance(trainer, Trainer)]

    stacked, solo = trainers(), trainers()
    assert len(list(train_stacked(iter(stacked), 5))) == 10
    assert all(trainer.fit() for trainer in solo)
    finals = [np.array([t.progress.best_value for t in runs]) for runs in (stacked, solo)]
    assert finals[1].std() > 1e-4  # seeds differ, so that equal distributions say something
    assert stats.ks_2samp(*finals).pvalue > 0.05
    assert abs(finals[0].mean() - finals[1].mean()) < 2 * (finals[0].var() / 10 + finals[1].var() / 10) ** 0.5


def test_a_gpu_takes_what_fits_half_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(0, BCE())
    assert stack_size(trainer) == 5
    own = sum(parameter.numel() * 4 for parameter in trainer.model.parameters())
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    for free, expected in ((2 * 8 * own * 7, 7), (0, 1), (10**15, 128)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2 * free))
        assert stack_size(trainer) == expected
