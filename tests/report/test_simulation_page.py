"""`python -m ncf.report sweep=<simulations>`: the page, its tables and figures."""

from pathlib import Path

import pandas as pd
import pytest

from ncf.core.compose import compose
from ncf.errors import ConfigError
from ncf.report.__main__ import main
from ncf.runs.simulation import SimulationJob, open_simulation, plan_simulation

SMALL = ("environment.users=30", "environment.items=20", "periods=4", "device=cpu", "progress=false")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents, random and ALS, of four seeds."""
    place = tmp_path_factory.mktemp("sweep")
    for seed in range(4):
        for name in ("random", "als"):
            folder = place / f"{name}-{seed}"
            folder.mkdir()
            plan = plan_simulation(compose([*SMALL, f"agent={name}", f"seed={seed}"], root="simulate"))
            job = open_simulation(plan, folder, lambda: False)
            assert isinstance(job, SimulationJob)
            job.run()
    return place


def test_a_sweep_of_simulations_is_reported(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([f"sweep={sweep}", "formats=svg"])
    assert capsys.readouterr().out.strip() == str(sweep / "report" / "report.html")
    page, readme = ((sweep / "report" / name).read_text() for name in ("report.html", "README.md"))
    figure = (sweep / "report" / "figures" / "regret_linear.svg").read_text()
    for yardstick in ("oracle", "best fixed item", "random"):
        assert yardstick in figure
        assert yardstick in page
        assert yardstick in readme
    assert "every finding is exploratory" in page
    results = pd.read_csv(sweep / "report" / "results.csv")
    assert set(results["agent"]) == {"random", "als", "best fixed item"}
    first = (sweep / "report" / "report.html").read_bytes()
    main([f"sweep={sweep}", "formats=svg"])
    assert (sweep / "report" / "report.html").read_bytes() == first


def test_the_baseline_may_be_chosen(sweep: Path, tmp_path: Path) -> None:
    main([f"sweep={sweep}", "formats=svg", "baseline=random", f"output={tmp_path / 'r'}"])
    assert "| random | als | period 3 | 4 |" in (tmp_path / "r" / "README.md").read_text()
    with pytest.raises(ConfigError, match="--baseline: expected one of"):
        main([f"sweep={sweep}", "formats=svg", "baseline=none", f"output={tmp_path / 's'}"])
    assert not (tmp_path / "s").exists()
