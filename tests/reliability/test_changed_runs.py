"""Fault 7: a run goes on only as what it is; how long to train, and where things lie, may change."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import compose, small

from ncf.errors import CheckpointError
from ncf.runs import artifacts, checkpoint
from ncf.train import train

SIZES = "model.gmf_factors=8", "model.mlp_factors=8", "model.hidden=[16,8]"


@pytest.fixture(scope="module")
def half(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after its second epoch."""
    folder = tmp_path_factory.mktemp("half")
    done = train(compose(*small(root)), folder, lambda: len(checkpoint_history(folder)) >= 2)
    assert done is None
    return folder


def checkpoint_history(folder: Path) -> list[str]:
    path = folder / artifacts.EPOCHS
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def run(half: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for each test to spoil."""
    return shutil.copytree(half, tmp_path / "run")


def saved_state(folder: Path) -> dict[str, Any]:
    saved = checkpoint.load(folder)
    assert saved is not None
    return saved.state()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


CHANGES = {
    "another model": (["model=mlp", "model.factors=8"], ["model.name", "model.factors", "model.gmf_factors"]),
    "another size": (["model.hidden=[16,4]"], ["model.hidden"]),
    "another loss": (["loss=focal"], ["loss.name", "loss.gamma", "loss.alpha"]),
    "another seed": (["seed=43"], ["seed"]),
    "another ratio": (["neg_ratio=5"], ["neg_ratio"]),
    "another batch size": (["trainer.batch_size=330"], ["trainer.batch_size"]),
    "another learning rate": (["optimizer.lr=0.1"], ["optimizer.lr"]),
    "other data": (["data.seed=1"], ["data.seed"]),
    "another split": (["split.ties=item_id"], ["split.ties"]),
    "another sampler": (["sampler=popularity"], ["sampler.name", "sampler.power"]),
    "another protocol": (["evaluation.cutoffs=[10]"], ["evaluation.cutoffs"]),
    "another rule for ties": (["evaluation.ties=optimistic"], ["evaluation.ties"]),
    "another criterion": (["trainer.monitor=mrr"], ["trainer.monitor"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_going_on_as_something_else_is_refused_with_the_keys_that_differ(name: str, run: Path, root: Path) -> None:
    overrides, keys = CHANGES[name]
    base = [o for o in small(root) if not o.startswith("model.") or "model=mlp" not in overrides]
    before = snapshot(run)
    with pytest.raises(CheckpointError) as caught:
        train(compose(*base, *overrides), run)
    for key in keys:
        assert f"{key}: " in str(caught.value)
    assert "->" in str(caught.value)
    assert "trainer.epochs" not in str(caught.value)
    assert snapshot(run) == before


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.epochs=5"],
        ["trainer.patience=7"],
        ["trainer.checkpoint_every=1epoch", "trainer.progress=true"],
        ["trainer.cuda_graph=false", "evaluation.memory_mb=1"],
        ["trainer.epochs=4", "trainer.patience=2"],
    ],
    ids=" ".join,
)
def test_how_long_to_train_and_what_is_shown_may_change(overrides: list[str], run: Path, root: Path) -> None:
    before = (run / artifacts.EPOCHS).read_text()
    result = train(compose(*small(root, *overrides)), run)
    assert result is not None
    assert result["epochs"] > 2
    assert (run / artifacts.EPOCHS).read_text().startswith(before)


@pytest.mark.parametrize("less", ["trainer.epochs=1", "trainer.patience=1"])
def test_less_than_is_done_already_is_another_run(less: str, run: Path, root: Path) -> None:
    """Its result would say that it stopped where it did not."""
    state = saved_state(run)
    history = state["progress"]["history"]
    history[1]["ndcg@10"] = 0.0
    changed = {"epoch": 4, "best_epoch": 1, "history": [*history, history[1]]}
    checkpoint.save(run, state | {"progress": state["progress"] | changed})
    before = snapshot(run)
    ended = {"trainer.epochs=1": 1, "trainer.patience=1": 2}[less]
    with pytest.raises(
        CheckpointError, match=f"3 epochs are done, but with .*{less}.* have ended after {ended}; start it"
    ):
        train(compose(*small(root, less)), run)
    assert snapshot(run) == before


RECORD = "expected the state of a run, but '{}' is invalid"
RESTORED = "its state does not fit this run"
FOREIGN: dict[str, tuple[dict, str]] = {
    "no settings": ({"settings": None}, RECORD.format("settings")),
    "other progress": ({"progress": {"evil": 1}}, RECORD.format("progress.epoch")),
    "weights of another kind": ({"model": 3}, RECORD.format("model")),
    "best weights of another kind": ({"best": {"x": 3}}, RECORD.format("best.x")),
    "a key too many": ({"evil": 1}, RECORD.format("evil")),
    "no weights": ({"model": {}}, RESTORED),
    "weights of another shape": ({"model": {"output.weight": torch.zeros(3)}}, RESTORED),
    "no optimiser": ({"optimizer": {}}, RESTORED),
    "no sum": ({"loss_sum": None}, RESTORED),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_sound_checkpoint_that_holds_no_run_is_one_error(kind: str, run: Path, root: Path) -> None:
    """As a stranger may sign it, or another version of the code have left it."""
    change, found = FOREIGN[kind]
    checkpoint.save(run, saved_state(run) | change)
    with pytest.raises(CheckpointError, match=rf"checkpoint\.pt: {re.escape(found)}") as caught:
        train(compose(*small(root)), run)
    assert "\n" not in str(caught.value)


def test_the_data_may_move_but_not_change(tmp_path: Path, root: Path) -> None:
    """The file at the same path has other ratings: nothing in the configuration says so, the split's digest does."""
    rows = [f"{user},{item},5,{user * 7 + item * 3}" for user in range(30) for item in range(user % 5, 40, 2)]
    file = tmp_path / "in.csv"
    settings = [o for o in small(tmp_path / "root") if not o.startswith(("data=", "data.users", "data.it", "data.in"))]
    cfg = compose("data=csv", f"data.archive='{file}'", "data.sha256=null", *settings)
    folder = tmp_path / "run"
    folder.mkdir()
    write(file, rows)
    assert train(cfg, folder, lambda: len(checkpoint_history(folder)) >= 1) is None
    write(file, rows[:-1])
    with pytest.raises(CheckpointError, match=r"cannot resume with other data than it was started with"):
        train(cfg, folder)
    write(file, rows)
    assert train(cfg, folder) is not None


def write(file: Path, rows: list[str]) -> None:
    file.write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")


def test_a_finished_run_is_not_overwritten_by_another_one(run: Path, root: Path) -> None:
    """Not even where only its result is left."""
    assert train(compose(*small(root)), run) is not None
    for name in (checkpoint.NEWEST, checkpoint.PREVIOUS):
        (run / name).unlink(missing_ok=True)
    before = snapshot(run)
    with pytest.raises(CheckpointError, match=r"seed: 42 -> 43"):
        train(compose(*small(root, "seed=43")), run)
    assert snapshot(run) == before


def test_a_result_of_another_version_is_refused_with_both(run: Path, root: Path) -> None:
    """Fault 19; what counts as compatible is the format, which is raised when a field changes its meaning."""
    text = '{"format": 2, "versions": {"ncf": "9.1.0"}, "test": {"ndcg@10": 0.99}}'
    (run / artifacts.RESULT).write_text(text)
    with pytest.raises(ValueError, match=r"expected result format 1 \(ncf [\d.]+\), found 2 \(ncf 9\.1\.0\)"):
        train(compose(*small(root)), run)
    assert (run / artifacts.RESULT).read_text() == text


def test_a_result_of_another_release_with_the_same_format_is_read(run: Path, root: Path) -> None:
    result = train(compose(*small(root)), run)
    assert result is not None
    artifacts.write_result(run, result | {"versions": {"ncf": "0.0.1"}, "a field to come": 1})
    again = train(compose(*small(root)), run)
    assert again is not None
    assert again["test"] == result["test"]
