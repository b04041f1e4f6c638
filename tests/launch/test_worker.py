"""The stacked launcher's work: every run of a sweep ends as it would alone, whatever its shape, neighbours and fate."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ncf.core.trust import saved_overrides
from ncf.launch import worker
from ncf.launch.worker import Worker, work, work_in_processes
from ncf.runs.artifacts import EPOCHS, RANKS, read_result
from ncf.runs.components import CHOICES
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
        assert (together / EPOCHS).read_text().count("\n") == 3
        assert len((together / RANKS).read_text().splitlines()) == len((single / RANKS).read_text().splitlines())


@pytest.mark.slow
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
    written = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    work(runs, size=3)  # goes on with what is left, and does not touch what is done
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == written
    assert state(taken) == "done"
    assert state(broken) == "failed"


def test_a_file_of_one_s_own_is_found_by_the_worker_too(tmp_path: Path) -> None:
    """A sweep with `--config-dir` hands the folder on."""
    own = tmp_path / "conf" / "loss" / "gentle.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: focal\ngamma: 0.5\nalpha: 0.5\n")
    runs = jobs(tmp_path, "seed=1 loss=gentle", "seed=2 loss=gentle")
    work(runs, size=2, config_dir=str(tmp_path / "conf"))
    results = [read_result(folder) for folder in runs]
    assert [result and result["config"]["loss"]["gamma"] for result in results] == [0.5, 0.5]
    work(again := jobs(tmp_path / "without", "seed=1 loss=gentle"), size=1)
    assert [state(folder) for folder in again] == ["failed"]


def test_a_worker_that_is_asked_to_stop_saves_its_stack_and_claims_nothing_more(tmp_path: Path) -> None:
    runs = jobs(tmp_path, "seed=1", "seed=2", "seed=3")
    asked = [0]

    def stopped() -> bool:
        asked[0] += 1
        return asked[0] > 40

    first = Worker(runs, 2, stopped)  # type: ignore[arg-type]
    first.work()
    assert [state(folder) for folder in runs] == ["stopped", "stopped", "waiting"]
    work(runs, size=3)
    assert [state(folder) for folder in runs] == ["done"] * 3


def test_what_a_stacked_run_leaves_is_enough_to_resume_it_alone(tmp_path: Path) -> None:
    """The overrides without Hydra's own, and the whole configuration."""
    runs = jobs(tmp_path, "seed=1 hydra/job_logging=file")
    work(runs, size=1)
    (folder,) = runs
    assert saved_overrides(folder, CHOICES) == [line for line in runs[folder] if not line.startswith("hydra")]
    assert OmegaConf.load(folder / ".hydra" / "config.yaml").seed == 1


def test_a_process_a_core_but_no_more_than_there_are_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        """Threads in place of processes, which take seconds to start."""

        def __init__(self, processes: int, **keys: object) -> None:
            asked.append(processes)
            super().__init__(processes)

    monkeypatch.setattr(worker, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(worker, "work", lambda *arguments: None)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for n_jobs in (2, 9, -1):
        work_in_processes({tmp_path / str(n): [] for n in range(6)}, n_jobs, None, None)
    work_in_processes({tmp_path: []}, -1, None, None)
    assert asked == [2, 6, 4, 1]
