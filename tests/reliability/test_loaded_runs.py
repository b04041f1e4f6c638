"""A finished run answers with the weights of its result or not at all, and looking at it changes nothing."""

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finished_runs import FinishedRuns
from toys import compose, small

import ncf
from ncf import export, recommend
from ncf.errors import CheckpointError, NcfError, TrainingError
from ncf.runs import artifacts, checkpoint, pretraining
from ncf.runs.checkpoint import NEWEST, PREVIOUS
from ncf.train import train


@pytest.fixture
def run(runs: FinishedRuns, tmp_path: Path) -> Path:
    """A copy of a finished run, for each test to spoil."""
    return shutil.copytree(runs["gmf"], tmp_path / "run")


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def earlier(folder: Path) -> None:
    """Make the previous checkpoint one of an earlier epoch, with other best weights."""
    saved = checkpoint.read(folder / NEWEST)
    state = saved.state()
    state["best"] = {name: weight + 1 for name, weight in saved.best.items()}
    state["progress"] = state["progress"] | {"best_epoch": 1, "history": saved.progress.history[:1]}
    newest = (folder / NEWEST).read_bytes()
    checkpoint.save(folder, state)
    (folder / NEWEST).replace(folder / PREVIOUS)
    (folder / NEWEST).write_bytes(newest)


ASKS: dict[str, Callable[[Path, Path], Any]] = {
    "load": lambda run, out: ncf.load(run),
    "recommend": lambda run, out: recommend.main([f"run={run}", "user=1"]),
    "export": lambda run, out: export.main([f"run={run}", f"output={out}"]),
    "pretraining": lambda run, out: pretraining.weights("gmf", run),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("recorded", [True, False], ids=["by its weights", "by its epochs"])
def test_a_damaged_checkpoint_is_not_replaced_by_that_of_another_epoch(
    ask: str, recorded: bool, run: Path, tmp_path: Path
) -> None:
    earlier(run)
    if not recorded:  # as by earlier versions
        result = json.loads((run / artifacts.RESULT).read_text())
        del result["weights_sha256"]
        (run / artifacts.RESULT).write_text(json.dumps(result))
    ASKS[ask](run, tmp_path / "out")
    flip(run / NEWEST)
    before = contents(run)
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"with the weights of result\.json .*damaged.*another epoch"
        ) as caught:
            ASKS[ask](run, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert contents(run) == before


def test_the_previous_one_answers_if_it_holds_the_same_best_weights(run: Path) -> None:
    shutil.copy(run / NEWEST, run / PREVIOUS)
    expected, before = ncf.load(run).score([1, 2]), None
    flip(run / NEWEST)
    before = contents(run)
    np.testing.assert_array_equal(ncf.load(run).score([1, 2]), expected)
    assert contents(run) == before


def test_a_newer_epoch_than_the_result_s_is_refused_too(run: Path) -> None:
    earlier(run)
    (run / PREVIOUS).replace(run / NEWEST)
    with pytest.raises(CheckpointError, match="another epoch"):
        ncf.load(run)


@pytest.mark.parametrize("name", ["neumf", "gmf", "mlp", "mf", "ease", "ials", "puresvd", "popularity", "item_knn"])
def test_every_kind_of_run_records_the_weights_that_it_saved(name: str, runs: FinishedRuns) -> None:
    result = artifacts.read_result(runs[name])
    assert result is not None
    assert result["weights_sha256"] == checkpoint.digest(checkpoint.read(runs[name] / NEWEST).best)


@pytest.mark.parametrize("other", ["optimizer=row_adam", "trainer.fast=false"])
def test_so_do_the_other_ways_of_training(other: str, root: Path, tmp_path: Path) -> None:
    result = train(compose(*small(root, other)), tmp_path)
    assert result is not None
    assert result["weights_sha256"] == checkpoint.digest(checkpoint.read(tmp_path / NEWEST).best)


def test_a_run_that_goes_on_sets_the_damaged_one_aside_but_a_refused_one_does_not(root: Path, tmp_path: Path) -> None:
    asked = [0]

    def stopped() -> bool:
        asked[0] += 1
        return asked[0] > 50

    often = "trainer.checkpoint_every=1epoch"
    assert train(compose(*small(root, often)), tmp_path, stopped) is None
    flip(tmp_path / NEWEST)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="other settings"):
        train(compose(*small(root, often, "seed=5")), tmp_path)
    assert contents(tmp_path) == before
    assert train(compose(*small(root, often)), tmp_path) is not None
    assert (tmp_path / checkpoint.DAMAGED).read_bytes() == before[NEWEST][0]


