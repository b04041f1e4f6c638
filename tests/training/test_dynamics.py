"""What training dynamics record, against the same quantities computed plainly, and that recording changes nothing."""

import copy
import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from torch import Tensor
from toys import compose, pairs, random_split, same, small

from ncf import models
from ncf.core.rng import generator
from ncf.data import Batch, Split
from ncf.losses import BCE, AlphaBCE, AnyLoss, Focal, FocalClamped, LogQSoftmax, needs, per_example
from ncf.models.gmf import GMF
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run
from ncf.train import train
from ncf.training.batches import Batches
from ncf.training.dynamics import OBSERVE_EVERY, Calibration, Dynamics, PairSet, reliability
from ncf.training.fast.stack import train_stacked
from ncf.training.samplers import uniform
from ncf.training.trainer import Trainer

LOSSES: list[AnyLoss] = [
    BCE(), AlphaBCE(alpha=0.25), Focal(gamma=2.0, alpha=0.25), FocalClamped(gamma=2.0, alpha=0.25),
]  # fmt: skip
Step = tuple[Batch, Tensor]
"""A batch and its logits."""


@pytest.fixture
def split() -> Split:
    return random_split(users=40, items=30)


def toy_batches(split: Split, seed: int = 3, loss: AnyLoss | None = None) -> Batches:
    sampler = uniform(split.train, split.num_users, split.num_items, "cpu")
    return Batches(split.train, sampler, 4, 25, seed, "cpu", needs(loss) if loss else ())


def toy_model(split: Split) -> GMF:
    model = models.build(partial(GMF, factors=4), split.num_users, split.num_items, generator(1, "initialisation"))
    for embedding in (model.tower.users, model.tower.items):
        embedding.weight.data *= 150  # confidences that fill every bin
    return model


def toy_dynamics(split: Split, loss: AnyLoss, folder: Path) -> Dynamics:
    return Dynamics(loss, split.valid, split.num_items, lambda: {"ece": 0.5}, folder / "dynamics.jsonl", "cpu")


def one_epoch(dynamics: Dynamics, steps: list[Step]) -> dict[str, Any]:
    """The line of an epoch of these steps, as the file has it."""
    for number, step in enumerate(steps):
        dynamics.observe(number, *step)
    dynamics.end_epoch(len(dynamics.history) + 1)
    return lines_of(dynamics)[-1]


def lines_of(dynamics: Dynamics) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dynamics._path.read_text().splitlines()]


def seen_steps(split: Split, loss: AnyLoss | None = None) -> list[Step]:
    """Every step of an epoch of a model that does not change."""
    model = toy_model(split)
    return [(batch, model(batch.users, batch.items)) for batch in toy_batches(split, loss=loss).epoch(1)]


def held_out(split: Split, batch: Batch) -> np.ndarray:
    """(B, 1+K) bool: which items of the batch are validation positives of their user."""
    valid = set(zip(split.valid.users.tolist(), split.valid.items.tolist()))
    pairs_of = [
        [(user, item) in valid for item in row] for user, row in zip(batch.users.tolist(), batch.items.tolist())
    ]
    return np.array(pairs_of)


def plainly(loss: AnyLoss, steps: list[Step], split: Split) -> dict[str, np.ndarray]:
    """Every observed row: is it a positive, held out, its bin, p_t, loss, |gradient|, all in float64."""
    rows: dict[str, list[np.ndarray]] = {}
    for batch, logits in steps[::OBSERVE_EVERY]:
        x = logits.detach().requires_grad_()
        losses = per_example(loss, x, batch)
        losses.sum().backward()
        assert x.grad is not None
        sign = np.where(np.arange(batch.items.shape[1]) == 0, 1.0, -1.0)
        confidence = expit(x.detach().double().numpy() * sign)
        found = {
            "positive": np.broadcast_to(sign > 0, batch.items.shape),
            "held_out": held_out(split, batch),
            "confidence": confidence,
            "bin": np.digitize(confidence, [0.2, 0.4, 0.6, 0.8]),
            "loss": losses.detach().double().numpy(),
            "gradient": np.abs(x.grad.double().numpy()),
            "weight": losses.detach().double().numpy() / -np.log(confidence),
        }
        for name, values in found.items():
            rows.setdefault(name, []).append(values.ravel())
    return {name: np.concatenate(values) for name, values in rows.items()}


PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=20)


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_a_set_of_pairs_knows_its_pairs_and_no_other_however_many_a_user_has(rows: list[tuple[int, int]]) -> None:
    subject = PairSet(pairs(rows), 7, "cpu")
    users = torch.tensor([4, 0, 1, 2, 3, 0])
    found = subject.contains(users, torch.arange(7).expand(6, 7))
    assert found.tolist() == [[(user, item) in set(rows) for item in range(7)] for user in users.tolist()]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_an_epoch_sums_up_to_what_a_plain_computation_gives(split: Split, loss: AnyLoss, tmp_path: Path) -> None:
    steps = seen_steps(split)
    line = one_epoch(toy_dynamics(split, loss, tmp_path), steps)
    rows = plainly(loss, steps, split)
    assert line["epoch"] == 1
    assert line["observed_steps"] == -(-len(steps) // OBSERVE_EVERY) > 1
    for name, own in (("positive", rows["positive"]), ("negative", ~rows["positive"])):
        got, w = line[name], rows["weight"][own]
        assert got["rows"] == own.sum()
        assert got["confidence"] == pytest.approx(rows["confidence"][own].mean(), rel=1e-5)
        assert got["effective_sample_size"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-4)
        bins = [own & (rows["bin"] == b) for b in range(5)]
        assert all(b.any() for b in bins), "every bin should be tried"
        assert got["histogram"] == pytest.approx([b.sum() / own.sum() for b in bins])
        for share, quantity in (("loss_share", "loss"), ("gradient_share", "gradient")):
            whole = rows[quantity].sum()
            assert got[share] == pytest.approx([rows[quantity][b].sum() / whole for b in bins], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_held_out_positives_among_the_negatives_are_counted_and_weighed(count: int, tmp_path: Path) -> None:
    """However many of them a user has."""
    split = random_split(users=40, items=30, held_out=count)
    steps, loss = seen_steps(split), Focal(gamma=2.0, alpha=0.25)
    got = one_epoch(toy_dynamics(split, loss, tmp_path), steps)["held_out"]
    rows = plainly(loss, steps, split)
    drawn, others = rows["held_out"], ~rows["held_out"] & ~rows["positive"]
    assert got["drawn"] == drawn.sum() > 0
    assert got["rate"] == pytest.approx(drawn.sum() / (~rows["positive"]).sum())
    assert got["weight"] == pytest.approx(0.75 * ((1 - rows["confidence"][drawn]) ** 2).mean(), rel=1e-4)
    assert got["weight_of_others"] == pytest.approx(rows["weight"][others].mean(), rel=1e-4)


def test_a_loss_that_reads_the_batch_is_given_it(split: Split, tmp_path: Path) -> None:
    steps = seen_steps(split, LogQSoftmax())
    line = one_epoch(toy_dynamics(split, LogQSoftmax(), tmp_path), steps)
    rows = plainly(LogQSoftmax(), steps, split)
    for share, quantity in (("loss_share", "loss"), ("gradient_share", "gradient")):
        for name, own in (("positive", rows["positive"]), ("negative", ~rows["positive"])):
            part = rows[quantity][own].sum() / rows[quantity].sum()
            assert sum(line[name][share]) == pytest.approx(part, rel=1e-4, abs=1e-9)


def test_weights_of_bce_are_all_one_so_that_every_row_counts(split: Split, tmp_path: Path) -> None:
    line = one_epoch(toy_dynamics(split, BCE(), tmp_path), seen_steps(split)[:1])
    for name in ("positive", "negative"):
        assert line[name]["effective_sample_size"] == pytest.approx(line[name]["rows"], rel=1e-5)


def test_extreme_logits_give_finite_lines(split: Split, tmp_path: Path) -> None:
    dynamics = toy_dynamics(split, Focal(gamma=2.0, alpha=0.25), tmp_path)
    logits = torch.tensor([[80.0, -80.0, 0.0, 40.0, -80.0], [-80.0, 80.0, 20.0, -40.0, 0.0]])
    line = one_epoch(dynamics, [(Batch(torch.tensor([0, 1]), torch.arange(10).view(2, 5)), logits)])
    for name in ("positive", "negative"):
        values = [v for value in line[name].values() for v in (value if isinstance(value, list) else [value])]
        assert np.isfinite(values).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_training_is_the_same_to_the_bit_with_and_without(split: Split, loss: AnyLoss, tmp_path: Path) -> None:
    def trained(observed: bool) -> dict[str, Tensor]:
        model = toy_model(split)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        dynamics = toy_dynamics(split, loss, tmp_path)
        for step, batch in enumerate(toy_batches(split).epoch(1)):
            logits = model(batch.users, batch.items)
            if observed:
                dynamics.observe(step, batch, logits)
            optimizer.zero_grad()
            per_example(loss, logits, batch).mean().backward()
            optimizer.step()
        return model.state_dict()

    assert same(dict(trained(True)), dict(trained(False)))


def test_a_run_that_stops_within_an_epoch_records_the_same_lines(split: Split, tmp_path: Path) -> None:
    steps, stop = seen_steps(split), OBSERVE_EVERY + 1
    (tmp_path / "whole").mkdir()
    whole, first, second = (toy_dynamics(split, BCE(), path) for path in (tmp_path / "whole", tmp_path, tmp_path))
    one_epoch(whole, steps)
    one_epoch(whole, steps)

    one_epoch(first, steps)
    for step in range(stop):
        first.observe(step, *steps[step])
    saved = copy.deepcopy(first.state())
    one_epoch(first, steps)  # what the run recorded beyond its checkpoint is forgotten
    second.load(saved)
    for step in range(stop, len(steps)):
        second.observe(step, *steps[step])
    second.end_epoch(2)
    assert same(lines_of(second), lines_of(whole))


def test_the_test_positives_are_out_of_sight(split: Split, tmp_path: Path) -> None:
    """Another test part, the same lines: whatever selection could read of them knows nothing of the test positives."""
    items = split.test.items.copy()
    items[:10] = split.num_items  # never drawn
    moved = random_split(users=40, items=30)
    object.__setattr__(moved, "test", pairs(zip(split.test.users, items)))
    line, other = (one_epoch(toy_dynamics(of, BCE(), tmp_path), seen_steps(of)) for of in (split, moved))
    assert same(line, other)


def test_reliability_of_a_worked_example() -> None:
    probs = torch.tensor([0.05, 0.05, 0.05, 0.05, 0.95, 1.0], dtype=torch.float64)
    labels = torch.tensor([False, False, False, True, True, True])
    got = reliability(probs, labels)
    assert got["rows"] == [4, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert got["predicted"] == pytest.approx([0.05, 0, 0, 0, 0, 0, 0, 0, 0, 0.975])
    assert got["observed"] == pytest.approx([0.25, 0, 0, 0, 0, 0, 0, 0, 0, 1.0])
    assert got["ece"] == pytest.approx((4 * 0.2 + 2 * 0.025) / 6)


def test_probabilities_that_are_right_have_almost_no_calibration_error() -> None:
    probs = torch.rand(200_000, dtype=torch.float64, generator=generator(0, "evaluation"))
    labels = torch.rand(200_000, dtype=torch.float64, generator=generator(1, "evaluation")) < probs
    assert reliability(probs, labels)["ece"] < 0.01
    assert reliability(probs.square(), labels)["ece"] > 0.1


@pytest.mark.parametrize("count", [1, 3])
def test_calibration_judges_validation_positives_among_drawn_negatives(count: int) -> None:
    """One that was drawn and is a validation positive too, of those that the user has several of, counts as such."""
    split = random_split(users=40, items=30, held_out=count)
    calibration = Calibration(toy_model(split), toy_batches(split), split.valid, split.num_items)
    assert calibration._items.shape == (len(split.valid), 5)
    labels = held_out(split, Batch(calibration._users, calibration._items))
    assert calibration._labels.tolist() == labels.tolist()
    assert labels[:, 0].all()
    assert labels[:, 1:].any()
    got = calibration()
    assert sum(got["rows"]) == 5 * len(split.valid)
    assert same(got, calibration()), "the draw is fixed"
    positives = sum(rows * share for rows, share in zip(got["rows"], got["observed"]))
    assert positives == pytest.approx(int(calibration._labels.sum()))


def test_a_run_records_its_dynamics_and_is_the_run_it_would_have_been(root: Path, tmp_path: Path) -> None:
    for name in ("true", "false"):
        (tmp_path / name).mkdir()
        assert train(compose(*small(root, "loss=focal", f"dynamics={name}")), tmp_path / name)
    with_dynamics, without = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("true", "false"))
    assert with_dynamics["config_hash"] == without["config_hash"]
    assert (tmp_path / "true" / "ranks.csv").read_bytes() == (tmp_path / "false" / "ranks.csv").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "true" / "dynamics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(0 <= line["calibration"]["ece"] <= 1 and line["observed_steps"] == 2 for line in lines)
    assert not (tmp_path / "false" / "dynamics.jsonl").exists()


def test_a_stopped_run_goes_on_to_the_same_dynamics(root: Path, tmp_path: Path) -> None:
    asked = itertools.count(1)
    cfg = compose(*small(root, "dynamics=true"))
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    assert train(cfg, tmp_path / "whole")
    assert train(cfg, tmp_path / "stopped", lambda: next(asked) == 31) is None  # in the second epoch
    assert train(cfg, tmp_path / "stopped")
    whole, stopped = ((tmp_path / name / "dynamics.jsonl").read_bytes() for name in ("whole", "stopped"))
    assert stopped == whole


def test_stacked_runs_record_what_solo_runs_do(root: Path, tmp_path: Path) -> None:
    lines: dict[str, list[list[dict[str, Any]]]] = {"solo": [], "stacked": []}
    jobs = []
    for seed in (1, 2):
        cfg = compose(*small(root, f"seed={seed}", "loss=focal", "dynamics=true", "trainer.epochs=2"))
        for name in lines:
            folder = tmp_path / name / str(seed)
            folder.mkdir(parents=True)
            job = open_job(plan_run(cfg), folder, lambda: False)
            assert isinstance(job, Job)
            jobs.append((name, folder, job.trainer))
    for name, _, trainer in jobs:
        if name == "solo":
            trainer.fit()
    assert [error for _, error in train_stacked((t for name, _, t in jobs if name == "stacked"), 2)] == [None, None]
    for name, folder, _ in jobs:
        lines[name].append([json.loads(line) for line in (folder / "dynamics.jsonl").read_text().splitlines()])
    for solo, stacked in zip(lines["solo"], lines["stacked"]):
        assert [line["observed_steps"] for line in stacked] == [2, 2]
        for a, b in zip(solo, stacked):
            assert a["held_out"]["drawn"] == b["held_out"]["drawn"]
            assert a["negative"]["loss_share"] == pytest.approx(b["negative"]["loss_share"], abs=1e-3)
            assert a["calibration"]["ece"] == pytest.approx(b["calibration"]["ece"], abs=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_observing_a_step_never_waits_for_the_device(split: Split, tmp_path: Path) -> None:
    dynamics = Dynamics(BCE(), split.valid, split.num_items, lambda: {}, tmp_path / "dynamics.jsonl", "cuda")
    batch, logits = seen_steps(split)[0]
    step = Batch(batch.users.cuda(), batch.items.cuda()), logits.cuda()
    dynamics.observe(0, *step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        dynamics.observe(OBSERVE_EVERY, *step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_run_hands_its_dynamics_the_validation_positives_only(root: Path, tmp_path: Path) -> None:
    job = open_job(plan_run(compose(*small(root, "dynamics=true"))), tmp_path, lambda: False)
    assert isinstance(job, Job)
    assert isinstance(job.trainer, Trainer)
    dynamics = job.trainer.dynamics
    assert dynamics
    valid, users = job.split.valid, torch.arange(job.split.num_users)
    everything = torch.arange(job.split.num_items).expand(len(users), -1)
    known = dynamics._held_out.contains(users, everything).nonzero()
    assert list(map(tuple, known.tolist())) == sorted(zip(valid.users.tolist(), valid.items.tolist()))
    assert isinstance(dynamics._calibrate, Calibration)
    assert dynamics._calibrate._items[:, 0].tolist() == valid.items.tolist()
