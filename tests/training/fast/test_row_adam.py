"""Rows that wait are moved as dense Adam would have moved them, and nothing else is touched."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toys import PLAIN, compose, random_split, same, small

from ncf import models
from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data import Batch, Split
from ncf.errors import ConfigError, TrainingError
from ncf.losses import BCE
from ncf.models import MODELS
from ncf.runs import checkpoint
from ncf.runs.plan import plan_run
from ncf.train import train
from ncf.training.batches import Batches
from ncf.training.fast.row_adam import MissedUpdates, RowAdam, gauss
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.samplers import uniform
from ncf.training.settings import TrainerSettings
from ncf.training.step import build_step
from ncf.training.trainer import Trainer

ROWS, FACTORS = 6, 3
SMALL_NEUMF = partial(MODELS["neumf"], gmf_factors=4, mlp_factors=4, hidden=[8, 4], dropout=0.0)


class Lookup(nn.Module):
    """A table whose gradient is whatever the test wants: loss = (looked-up rows * coefficients).sum()."""

    def __init__(self, dtype: torch.dtype = torch.float64, rows: int = ROWS) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, FACTORS, dtype=dtype)
        nn.init.normal_(self.table.weight, std=0.01, generator=torch.Generator().manual_seed(0))


def dense_adam(model: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer:
    """The optimiser that row_adam must equal."""
    return torch.optim.Adam(model.parameters(), lr, fused=True)


def step(model: Lookup, optimizer: torch.optim.Optimizer, rows: Tensor, coefficients: Tensor) -> Tensor:
    """One training step; the rows as the model saw them."""
    optimizer.zero_grad()
    seen = model.table(rows)
    (seen * coefficients).sum().backward()
    optimizer.step()
    return seen.detach()


def walk(touches: list[list[int]], scale: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Weights by row_adam and by dense Adam after these lookups, and the length of each dense weight's path."""
    lazy, dense = Lookup(dtype), Lookup(dtype)
    row, adam = RowAdam(lazy, 1e-2), dense_adam(dense)
    path, stream = torch.zeros(ROWS, FACTORS, dtype=dtype), torch.Generator().manual_seed(1)
    for touched in touches:
        rows = torch.tensor(touched, dtype=torch.int64)
        coefficients = scale * torch.randn(len(rows), FACTORS, dtype=dtype, generator=stream)
        before = dense.table.weight.detach().clone()
        tolerance = 1e-12 * path[rows] + 1e-12 if scale > 1e-3 else 2e-7 * path[rows] + 1e-15
        seen = step(lazy, row, rows, coefficients), step(dense, adam, rows, coefficients)
        assert ((seen[0] - seen[1]).abs() <= tolerance).all()
        path += (dense.table.weight.detach() - before).abs()
    row.flush()
    return lazy.table.weight.detach(), dense.table.weight.detach(), path


TOUCHES = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=5), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(touches=TOUCHES)
def test_any_pattern_of_touches_is_dense_adam(touches: list[list[int]]) -> None:
    """Duplicates in a batch, rows that wait, steps that touch nothing."""
    lazy, dense, path = walk(touches, scale=1.0)
    assert ((lazy - dense).abs() <= 1e-12 * path + 1e-14).all()


@settings(max_examples=30, deadline=None)
@given(touches=TOUCHES, exponent=st.floats(-11, -5))
def test_gradients_near_eps_stay_within_the_stated_bound(touches: list[list[int]], exponent: float) -> None:
    lazy, dense, path = walk(touches, scale=10**exponent)
    assert ((lazy - dense).abs() <= 2e-7 * path + 1e-15).all()


@pytest.mark.parametrize("last", [1, 2, 5, 20, 100, 255, 256, 400, 3_000, 100_000])
def test_the_sum_of_missed_updates(last: int) -> None:
    """Against its definition, for gradients from far below eps to far above it."""
    root = 1e-8 * torch.cat([torch.zeros(1), torch.logspace(-6, 6, 200)]).double()
    missed = MissedUpdates(torch.device("cpu"))
    for count in (0, 1, 2, 3, 10, 39, 40, 41, 100, 1_000):
        k = torch.arange(1, count + 1).double()[:, None]
        steps = last + k
        expected = (0.9**k / (1 - 0.9**steps) / (root * 0.999 ** (k / 2) / (1 - 0.999**steps).sqrt() + 1e-8)).sum(0)
        found = missed.total(root[None], torch.tensor([last]), torch.tensor(last + count))[0]
        error = (found - expected).abs() / expected.clamp(min=1e-300)
        assert error.max() < 2e-7
        assert error[root > 1e-4].max() < 1e-13
        assert error[0] < 1e-13  # eps is all that counts


