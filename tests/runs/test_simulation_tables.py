"""Many simulations as one table; what is damaged is refused, naming the file."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf.core.compose import compose
from ncf.errors import DataError
from ncf.runs.simulation import SimulationJob, open_simulation, plan_simulation
from ncf.runs.simulation_tables import is_simulation_sweep, read_simulations

SMALL = ("environment.users=30", "environment.items=20", "periods=3", "device=cpu", "progress=false")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three agents, one of them with two settings, and two seeds."""
    place = tmp_path_factory.mktemp("sweep")
    for seed in (1, 2):
        for name, more in {"a": ["agent=random"], "b": ["agent=als"], "c": ["agent=als", "agent.l2=0.5"]}.items():
            folder = place / f"{name}{seed}"
            folder.mkdir()
            plan = plan_simulation(compose([*SMALL, f"seed={seed}", *more], root="simulate"))
            job = open_simulation(plan, folder, lambda: False)
            assert isinstance(job, SimulationJob)
            job.run()
    return place


def test_a_row_is_a_period_of_a_run(sweep: Path) -> None:
    table = read_simulations([sweep])
    assert is_simulation_sweep([sweep])
    assert len(table) == 6 * 3
    assert set(table["agent"]) == {"random", "als (l2=0.1)", "als (l2=0.5)"}
    assert set(table["environment"]) == {"linear"}
    own = pd.read_csv(sweep / "a1" / "periods.csv")
    assert table[table["run"] == "a1"]["regret"].tolist() == own["regret"].tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "", "cannot be read"),
        (lambda text: text.replace("regret", "x", 1), "expected the columns"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "expected the periods 0 to 2"),
        (lambda text: text.replace("\n0,", "\n0,nan", 1), "cannot be read|finite"),
        (lambda text: text + "a,b\n", "cannot be read"),
    ],
)
def test_damaged_periods_are_refused(sweep: Path, tmp_path: Path, change, said: str) -> None:
    shutil.copytree(sweep / "a1", tmp_path / "run")
    path = tmp_path / "run" / "periods.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=said):
        read_simulations([tmp_path / "run"])
    path.unlink()
    with pytest.raises(DataError, match="found no such file"):
        read_simulations([tmp_path / "run"])


def test_training_runs_are_none(runs: FinishedRuns) -> None:
    assert not is_simulation_sweep([runs["popularity"]])
    with pytest.raises(DataError, match=r"expected a finished simulation, found a run of ncf\.train"):
        read_simulations([runs["popularity"]])
