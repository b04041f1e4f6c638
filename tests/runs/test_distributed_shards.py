"""Runs on shards: to the byte those that read the whole data set, on one and two processes, in any number of shards."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from several import finish, line, require_torchrec, torchrun
from toys import compose

require_torchrec()

from ncf.data.__main__ import in_shards
from ncf.data.shards import MANIFEST, _digest
from ncf.errors import CheckpointError, DataError
from ncf.runs.artifacts import read_result
from ncf.train import train

SOME = ("trainer=distributed", "trainer.epochs=2", "trainer.sharding=row", "evaluation.memory_mb=1")
POPULAR = ("sampler=popularity", "loss=item_weighted_bce")


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """The group of the one process of these tests lasts as long as they do."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def made(folder: Path, *overrides: str) -> Path:
    """The folder of a run, made in this process."""
    folder.mkdir(exist_ok=True)
    train(compose(*overrides), folder)
    return folder


def sharded(root: Path, count: int, *overrides: str) -> Path:
    """The folder of shards for a run with these overrides; the data set itself is gone."""
    in_shards([o for o in line(root, "mf", *overrides) if o.startswith(("data", "split"))], count)
    (folder,) = (root / "processed").glob("*.shards")
    for file in (root / "processed").glob("*.npz"):
        file.unlink()
    return folder


def assert_equal(one: Path, other: Path) -> None:
    """Two runs equal to the bit: weights, ranks, metrics and id."""
    assert (one / "ranks.csv").read_bytes() == (other / "ranks.csv").read_bytes()
    results = [read_result(folder) for folder in (one, other)]
    assert results[0] is not None
    assert results[1] is not None
    for key in ("weights_sha256", "config_hash", "data_digest", "valid", "test", "tied_positives", "best_epoch"):
        assert results[0][key] == results[1][key], key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "more"),
    [(3, POPULAR), (1, ()), (2, ("split=ratio",)), (4, ("split=cold_items", "split.candidates=cold"))],
)
def test_one_process_reads_shards_and_ends_where_it_would_without(
    count: int, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "split=cold_items" in more:
        monkeypatch.setattr("ncf.runs.plan._refuse_cold_items", lambda plan: None)  # for its candidates alone
    overrides = line(tmp_path, "mf", *SOME, *more)
    whole = made(tmp_path / "whole", *overrides)
    sharded(tmp_path, count, *more)
    assert_equal(whole, made(tmp_path / "own", *overrides))
    assert not list((tmp_path / "processed").glob("*.npz"))  # the data set was not drawn again


@pytest.mark.slow
def test_a_run_goes_on_with_or_without_shards_but_not_on_those_of_other_data(tmp_path: Path) -> None:
    overrides = line(tmp_path, "mf", *SOME, "trainer.checkpoint_every=1epoch")
    whole = made(tmp_path / "whole", *overrides)
    part = tmp_path / "part"
    part.mkdir()
    left = iter(range(30))
    assert train(compose(*overrides), part, lambda: next(left, None) is None) is None
    folder = sharded(tmp_path, 2)
    manifest = (folder / MANIFEST).read_text()
    content = {key: value for key, value in json.loads(manifest).items() if key != "sha256"} | {"digest": "0" * 64}
    (folder / MANIFEST).write_text(json.dumps({**content, "sha256": _digest(content)}))
    with pytest.raises(CheckpointError, match="cannot resume with other data"):
        made(part, *overrides)
    (folder / MANIFEST).write_text(manifest)
    assert_equal(whole, made(part, *overrides))


def test_damaged_shards_are_refused_in_one_line_before_the_folder_is_touched(tmp_path: Path) -> None:
    overrides = line(tmp_path, "mf", *SOME)
    folder = sharded(tmp_path, 2)
    (folder / "shard-0001/train.items.npy").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        made(tmp_path / "run", *overrides)
    assert "train.items.npy: expected the size and the SHA-256 of the manifest" in str(caught.value)
    assert "make them anew by python -m ncf.data shards=2 " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").iterdir())


def test_a_user_of_everything_is_named_from_shards_too(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    rows = [(user, item) for user in ("ann", "bob", "eve") for item in range(4 if user == "eve" else 3)]
    file.write_text("user_id,item_id,rating,timestamp\n" + "".join(f"{u},{i},5,{i}\n" for u, i in rows))
    own = ["data=csv", f"data.archive={file}", f"data.root={tmp_path}"]
    in_shards(own, 3)
    few = [*own, *SOME, "model=mf", "evaluation.cutoffs=[1]", "trainer.monitor=ndcg@1", "device=cpu"]
    with pytest.raises(DataError, match="all: user eve has all 4 items as positives, leaving no negative"):
        made(tmp_path / "run", *few)
    assert not list((tmp_path / "run").iterdir())


MANY = (*SOME, *POPULAR, "data.users=400", "data.items=4000", "data.interactions=6000", "trainer.epochs=2")  # chunks


def on_two(tmp_path: Path, name: str) -> Path:
    """The folder of a run on two processes."""
    folder = tmp_path / name
    finish(torchrun(2, line(tmp_path, "mf", *MANY, f"hydra.run.dir='{folder}'")))
    return folder


@pytest.mark.slow
def test_two_processes_on_two_shards_rank_as_one_on_the_whole_data(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", *line(tmp_path, "mf", *MANY))
    sharded(tmp_path, 2, *MANY)
    own = on_two(tmp_path, "own")
    assert (whole / "ranks.csv").read_bytes() == (own / "ranks.csv").read_bytes()
    assert (own / "train.log").read_text().count("reading the shards in ") == 1
    assert not list((tmp_path / "processed").glob("*.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_two_processes_end_on_any_number_of_shards_where_two_end_without(count: int, tmp_path: Path) -> None:
    whole = on_two(tmp_path, "whole")
    sharded(tmp_path, count, *MANY)
    assert_equal(whole, on_two(tmp_path, "own"))
    assert not list((tmp_path / "processed").glob("*.npz"))
