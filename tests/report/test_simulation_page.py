"""`python -m ncf.report sweep=<simulations>`: the page, its tables and figures."""

from pathlib import Path

import pandas as pd
import pytest

from ncf.core.compose import compose
from ncf.errors import ConfigError
from ncf.report.__main__ import main
from ncf.report.simulation import Comparison, curves, measured
from ncf.report.simulation_page import comparison_table, comparisons, regret
from ncf.runs.simulation import SimulationJob, open_simulation, plan_simulation
from ncf.runs.simulation_tables import read_simulations

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


def test_what_so_few_seeds_cannot_show_is_said_and_whom_all_are_compared_with(sweep: Path) -> None:
    results = measured(read_simulations([sweep]), ["period 3", "first 4"])
    note = comparisons(results, 0.05).note
    assert note.startswith("als is compared because it has the least first 4 (baseline= chooses another).")
    assert "No difference can be shown here, however large: 4 seeds cannot conclude under 4 comparisons" in note
    assert "at least 8 seeds" in note  # 2 / 2^8 is at most 0.05 / 4
    assert "baseline=" not in comparisons(results, 0.05, "als").note
    copies = [results.assign(seed=results["seed"] + 10 * n) for n in range(2)]
    assert "No difference" not in comparisons(pd.concat(copies, ignore_index=True), 0.05).note


def test_the_reason_stands_beside_a_comparison_without_a_test() -> None:
    one = Comparison("a", "b", "period 1", 3, 0.1, 0.2, obstacle="too few")
    assert comparison_table([one], 0.05, "of a claim").rows[0][-3:] == ["", "", "undecided (too few)"]
    assert comparison_table([one], 0.05, "of a claim").note.endswith("over the comparisons of a claim.")


def test_no_band_of_regret_goes_below_zero(sweep: Path) -> None:
    shown = curves(read_simulations([sweep]))
    shown[["low", "cumulative_low"]] = -1.0
    bands = [band.get_paths()[0].vertices[:, 1].min() for ax in regret(shown).axes for band in ax.collections]
    assert len(bands) == 6
    assert min(bands) == 0
