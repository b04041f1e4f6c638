"""Run folders of the versions before roles and typed checkpoints: they load, go on, and stand beside new runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import compose

import ncf
from ncf import beyond
from ncf.report import side_by_side
from ncf.runs import artifacts, checkpoint, loading
from ncf.runs.identity import config_hash
from ncf.runs.tables import read_runs, read_users
from ncf.train import train

# As result.json and checkpoint.pt of version 0.1.0 (commit efb218f) have them: without `trainer.fast` and
# `evaluation.metrics`, which came later.
OLD_SETTINGS: dict[str, Any] = {
    "data": {
        "name": "synthetic", "root": "data", "seed": 0, "users": 20, "items": 15, "interactions": 120, "factors": 8,
        "taste": 1.0, "popularity_skew": 1.0, "activity_skew": 0.7,
    },
    "split": {"name": "leave_one_out", "ties": "file"},
    "sampler": {"name": "uniform"},
    "model": {"name": "gmf", "factors": 2},
    "loss": {"name": "bce"},
    "optimizer": {"name": "adam", "lr": 0.001, "weight_decay": 0.0},
    "trainer": {
        "epochs": 3, "batch_size": 110, "patience": 10, "monitor": "ndcg@10", "checkpoint_every": "60s", "threads": 1,
        "compile": False, "cuda_graph": "auto", "precision": "float32", "progress": False,
    },
    "evaluation": {"name": "full", "cutoffs": [5, 10], "ties": "average", "memory_mb": 64},
    "tracking": {"name": "none"},
    "seed": 42,
    "neg_ratio": 10,
    "device": "cpu",
    "deterministic": False,
    "dynamics": False,
    "registration": None,
    "resume": None,
}  # fmt: skip
OLD_HASH = "974fb2ecde5d4b8c745ac0d62226db9b933b6a32c12f3c541e118c1c37cdcf8c"
OVERRIDES = (
    "data=synthetic", "data.users=20", "data.items=15", "data.interactions=120", "evaluation.cutoffs=[5,10]",
    "trainer.epochs=3", "trainer.batch_size=110", "trainer.progress=false", "device=cpu", "model=gmf",
    "model.factors=2",
)  # fmt: skip


def settings(root: Path) -> dict[str, Any]:
    return {**OLD_SETTINGS, "data": OLD_SETTINGS["data"] | {"root": str(root)}}


def made_old(folder: Path, root: Path) -> None:
    """Give `result.json` and `checkpoint.pt` in `folder` the content that they had then."""
    saved = checkpoint.load(folder)
    assert saved is not None
    content = {
        "format": 1,
        **{key: value for key, value in saved.state().items() if value is not None or key == "dynamics"},
        "settings": settings(root),
    }
    torch.save({**content, "sha256": checkpoint.digest(content)}, folder / checkpoint.NEWEST)
    (folder / checkpoint.PREVIOUS).unlink(missing_ok=True)
    if (result := artifacts.read_result(folder)) is not None:
        old = result | {"config": settings(root), "config_hash": OLD_HASH}
        (folder / artifacts.RESULT).write_text(json.dumps(old, indent=2))


@pytest.fixture
def finished(root: Path, tmp_path: Path) -> Path:
    """A finished run as version 0.1.0 left it."""
    folder = tmp_path / "finished"
    folder.mkdir()
    assert train(compose(*OVERRIDES, f"data.root='{root}'"), folder) is not None
    made_old(folder, root)
    return folder


def test_its_settings_have_the_hash_that_stands_in_its_result(root: Path) -> None:
    assert config_hash(settings(root)) == OLD_HASH


def test_it_loads_and_answers(finished: Path) -> None:
    run = ncf.load(finished)
    assert len(run.recommend(run.split.user_ids[:3], 2)) == 6
    assert "auc" in beyond.report(run, 5)


def test_it_is_not_made_again(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.runs.job.build_trainer", None)
    assert train(compose(*OVERRIDES, f"data.root='{root}'"), finished) == artifacts.read_result(finished)


def test_it_stands_in_one_table_with_new_runs(finished: Path, root: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    assert train(compose(*OVERRIDES, f"data.root='{root}'", "seed=43"), new) is not None
    table = read_runs([finished, new])
    assert table["seed"].tolist() == [42, 43]
    assert table["config_hash"].tolist()[0] == OLD_HASH
    assert not [column for column in table if column.startswith(("trainer.", "evaluation."))]
    assert read_users([finished, new])["run"].value_counts().to_dict() == {"finished": 20, "new": 20}
    runs = [side_by_side.ComparedRun(folder, loading.finished(folder)) for folder in (finished, new)]
    assert list(side_by_side.differences(runs)) == ["seed"]
    assert "difference from 1 over 20 users" in side_by_side.report(runs, "test")


def test_one_that_was_stopped_goes_on_to_the_same_end(finished: Path, root: Path, tmp_path: Path) -> None:
    folder, cfg, asked = tmp_path / "half", compose(*OVERRIDES, f"data.root='{root}'"), [0]
    folder.mkdir()

    def stopped() -> bool:
        asked[0] += 1
        return asked[0] > 11

    assert train(cfg, folder, stopped) is None
    made_old(folder, root)
    result, whole = train(cfg, folder), artifacts.read_result(finished)
    assert result is not None
    assert whole is not None
    assert result["test"] == whole["test"]
    assert result["config_hash"] == OLD_HASH
    assert (folder / artifacts.RANKS).read_bytes() == (finished / artifacts.RANKS).read_bytes()


def test_the_checkpoint_of_a_model_without_gradient_has_fewer_keys(root: Path, tmp_path: Path) -> None:
    """And the very first versions did not write the digest of the data."""
    others = [o for o in OVERRIDES if not o.startswith("model")]
    assert train(compose(*others, f"data.root='{root}'", "model=popularity"), tmp_path) is not None
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    kept = {key: value for key, value in saved.state().items() if key in ("settings", "progress", "best")}
    for path in tmp_path.glob("*.pt"):
        path.unlink()
    checkpoint.save(tmp_path, kept)
    assert len(ncf.load(tmp_path).recommend([0], 2)) == 2
