"""A simulation as a run: its identity, its worlds from other runs, and damaged folders."""

from pathlib import Path

import pytest
import torch
from finished_runs import FinishedRuns

from ncf.core.compose import compose
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import identity, is_simulation, resolved, role_of, run_id
from ncf.runs.loading import load
from ncf.runs.simulation import SimulationJob, open_simulation, plan_simulation
from ncf.runs.tables import read_runs

SMALL = ("environment.users=30", "environment.items=20", "periods=2", "device=cpu", "progress=false", "agent=random")


def opened(folder: Path, *more: str):
    """A small simulation, opened."""
    folder.mkdir(exist_ok=True)
    return open_simulation(plan_simulation(compose([*SMALL, *more], root="simulate")), folder, lambda: False)


def finished(folder: Path, *more: str) -> dict:
    """Its result."""
    job = opened(folder, *more)
    assert isinstance(job, SimulationJob)
    result = job.run()
    assert result is not None
    return result


def test_ids_are_readable_and_leave_out_what_does_not_matter() -> None:
    settings = resolved(compose(SMALL, root="simulate"))
    assert is_simulation(settings)
    assert not is_simulation(resolved(compose([])))
    assert run_id(settings).startswith("random-linear-s42-")
    for same in ("log=true", "threads=2", "save_every=5", "progress=true"):
        assert run_id(resolved(compose([*SMALL, same], root="simulate"))) == run_id(settings)
    for other in ("seed=1", "periods=3", "environment.noise=0.2"):
        assert run_id(resolved(compose([*SMALL, other], root="simulate"))) != run_id(settings)
    assert "agent.name" in identity(settings)
    assert role_of("periods", settings).free_on_resume
    assert not role_of("agent.factors", settings).free_on_resume


def test_a_world_is_made_from_a_finished_run(runs: FinishedRuns, tmp_path: Path) -> None:
    more = [o for o in SMALL if not o.startswith("environment")]
    cfg = compose([*more, "environment=movielens", f"environment.run='{runs['popularity']}'"], root="simulate")
    job = open_simulation(plan_simulation(cfg), tmp_path, lambda: False)
    assert isinstance(job, SimulationJob)
    loaded = load(runs["popularity"])
    environment = job.simulation.environment
    assert (environment.num_users, environment.num_items) == (loaded.split.num_users, loaded.split.num_items)
    scores = loaded.model.score(torch.arange(5)).double()
    assert torch.equal(
        environment.means(torch.arange(5)).argsort(dim=1, stable=True), scores.argsort(dim=1, stable=True)
    )


def test_a_simulation_is_no_training_run(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(DataError, match=r"expected a run of ncf\.train, found a simulation"):
        read_runs([tmp_path])
    with pytest.raises(DataError, match=r"expected a run of ncf\.train, found a simulation"):
        load(tmp_path)


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    """A cut checkpoint goes on from the one before, two cut ones do not; a result without regret is damaged."""
    stopped = tmp_path / "stopped"
    job = opened(stopped, "save_every=0")
    assert isinstance(job, SimulationJob)
    job.simulation.stopped = lambda: True
    assert job.run() is None
    newest = stopped / checkpoint.NEWEST
    (stopped / checkpoint.PREVIOUS).write_bytes(newest.read_bytes())
    newest.write_bytes(newest.read_bytes()[:100])
    again = opened(stopped, "save_every=0")
    assert isinstance(again, SimulationJob)
    assert len(again.simulation.history) == 1
    (stopped / checkpoint.PREVIOUS).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="delete the checkpoints to start the run over"):
        opened(stopped, "save_every=0")
    done = tmp_path / "done"
    finished(done)
    path = done / artifacts.RESULT
    path.write_text(path.read_text().replace('"regret"', '"regert"', 1))
    with pytest.raises(DataError, match="key 'regret' of the result is invalid"):
        artifacts.read_result(done)


def test_another_world_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = opened(tmp_path)
    assert isinstance(job, SimulationJob)
    job.simulation.stopped = lambda: True
    job.run()
    monkeypatch.setattr("ncf.runs.simulation._digest_of", lambda environment: "another")
    with pytest.raises(CheckpointError, match="cannot resume in another world"):
        opened(tmp_path)


def test_unknown_keys_are_named() -> None:
    cfg = compose([*SMALL, "+agent.factors=3"], root="simulate")
    with pytest.raises(ConfigError, match=r"agent\.factors: unknown key"):
        plan_simulation(cfg)
