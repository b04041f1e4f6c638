"""Runs with trainer=distributed: one process equals the plain trainer; what is refused; two processes equal one."""

import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from several import assert_alike, finish, line, require_torchrec, torchrun
from toys import compose, small

require_torchrec()

from ncf.errors import CheckpointError, ConfigError
from ncf.runs import sharded_file
from ncf.train import train


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """The group of the one process of these tests lasts as long as they do."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def made(folder: Path, *overrides: str, steps: int | None = None) -> Path:
    """The folder of a run, made in this process; stopped after `steps` if they are given."""
    folder.mkdir(exist_ok=True)
    left = iter(range(steps or 10**9))
    train(compose(*overrides), folder, lambda: next(left, None) is None)
    return folder


SGD = ("optimizer=sgd", "optimizer.lr=2", "optimizer.momentum=0")


@pytest.mark.parametrize(
    ("name", "sharding", "more"),
    [
        ("neumf", "auto", ()), ("gmf", "row", ()), ("mlp", "table", ()), ("mf", "row", ()), ("gmf", "data", ()),
        ("mf", "row", SGD), ("gmf", "row", ("optimizer=row_adam", "loss=item_weighted_bce")),
    ],
)  # fmt: skip
def test_one_process_equals_the_plain_trainer(
    name: str, sharding: str, more: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    plain = made(tmp_path / "plain", *line(root, name, *more))
    own = made(tmp_path / "own", *line(root, name, *more, "trainer=distributed", f"trainer.sharding={sharding}"))
    assert_alike(plain, own)


def test_a_stopped_run_goes_on(root: Path, tmp_path: Path) -> None:
    overrides = line(root, "mf", "trainer=distributed", "trainer.checkpoint_every=1epoch")
    whole = made(tmp_path / "whole", *overrides)
    for steps in (30, 1):  # in the second epoch, and after one more step
        made(tmp_path / "own", *overrides, steps=steps)
        assert not (tmp_path / "own/result.json").exists()
    assert_alike(whole, made(tmp_path / "own", *overrides, "trainer.sharding=table"))


@pytest.mark.slow
def test_the_best_epoch_before_a_stop_is_restored_at_the_end(root: Path, tmp_path: Path) -> None:
    overrides = line(root, "mf", "optimizer.lr=0.1", "trainer.epochs=5")
    plain = made(tmp_path / "plain", *overrides)
    best = json.loads((plain / "result.json").read_text())["best_epoch"]
    assert best < 4, best
    own = [*overrides, "trainer=distributed", "trainer.sharding=row"]
    made(tmp_path / "own", *own, steps=24 * 4 + 2)  # in the last epoch
    made(tmp_path / "own", *own)
    assert_alike(plain, tmp_path / "own", steps=120)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=ease"], "model: expected one of gmf, mlp, neumf, mf with trainer=distributed, got ease"),
        (["model.dropout=0.5"], "model.dropout: expected 0.0"),
        (["optimizer=adamw"], "optimizer: expected adam, row_adam or sgd"),
        (["optimizer=sgd"], "optimizer.momentum: expected 0.0 with trainer=distributed, got 0.9"),
        (["optimizer.weight_decay=0.1"], "optimizer.weight_decay: expected 0.0"),
        (["optimizer.clip_norm=1"], "optimizer.clip_norm: expected null"),
        (["evaluation=sampled"], "evaluation: expected full"),
        (["dynamics=true"], "dynamics: expected false"),
        (["trainer.precision=bfloat16"], "trainer.precision: expected float32"),
    ],
)
def test_what_is_not_supported_is_refused_in_one_line(
    overrides: list[str], said: str, root: Path, tmp_path: Path
) -> None:
    base = line(root, "neumf") if not overrides[0].startswith("model=") else [
        o for o in small(root) if not o.startswith("model.")
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        made(tmp_path / "run", *base, "trainer=distributed", *overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").iterdir())


def test_a_run_of_one_process_does_not_go_on_with_several(root: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "run", *line(root, "mf"), steps=5)
    with pytest.raises(CheckpointError, match="started without trainer=distributed"):
        made(folder, *line(root, "mf", "trainer=distributed"))


def test_going_on_tells_the_number_of_processes_and_shows_no_warning_of_torch(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = made(tmp_path / "run", *line(root, "mf", "trainer=distributed"), steps=5)
    caplog.set_level("INFO", logger="ncf.runs.distributed")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        made(folder, *line(root, "mf", "trainer=distributed"))
    assert not [each for each in shown if "ShardedTensor" in str(each.message)]
    assert "training on processes: 1 (trainer.sharding=auto)" in caplog.messages


def test_a_finished_run_of_one_process_is_not_extended_with_several(root: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "run", *line(root, "mf"))
    assert made(folder, *line(root, "mf", "trainer=distributed")) == folder  # it is finished
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="started without trainer=distributed"):
        made(folder, *line(root, "mf", "trainer=distributed", "trainer.epochs=4"))
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_run_of_several_processes_does_not_begin_anew_on_one(root: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "run", *line(root, "mf", "trainer=distributed"), steps=30)
    before = (folder / "metrics.jsonl").read_bytes()
    assert before
    with pytest.raises(CheckpointError, match="the run was started with trainer=distributed"):
        made(folder, *line(root, "mf"))
    assert (folder / "metrics.jsonl").read_bytes() == before
    made(folder, *line(root, "mf", "trainer=distributed"))
    with pytest.raises(CheckpointError, match="the run was started with trainer=distributed"):
        made(folder, *line(root, "mf", "trainer.epochs=4"))
    assert made(folder, *line(root, "mf")) == folder  # it is finished


def test_copied_tables_do_not_become_sharded_ones_nor_the_reverse(root: Path, tmp_path: Path) -> None:
    for before, now, expected in (("data", "row", "data"), ("row", "data", "auto, row or table")):
        overrides = line(root, "mf", "trainer=distributed")
        folder = made(tmp_path / before, *overrides, f"trainer.sharding={before}", steps=5)
        with pytest.raises(CheckpointError, match=f"trainer.sharding: expected {expected}, as the run was started"):
            made(folder, *overrides, f"trainer.sharding={now}")


class _Mischief:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("damage", ["state", "tensors", "code"])
def test_a_damaged_checkpoint_is_refused_in_one_line(
    damage: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = line(root, "mf", "trainer=distributed")
    folder = made(tmp_path / "run", *overrides, steps=5)
    place = folder / sharded_file.NEWEST
    if damage == "state":
        (place / sharded_file.STATE).write_text("{")
    elif damage == "tensors":
        next(place.glob("*.distcp")).write_bytes(b"")
    else:
        (place / ".metadata").write_bytes(pickle.dumps(_Mischief()))
    with pytest.raises(CheckpointError) as caught:
        made(folder, *overrides)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_two_processes_equal_one(root: Path, tmp_path: Path) -> None:
    overrides = line(root, "mf")
    plain = made(tmp_path / "plain", *overrides)
    folder = tmp_path / "two"
    told = finish(torchrun(2, [*overrides, "trainer=distributed", "trainer.sharding=row", f"hydra.run.dir='{folder}'"]))
    assert told.stdout.count("hit@10") == 1  # one table, of rank 0
    assert_alike(plain, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "name", "sharding"), [(4, "neumf", "row"), (3, "mf", "auto"), (2, "gmf", "table"), (4, "mlp", "data")]
)
def test_more_processes_equal_one(processes: int, name: str, sharding: str, root: Path, tmp_path: Path) -> None:
    overrides = line(root, name)
    plain = made(tmp_path / "plain", *overrides)
    folder = tmp_path / "several"
    own = ["trainer=distributed", f"trainer.sharding={sharding}", f"hydra.run.dir='{folder}'"]
    finish(torchrun(processes, [*overrides, *own]))
    assert_alike(plain, folder)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["row", "table"])
def test_more_processes_than_users_equal_one(sharding: str, root: Path, tmp_path: Path) -> None:
    """Most processes have no row of a table, no row of a batch, or both."""
    few = ("data.users=2", "data.items=30", "data.interactions=30", "trainer.batch_size=44", "evaluation.cutoffs=[10]")
    overrides = line(root, "mf", *few)
    plain = made(tmp_path / "plain", *overrides)
    folder = tmp_path / "several"
    own = ["trainer=distributed", f"trainer.sharding={sharding}", f"hydra.run.dir='{folder}'"]
    finish(torchrun(4, [*overrides, *own]))
    assert_alike(plain, folder)
