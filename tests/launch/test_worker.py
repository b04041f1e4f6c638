"""The stacked launcher's work: every run of a sweep ends as it would alone, whatever its shape, neighbours and fate."""

from pathlib import Path

import pytest

from ncf.launch.worker import work
from ncf.runs.artifacts import EPOCHS, RANKS, read_result
from ncf.runs.state import FAILURE, claim, state

SMALL = (
    "data=synthetic", "data.users=60", "data.items=50", "data.interactions=900", "neg_ratio=4", "trainer.epochs=3",
    "trainer.progress=false", "model.gmf_factors=4", "model.mlp_factors=4", "model.hidden=[8]",
)  # fmt: skip


def jobs(folder: Path, *changes: str) -> dict[Path, list[str]]:
    """A run a change (several keys apart by spaces), in folders called by their number."""
    root = f"data.root={folder / 'data'}"
    return {folder / str(n): [*SMALL, root, *change.split()] for n, change in enumerate(changes)}


def test_stacked_runs_end_as_alone(tmp_path: Path) -> None:
    changes = ["seed=1 loss=bce", "seed=2 loss=focal", "seed=3 loss=alpha_bce", "seed=4 neg_ratio=2", "seed=5"]
    stacked, alone = jobs(tmp_path / "stacked", *changes), jobs(tmp_path / "alone", *changes)
    work(stacked, size=2)
    for folder, overrides in alone.items():
        work({folder: overrides}, size=1)
    for together, single in zip(stacked, alone, strict=True):
        assert {p.name for p in together.iterdir()} == {p.name for p in single.iterdir()}
        ours, theirs = read_result(together), read_result(single)
        assert ours is not None
        assert theirs is not None
        assert ours["config_hash"] == theirs["config_hash"]
        assert ours["test"] == pytest.approx(theirs["test"], abs=1e-3)
        assert (together / METRICS).read_text().count("\n") == 3
        assert len((together / RANKS).read_text().splitlines()) == len((single / RANKS).read_text().splitlines())


def test_failures_owners_and_models_without_gradient_do_not_hold_up_the_rest(tmp_path: Path) -> None:
    runs = jobs(tmp_path, "seed=1", "loss=focal loss.gamma=-1", "seed=2", "seed=3 optimizer=row_adam", "seed=4")
    popular = tmp_path / "popular"
    plain = [line for line in SMALL if not line.startswith("model.")]
    runs[popular] = [*plain, f"data.root={tmp_path / 'data'}", "model=popularity"]
    first, broken, second, rows, taken = list(runs)[:5]
    with claim(taken):
        work(runs, size=3)
    assert [state(folder) for folder in (first, second, rows, popular)] == ["done"] * 4
    assert "loss.gamma" in (broken / FAILURE).read_text()
    assert state(taken) != "done"
    work(runs, size=3)  # goes on with what is left, and runs nothing twice
    assert state(taken) == "done"
    assert state(broken) == "failed"