MEMORY = [
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["torch.load", "ncf.runs.checkpoint.digest", "ncf.runs.torch_file.check"])
def test_no_memory_is_not_damage(place: str, error: Exception, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **keys: object) -> None:
        raise error

    before = contents(run)
    monkeypatch.setattr(place, fail)
    for read in (checkpoint.load, ncf.load):
        with pytest.raises(TrainingError, match=r"checkpoint\.pt: not read, because there is no memory left") as caught:
            read(run)
        assert "delete" not in str(caught.value)
    assert contents(run) == before


@pytest.mark.slow
def test_the_kernel_s_real_lack_of_memory_is_not_damage(run: Path) -> None:
    saved = checkpoint.read(run / NEWEST).state()
    checkpoint.save(run, saved | {"best": {"weight": torch.zeros(100_000_000)}})
    told, heard = os.pipe()
    if (child := os.fork()) == 0:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            size = pages * resource.getpagesize() + (64 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
            checkpoint.load(run)
        except BaseException as error:
            os.write(heard, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(heard)
    os.waitpid(child, 0)
    with os.fdopen(told) as said:
        assert "TrainingError: " in (text := said.read())
        assert "no memory left" in text


def test_one_that_may_not_be_opened_is_not_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier(run)
    original = os.open

    def refusing(path: Any, *args: Any, **keys: Any) -> int:
        if Path(path).name == NEWEST:
            raise PermissionError(13, "Permission denied")
        return original(path, *args, **keys)

    monkeypatch.setattr(os, "open", refusing)
    for read in (checkpoint.load, ncf.load):
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt: cannot be opened \(Permission denied\)$"):
            read(run)


def test_the_format_of_a_newer_version_is_not_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier(run)
    content = torch.load(run / NEWEST, weights_only=True)
    torch.save(content | {"format": 2, "sha256": "of another kind"}, run / NEWEST)
    before = contents(run)
    for read in (checkpoint.load, ncf.load):
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt: expected checkpoint format 1, found 2$"):
            read(run)
    assert contents(run) == before


def spoilt(run: Path, value: float, change: Callable[[torch.Tensor], Any]) -> None:
    """Save best weights with `value` in them, as of the result."""
    saved = checkpoint.read(run / NEWEST)
    best = {name: weight.clone() for name, weight in saved.best.items()}
    for weight in best.values():
        change(weight).fill_(value)
    checkpoint.save(run, saved.state() | {"best": best})
    result = json.loads((run / artifacts.RESULT).read_text())
    (run / artifacts.RESULT).write_text(json.dumps(result | {"weights_sha256": checkpoint.digest(best)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_give_no_answer_but_one_line(value: float, run: Path, tmp_path: Path) -> None:
    spoilt(run, value, lambda weight: weight)
    loaded, line = ncf.load(run), r"expected finite scores, got (nan|inf|-inf) for user 1"
    for ask in (loaded.score, lambda ids: loaded.recommend(ids, 3)):
        with pytest.raises(CheckpointError, match=line):
            ask([1])
    with pytest.raises(CheckpointError, match="expected finite item vectors, got NaN or inf for item "):
        loaded.items_like(loaded.split.item_ids[0], 3)
    with pytest.raises(CheckpointError, match=line):
        recommend.main([f"run={run}", "user=1"])
    for form in ("npy", "model"):
        with pytest.raises(NcfError, match="expected finite"):
            export.main([f"run={run}", f"output={tmp_path / 'out'}", f"forms={form}"])
    assert not list((tmp_path / "out").glob("*"))


def test_the_one_user_whose_weights_are_nan_is_named(run: Path) -> None:
    spoilt(run, float("nan"), lambda weight: weight[7:8] if len(weight) == 60 else weight[:0])
    loaded = ncf.load(run)
    assert len(loaded.recommend([6], 3)) == 3
    with pytest.raises(CheckpointError, match=r"got nan for user 7; NaN or inf in the weights 'tower\.users\.weight'"):
        loaded.recommend([6, 7], 3)


@pytest.mark.parametrize(
    "config",
    [{}, {"data": 1}, {"data": {}, "split": {}, "model": {}}, {"data": {}, "split": {}, "model": {}, "seed": 1}],
)
def test_a_result_without_settings_is_one_line(config: dict[str, Any], run: Path) -> None:
    result = json.loads((run / artifacts.RESULT).read_text())
    (run / artifacts.RESULT).write_text(json.dumps(result | {"config": config}))
    with pytest.raises(NcfError) as caught:
        ncf.load(run)
    assert "\n" not in str(caught.value)


def test_lists_of_different_length_agree(runs: FinishedRuns) -> None:
    loaded = ncf.load(runs["popularity"])
    users = loaded.split.user_ids.tolist()
    lists = {k: loaded.recommend(users, k) for k in (3, 9, 10, 80)}
    for k in (3, 9, 10):
        longer = lists[80][lists[80]["rank"] <= k].reset_index(drop=True)
        assert longer["item_id"].tolist() == lists[k]["item_id"].tolist()
