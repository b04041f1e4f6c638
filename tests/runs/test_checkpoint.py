"""Checkpoints: nothing is lost on the way to disk and back, and nothing damaged comes back."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import same

from ncf.errors import CheckpointError
from ncf.runs import checkpoint
from ncf.runs.checkpoint import DAMAGED, NEWEST, PREVIOUS, digest
from ncf.training.trainer import Progress

HISTORY = [
    {"epoch": 1, "train_loss": 0.5, "ndcg@10": 0.25, "valid_seconds": 1.0},
    {"epoch": 2, "train_loss": 1, "ndcg@10": 0.125, "valid_seconds": 1.0},
]

PROGRESS = {
    "epoch": 3, "step": 4, "best_epoch": 1, "best_value": float("-inf"), "seconds": 0.5, "history": HISTORY,
}  # fmt: skip

STATE: dict[str, Any] = {
    "settings": {"a": 1, "b": [1, 2.5, None, "x"], "c": {"d": True}},
    "data_digest": "d" * 64,
    "progress": PROGRESS,
    "best": {"half": torch.ones(2, dtype=torch.bfloat16), "flags": torch.tensor([True])},
    "model": {"weight": torch.randn(300, 40), "none": torch.zeros(0, 5)},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0)}},
        "param_groups": [{"betas": (0.9, 0.999), "foreach": None}],
    },
    "loss_sum": torch.zeros((), dtype=torch.float64),
    "sound": torch.tensor(4.0),
    "clipped": torch.tensor(2.0),
    "dynamics": None,
    "task_sums": {"ranking": torch.ones((), dtype=torch.float64)},
}


def state(epoch: int) -> dict[str, Any]:
    return {**STATE, "progress": PROGRESS | {"epoch": epoch}}


def epoch_of(folder: Path) -> int:
    loaded = checkpoint.load(folder)
    assert loaded is not None
    return loaded.progress.epoch


def epochs(folder: Path) -> dict[str, int]:
    return {path.name: checkpoint.read(path).progress.epoch for path in folder.glob("*.pt")}


def flip(path: Path, position: float) -> None:
    """Flip one bit at this fraction of the file; most of it is the weight."""
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, STATE)
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert same(loaded.state(), STATE)
    assert loaded.progress == Progress(**PROGRESS)  # type: ignore[arg-type]


def test_whole_numbers_of_the_history_stay_whole(tmp_path: Path) -> None:
    """They are lines of `metrics.jsonl` again: "epoch": 1, not 1.0."""
    checkpoint.save(tmp_path, STATE)
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert json.dumps(loaded.progress.history) == json.dumps(HISTORY)
    assert json.dumps(loaded.state()["progress"]["history"]) == json.dumps(HISTORY)


FITTED = {key: STATE[key] for key in ("settings", "data_digest", "progress", "best")}


def test_a_model_without_gradient_has_no_more_than_settings_progress_and_best(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, FITTED)
    loaded = checkpoint.read(tmp_path / NEWEST)
    assert same(loaded.best, STATE["best"])
    assert (loaded.model, loaded.optimizer, loaded.loss_sum, loaded.sound) == (None, None, None, None)


def test_the_digest_of_the_data_may_be_missing_as_in_the_first_versions(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {key: value for key, value in STATE.items() if key != "data_digest"})
    assert checkpoint.read(tmp_path / NEWEST).data_digest is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a key too many": ({"evil": 1}, "evil"),
    "a key that is no text": ({3: 1}, "3"),
    "no settings": ({"settings": None}, "settings"),
    "settings of another kind": ({"settings": [1]}, "settings"),
    "a digest of another kind": ({"data_digest": 3}, "data_digest"),
    "no progress": ({"progress": None}, "progress"),
    "progress without a key": ({"progress": {"epoch": 1}}, "progress.step"),
    "progress with a key too many": ({"progress": PROGRESS | {"evil": 1}}, "progress.evil"),
    "an epoch that is no number": ({"progress": PROGRESS | {"epoch": "two"}}, "progress.epoch"),
    "an epoch in quotes": ({"progress": PROGRESS | {"epoch": "2"}}, "progress.epoch"),
    "half an epoch": ({"progress": PROGRESS | {"epoch": 2.5}}, "progress.epoch"),
    "other history": ({"progress": PROGRESS | {"history": [{"epoch": "x"}]}}, "progress.history.0.epoch"),
    "best weights of another kind": ({"best": {"x": 3}}, "best.x"),
    "weights of another kind": ({"model": 3}, "model"),
    "an optimizer of another kind": ({"optimizer": [1]}, "optimizer"),
    "a sum that is no tensor": ({"loss_sum": 1.0}, "loss_sum"),
    "dynamics of another kind": ({"dynamics": 1}, "dynamics"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_sound_file_that_is_no_record_of_a_run_is_one_error_that_names_the_key(kind: str, tmp_path: Path) -> None:
    """As a stranger may sign it, or another version of the code have left it."""
    change, key = WRONG[kind]
    checkpoint.save(tmp_path, STATE | change)
    found = rf"{NEWEST}: expected the state of a run, but '{key}' is invalid"
    for read in (lambda: checkpoint.load(tmp_path), lambda: checkpoint.read(tmp_path / NEWEST)):
        with pytest.raises(CheckpointError, match=found) as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["settings", "progress", "best"])
def test_a_record_without_a_key_is_one_error_that_names_it(key: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {name: value for name, value in STATE.items() if name != key})
    found = rf"expected the state of a run, but '{key}' is invalid \(Field required\)"
    with pytest.raises(CheckpointError, match=found):
        checkpoint.read(tmp_path / NEWEST)


FAILURES = [KeyError("weight"), RuntimeError("size\nmismatch"), TypeError("x"), AttributeError("x"), IndexError("x")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_an_error_while_restoring_is_one_of_the_checkpoint(error: Exception) -> None:
    found = r"checkpoint\.pt: its state does not fit this run"
    with pytest.raises(CheckpointError, match=found) as caught, checkpoint.understood(Path("run")):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [CheckpointError("as it is"), torch.OutOfMemoryError("none"), ZeroDivisionError()])
def test_errors_that_say_enough_are_left_alone(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, checkpoint.understood(Path("run")):
        raise error
    assert caught.value is error


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        checkpoint.save(tmp_path, state(epoch))
    assert epochs(tmp_path) == {NEWEST: 4, PREVIOUS: 3}


def test_the_previous_one_is_used_where_the_newest_is_missing(tmp_path: Path) -> None:
    """A writer killed between its two renames leaves this."""
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch))
    (tmp_path / NEWEST).unlink()
    assert epoch_of(tmp_path) == 1


def test_a_damaged_newest_one_is_set_aside_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch))
    flip(tmp_path / NEWEST, 0.5)
    with caplog.at_level(logging.WARNING):
        loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert loaded.progress.epoch == 1
    checkpoint.set_damaged_aside(tmp_path, loaded)
    assert f"{NEWEST}: " in caplog.text
    assert "using this checkpoint instead" in caplog.text
    checkpoint.save(tmp_path, state(3))
    (tmp_path / DAMAGED).unlink()
    assert epochs(tmp_path) == {NEWEST: 3, PREVIOUS: 1}


def test_two_damaged_ones_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch))
    (tmp_path / NEWEST).write_bytes(b"")
    flip(tmp_path / PREVIOUS, 0.4)
    with pytest.raises(CheckpointError, match=rf"{NEWEST}: .*; .*{PREVIOUS}: .*delete the checkpoints"):
        checkpoint.load(tmp_path)


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.save(tmp_path, STATE)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="expected checkpoint format 1, found 99"):
        checkpoint.read(tmp_path / NEWEST)


def test_content_that_is_not_what_was_signed_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 1, "weight": torch.ones(3), "sha256": digest({"format": 1, "weight": torch.zeros(3)})},
               tmp_path / NEWEST)  # fmt: skip
    with pytest.raises(CheckpointError, match="does not match its SHA-256"):
        checkpoint.read(tmp_path / NEWEST)


@pytest.mark.parametrize("content", [[1, 2], {"no": "digest"}, torch.zeros(3), None])
def test_a_torch_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt: not a checkpoint, or damaged"):
        checkpoint.read(tmp_path / "other.pt")


def test_a_missing_file_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.read(tmp_path / "gone.pt")


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0], [3.0]])},
        {"a": torch.tensor([1.0, 3.0], dtype=torch.float64)},
        {"b": torch.tensor([1.0, 3.0])},
        {"a": [1.0, 3.0]},
        {"a": torch.tensor([1.0, 3.0]), "b": None},
        {},
    ],
)
def test_the_digest_tells_contents_apart(other: dict) -> None:
    assert digest(other) != digest({"a": torch.tensor([1.0, 3.0])})


def test_the_digest_sees_kinds_and_nesting() -> None:
    values = [
        1,
        1.0,
        True,
        "1",
        None,
        [1],
        [[1]],
        {1: 1},
        {"1": 1},
        float("nan"),
        -0.0,
        0.0,
        [],
        {},
        "",
        [1, [2]],
        [[1], 2],
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest((1, 2)) == digest([1, 2])


def test_the_digest_does_not_depend_on_how_a_tensor_lies_in_memory() -> None:
    tensor = torch.randn(4, 5)
    assert digest(tensor) == digest(tensor.T.contiguous().T) == digest(torch.cat([tensor, tensor])[:4])