def test_the_quadrature_has_the_moments() -> None:
    weights, nodes = torch.tensor([[0.3, 2.0], [1.0, 0.0], [0.0, 0.0]]).double(), torch.tensor([0.5, 0.8]).double()
    moments = torch.stack([(weights * nodes**j).sum(1) for j in range(4)], dim=1)
    found_weights, found_nodes = gauss(moments)
    for j in range(4):
        torch.testing.assert_close((found_weights * found_nodes**j).sum(1), moments[:, j])
    assert (found_nodes > 0).all()


LENGTHS = [pytest.param(900, id="900"), pytest.param(5_000, id="5000", marks=pytest.mark.slow)]


def rare(number: int, steps: int) -> list[int]:
    """Row 0 always, row 1 near both ends, row 2 at every seventh part, row 3 early only, row 4 once, row 5 never."""
    rows = [0]
    rows += [1] * (number in (3, steps - 300)) + [2] * (number % (steps // 7) == 5)
    return rows + [3] * (number < 9) + [4] * (number == 2 * steps // 5)


@pytest.mark.parametrize("steps", LENGTHS)
def test_hundreds_of_steps(steps: int) -> None:
    """Rows wait through the steps in which updates are summed one by one, and for long after them."""
    lazy, dense, path = walk([rare(number, steps) for number in range(steps)], scale=1.0)
    assert ((lazy - dense).abs() <= 1e-12 * path + 1e-14).all()
    assert torch.equal(lazy[5], Lookup().table.weight[5])


@pytest.mark.parametrize("steps", LENGTHS)
def test_hundreds_of_steps_in_single_precision(steps: int) -> None:
    """No further from the exact path than dense Adam in single precision is, but for the last bit."""
    coefficients = torch.randn(steps, 5, FACTORS, generator=torch.Generator().manual_seed(2))
    weights = []
    for dtype, make in ((torch.float32, RowAdam), (torch.float32, dense_adam), (torch.float64, dense_adam)):
        model = Lookup(torch.float32).to(dtype)
        optimizer = make(model, 1e-3)
        for number in range(steps):
            rows = torch.tensor(rare(number, steps))
            step(model, optimizer, rows, coefficients[number, : len(rows)].to(dtype))
        if isinstance(optimizer, RowAdam):
            optimizer.flush()
        weights.append(model.table.weight.detach().double())
    lazy, dense, exact = weights
    assert ((lazy - exact).abs() <= 2 * (dense - exact).abs().amax(1, keepdim=True) + 2e-8).all()


def test_moments_too_small_for_single_precision() -> None:
    """A squared gradient that underflows leaves v at 0 and m above it."""
    lazy, dense = Lookup(torch.float32), Lookup(torch.float32)
    row, adam = RowAdam(lazy, 1e-2), dense_adam(dense)
    for rows in ([0, 1], [0], [2], [0, 1]):
        coefficients = torch.full((len(rows), FACTORS), 1e-25)
        step(lazy, row, torch.tensor(rows), coefficients)
        step(dense, adam, torch.tensor(rows), coefficients)
    row.flush()
    torch.testing.assert_close(lazy.table.weight, dense.table.weight)


class Tied(nn.Module):
    """One table read through two modules, twice each, beside a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.output = (
            nn.Embedding(5, FACTORS, dtype=torch.float64),
            nn.Embedding(5, FACTORS, dtype=torch.float64),
            nn.Linear(FACTORS, 1, dtype=torch.float64),
        )
        self.right.weight = self.left.weight
        for number, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B,) -> logits (B, 1)."""
        looked_up = self.left(rows) * self.right(rows.flip(0)) + self.left((rows + 1) % 5)
        logits: Tensor = self.output(looked_up)
        return logits


def test_several_lookups_of_one_table_in_a_step() -> None:
    lazy, dense = Tied(), Tied()
    row, adam = RowAdam(lazy, 1e-2), dense_adam(dense)
    stream = torch.Generator().manual_seed(0)
    for _ in range(50):
        rows = torch.randint(0, 5, (2,), generator=stream)
        for model, optimizer in ((lazy, row), (dense, adam)):
            optimizer.zero_grad()
            model(rows).square().sum().backward()
            optimizer.step()
    row.flush()
    for a, b in zip(lazy.parameters(), dense.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_a_step_touches_only_its_rows() -> None:
    """However large the table: that is what makes its cost follow the batch."""
    model = Lookup(rows=1_000)
    optimizer = RowAdam(model, 1e-2)
    step(model, optimizer, torch.arange(1_000), torch.ones(1_000, FACTORS).double())
    before = [t.clone() for t in (model.table.weight.detach(), *optimizer.state_dict()["tables"][0].values())]
    step(model, optimizer, torch.tensor([3, 5]), torch.ones(2, FACTORS).double())
    after = (model.table.weight.detach(), *optimizer.state_dict()["tables"][0].values())
    for old, new in zip(before[:-1], after[:-1]):
        changed = (old != new).reshape(1_000, -1).any(1).nonzero().flatten()
        assert changed.tolist() == [3, 5]


def test_flushed_rows_do_not_move_again() -> None:
    model = Lookup()
    optimizer = RowAdam(model, 1e-2)
    for _ in range(3):
        step(model, optimizer, torch.tensor([1]), torch.ones(1, FACTORS).double())
    optimizer.flush()
    weight = model.table.weight.detach().clone()
    model.table(torch.arange(ROWS))
    optimizer.load_state_dict(optimizer.state_dict())
    model.table(torch.arange(ROWS))
    assert torch.equal(model.table.weight, weight)


def test_a_loaded_state_has_its_own_waiting_rows() -> None:
    """Also when the optimiser that loads it was up to date."""
    (waiting, optimizer), (loaded, other) = ((model, RowAdam(model, 1e-2)) for model in (Lookup(), Lookup()))
    for rows in ([0, 1], [1]):
        step(waiting, optimizer, torch.tensor(rows), torch.ones(len(rows), FACTORS).double())
    other.flush()
    loaded.load_state_dict(waiting.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(loaded.table(torch.arange(2)), waiting.table(torch.arange(2)))
    assert not torch.equal(loaded.table.weight, Lookup().table.weight)


@pytest.mark.parametrize("row", [ROWS, -1])
def test_a_row_that_is_not_there_changes_nothing(row: int) -> None:
    model = Lookup()
    optimizer = RowAdam(model, 1e-2)
    step(model, optimizer, torch.tensor([1]), torch.ones(1, FACTORS).double())
    step(model, optimizer, torch.tensor([2]), torch.ones(1, FACTORS).double())
    weight = model.table.weight.detach().clone()
    with pytest.raises(IndexError):
        model.table(torch.tensor([1, row]))
    assert torch.equal(model.table.weight, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_that_is_not_finite_is_skipped_whole(dtype: torch.dtype) -> None:
    lazy, dense = Lookup(dtype), Lookup(dtype)
    row, adam = RowAdam(lazy, 1e-2), dense_adam(dense)
    for number, rows in enumerate(([0, 1], [1, 2], [0], [0, 1, 2])):
        broken = torch.tensor(float(number == 1))
        row.found_inf = adam.found_inf = broken
        coefficients = torch.full((len(rows), FACTORS), float("nan") if number == 1 else 1.0, dtype=dtype)
        step(lazy, row, torch.tensor(rows), coefficients)
        step(dense, adam, torch.tensor(rows), coefficients)
    row.flush()
    torch.testing.assert_close(lazy.table.weight, dense.table.weight)
    assert row.state_dict()["tables"][0]["step"] == 3


def test_a_weight_read_whole_is_refused() -> None:
    model = Lookup()
    optimizer = RowAdam(model, 1e-2)
    model.table.weight.square().sum().backward()
    with pytest.raises(ConfigError, match=r"^optimizer: row_adam expected embeddings that are only looked up"):
        optimizer.step()


def test_weight_decay_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^optimizer\.weight_decay: unknown key, expected one of lr"):
        component("optimizer", OPTIMIZERS, {"name": "row_adam", "lr": 1e-3, "weight_decay": 0.1})
    with pytest.raises(ConfigError, match=r"^optimizer\.lr: "):
        component("optimizer", OPTIMIZERS, {"name": "row_adam", "lr": 0.0})


def test_the_configuration_names_it() -> None:
    plan = plan_run(compose("optimizer=row_adam"))
    assert isinstance(plan.optimizer(SMALL_NEUMF(4, 5)), RowAdam)


def trainer(
    split: Split,
    make: Callable[..., torch.optim.Optimizer],
    dtype: torch.dtype = torch.float64,
    fast: bool = False,
    **hooks: Callable[..., object],
) -> Trainer:
    """A run of two epochs whose validation metric tells of every weight."""
    built = models.build(SMALL_NEUMF, split.num_users, split.num_items, generator(0, "initialisation")).to(dtype)
    batches = Batches(split.train, uniform(split.train, split.num_users, split.num_items, "cpu"), 4, 50, 0, "cpu")
    options = TrainerSettings(
        epochs=2, batch_size=50, patience=2, monitor="m", checkpoint_every="60s", threads=1, **PLAIN | {"fast": fast}
    )

    def validate() -> dict[str, float]:
        return {"m": float(built.score(torch.arange(split.num_users)).square().sum())}

    step = build_step(built, BCE(), make(built, 1e-2), options, batches.groups, batches.sample())
    return Trainer(step, batches, validate, options, **hooks)


@pytest.mark.parametrize("fast", [True, False])
def test_validation_and_the_best_epoch_see_every_row_up_to_date(fast: bool) -> None:
    split = random_split(25, 30)
    lazy, dense = trainer(split, RowAdam, fast=fast), trainer(split, dense_adam)
    assert lazy.fit()
    assert dense.fit()
    for a, b in zip(lazy.progress.history, dense.progress.history, strict=True):
        assert a["m"] == pytest.approx(b["m"], rel=1e-8)
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-8)
    for name, tensor in dense.model.state_dict().items():
        torch.testing.assert_close(lazy.model.state_dict()[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("stop_after", [1, 40])
def test_a_run_killed_and_resumed_is_the_same_to_the_bit(tmp_path: Path, stop_after: int) -> None:
    split = random_split(25, 30)
    whole = trainer(split, RowAdam, dtype=torch.float32)
    assert whole.fit()
    calls = iter(range(10_000))

    def save(state: dict[str, object]) -> None:
        checkpoint.save(tmp_path, {"settings": {}, "data_digest": "", **state})

    first = trainer(split, RowAdam, dtype=torch.float32, save=save, stopped=lambda: next(calls) + 1 == stop_after)
    assert not first.fit()
    second = trainer(split, RowAdam, dtype=torch.float32)
    state = checkpoint.load(tmp_path)
    assert state is not None
    second.load(state.state())
    assert second.fit()
    assert same(whole.model.state_dict(), second.model.state_dict())
    assert same(whole.step.optimizer.state_dict(), second.step.optimizer.state_dict())


def test_a_broken_gradient_ends_the_run_with_the_weights_before_it() -> None:
    split = random_split(40, 30)
    jobs = [trainer(split, make) for make in (RowAdam, dense_adam)]
    for job in jobs:
        calls = iter(range(10_000))
        job.step.loss = lambda logits, calls=calls: BCE()(logits) / (0.0 if next(calls) == 5 else 1.0)
        with pytest.raises(TrainingError, match="epoch 1, step 6: expected a finite loss and gradient"):
            job.fit()
    for a, b in zip(jobs[0].model.parameters(), jobs[1].model.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_the_guard_reads_sparse_gradients(value: float) -> None:
    """The loss is finite, and so are all gradients but one element of one row."""
    job = trainer(random_split(40, 30), RowAdam)
    before = [p.detach().clone() for p in job.model.parameters()]
    backward = job.step.backward

    def poisoned(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        computed = backward(batch)
        gradient = next(p.grad for p in job.model.parameters() if p.grad is not None and p.grad.is_sparse)
        gradient._values()[0, 0] = value
        return computed

    job.step.backward = poisoned
    job.step(next(job.batches.epoch(1)))
    with pytest.raises(TrainingError, match="expected a finite loss and gradient"):
        job.end_epoch()
    assert all(map(torch.equal, job.model.parameters(), before))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 2e-5)])
def test_neumf_on_movielens(ml100k: Split, dtype: torch.dtype, tolerance: float) -> None:
    """40 steps of 23 groups at 1:10."""
    make = partial(MODELS["neumf"], gmf_factors=64, mlp_factors=64, hidden=[128, 64, 32], dropout=0.0)
    sampler = uniform(ml100k.train, ml100k.num_users, ml100k.num_items, "cpu")
    batches = Batches(ml100k.train, sampler, 10, 256, 0, "cpu")
    built = [models.build(make, ml100k.num_users, ml100k.num_items, generator(0, "initialisation")) for _ in range(2)]
    lazy, dense = (model.to(dtype) for model in built)
    row, adam = RowAdam(lazy, 1e-3), dense_adam(dense, 1e-3)
    for _, batch in zip(range(40), batches.epoch(1)):
        losses = []
        for model, optimizer in ((lazy, row), (dense, adam)):
            optimizer.zero_grad()
            loss = BCE()(model(batch.users, batch.items)).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=tolerance)
    row.flush()
    for a, b in zip(lazy.parameters(), dense.parameters()):
        assert (a - b).abs().max() < tolerance


def test_a_run_finds_what_it_finds_with_adam(root: Path, tmp_path: Path) -> None:
    found = {}
    for name in ("adam", "row_adam"):
        (tmp_path / name).mkdir()
        result = train(compose(*small(root, f"optimizer={name}")), tmp_path / name)
        assert result is not None
        found[name] = result["test"]
    assert found["row_adam"] == pytest.approx(found["adam"], abs=1e-3)
