"""Checkpoints of several processes: what is written comes back, the newest whole one is found, and no code runs."""

# ruff: noqa: E402  which first sees whether torchrec is there
import json
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec

require_torchrec()

from ncf.errors import CheckpointError
from ncf.models import MODELS
from ncf.runs import sharded_file
from ncf.training.distributed import Group, ShardedModel, build


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """This process alone."""
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


@pytest.fixture
def model(group: Group) -> ShardedModel:
    make = partial(MODELS["mf"], factors=3)
    return build(make, 5, 7, torch.Generator().manual_seed(1), "row", group)


def spread(model: ShardedModel) -> dict[str, Any]:
    """The tensors of a checkpoint of the model, which loading fills in place."""
    assert model.tables is not None
    tensors: dict[str, Any] = dict(model.inner.state_dict())
    for name, shard in model.tables.shards.items():
        width = model.tables.shapes[name].width
        tensors[name] = sharded_file.spread(model, name, shard.weight, torch.float32, width)
    return tensors


def test_what_is_saved_is_read(model: ShardedModel, group: Group, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert sum(name.startswith("table.") for name in before) == 4
    sharded_file.save(tmp_path, spread(model), {"progress": {"step": 3}}, group)
    for tensor in model.state_dict().values():
        tensor.fill_(9.0)
    place = sharded_file.newest(tmp_path)
    assert place == tmp_path / sharded_file.NEWEST
    sharded_file.read_tensors(place, spread(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert sharded_file.read_state(place) == {"format": 1, "processes": 1, "progress": {"step": 3}}


def test_the_previous_checkpoint_stands_in_for_one_that_is_not_whole(
    model: ShardedModel, group: Group, tmp_path: Path
) -> None:
    assert sharded_file.newest(tmp_path) is None
    for step in (1, 2, 3):
        sharded_file.save(tmp_path, spread(model), {"step": step}, group)
    newest = tmp_path / sharded_file.NEWEST
    assert sharded_file.read_state(newest)["step"] == 3
    (newest / sharded_file.STATE).unlink()
    assert sharded_file.newest(tmp_path) == tmp_path / sharded_file.PREVIOUS
    assert sharded_file.read_state(tmp_path / sharded_file.PREVIOUS)["step"] == 2
    assert not (tmp_path / sharded_file.NEW).exists()


@pytest.mark.parametrize("torn", [False, True])
def test_one_whole_checkpoint_outlives_two_kills(
    torn: bool, model: ShardedModel, group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharded_file.save(tmp_path, spread(model), {"step": 1}, group)
    newest, previous = tmp_path / sharded_file.NEWEST, tmp_path / sharded_file.PREVIOUS
    newest.rename(previous)  # killed before the new one took its place
    if torn:
        newest.mkdir()
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.name == sharded_file.NEW:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        sharded_file.save(tmp_path, spread(model), {"step": 2}, group)
    monkeypatch.undo()
    assert sharded_file.newest(tmp_path) == previous
    assert sharded_file.read_state(previous)["step"] == 1
    sharded_file.save(tmp_path, spread(model), {"step": 3}, group)
    assert sharded_file.newest(tmp_path) == newest


class _Mischief:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_description_that_would_execute_code_is_refused(model: ShardedModel, group: Group, tmp_path: Path) -> None:
    sharded_file.save(tmp_path, spread(model), {}, group)
    place, executed = tmp_path / sharded_file.NEWEST, tmp_path / "executed"
    (place / ".metadata").write_bytes(pickle.dumps(_Mischief(executed)))
    with pytest.raises(CheckpointError, match="has no place in a checkpoint") as caught:
        sharded_file.read_tensors(place, spread(model))
    assert "\n" not in str(caught.value)
    assert not executed.exists()
    pickle.loads((place / ".metadata").read_bytes())  # which by itself does execute it
    assert executed.exists()


@pytest.mark.parametrize("text", ["{", "[1]", json.dumps({"format": 2}), "[" * 10**5])
def test_a_state_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / sharded_file.STATE).write_text(text)
    with pytest.raises(CheckpointError, match=sharded_file.STATE):
        sharded_file.read_state(tmp_path)
