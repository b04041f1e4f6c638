"""Checkpoints: nothing is lost on the way to disk and back, and nothing damaged comes back."""

import logging
from pathlib import Path

import pytest
import torch
from toys import same

from ncf.errors import CheckpointError
from ncf.runs import checkpoint
from ncf.runs.checkpoint import DAMAGED, NEWEST, PREVIOUS, digest

STATE = {
    "settings": {"a": 1, "b": [1, 2.5, None, "x"], "c": {"d": True}},
    "model": {"weight": torch.randn(300, 40), "none": torch.zeros(0, 5)},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0)}},
        "param_groups": [{"betas": (0.9, 0.999), "foreach": None}],
    },
    "best_value": float("-inf"),
    "kinds": [torch.zeros((), dtype=torch.float64), torch.ones(2, dtype=torch.bfloat16), torch.tensor([True])],
}


def state(epoch: int) -> dict:
    return {**STATE, "epoch": epoch}


def epochs(folder: Path) -> dict[str, int]:
    return {path.name: checkpoint.read(path)["epoch"] for path in folder.glob("*.pt")}


def flip(path: Path, position: float) -> None:
    """Flip one bit at this fraction of the file; most of it is the weight."""
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, STATE)
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None
    assert same({key: loaded[key] for key in STATE}, STATE)
    assert loaded.keys() == STATE.keys() | {"format"}


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
    assert checkpoint.load(tmp_path)["epoch"] == 1


def test_a_damaged_newest_one_is_set_aside_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for epoch in (1, 2):
        checkpoint.save(tmp_path, state(epoch))
    flip(tmp_path / NEWEST, 0.5)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(tmp_path)["epoch"] == 1
    assert f"{NEWEST}: " in caplog.text
    assert "going on from it instead" in caplog.text
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
