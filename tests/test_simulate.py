"""`python -m ncf.simulate`: one simulation, from its configuration to the folder that it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apart
import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from ncf.core.compose import compose
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.runs import artifacts
from ncf.simulate import simulate
from ncf.simulation import COLUMNS, SECONDS

ROOT = Path(__file__).parents[1]
SMALL = ["environment.users=60", "environment.items=40", "periods=4", "device=cpu", "progress=false"]
AGENTS = (
    "random", "best_item", "item_thompson", "als", "als_epsilon", "ucb", "thompson", "gibbs", "refit", "bayes_original",
)  # fmt: skip


def settings(*more: str) -> DictConfig:
    """A small simulation."""
    return compose([*SMALL, *more], root="simulate")


def simulated(folder: Path, *more: str) -> dict:
    """The result of a small simulation in `folder`."""
    folder.mkdir(exist_ok=True)
    result = simulate(settings(*more), folder)
    assert result is not None
    return result


def periods(folder: Path) -> pd.DataFrame:
    """What happened, without how long it took."""
    return pd.read_csv(folder / artifacts.PERIODS).drop(columns=list(SECONDS))


def test_a_finished_folder_holds_what_the_contract_says(tmp_path: Path) -> None:
    result = simulated(tmp_path, "log=true")
    table = pd.read_csv(tmp_path / artifacts.PERIODS)
    assert tuple(table) == COLUMNS
    assert list(table["period"]) == list(range(4))
    assert result["regret"]["cumulative"] == pytest.approx(table["regret"].sum())
    assert result["regret"]["last"] == pytest.approx(table["regret"].iloc[-1])
    assert json.loads((tmp_path / artifacts.RESULT).read_text())["kind"] == "simulation"
    assert len((tmp_path / artifacts.EPOCHS).read_text().splitlines()) == 4
    log = pd.read_csv(tmp_path / artifacts.FEEDBACK)
    assert list(log) == ["user", "item", "position", "propensity", "reward", "time", "policy"]
    assert len(log) == 4 * 60
    assert set(log["policy"]) == {"thompson"}
    assert list(log["time"].unique()) == list(range(4))
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_goes_on_to_the_same_bits(agent: str, tmp_path: Path) -> None:
    """Stopped and taken up again from the checkpoint, as after a kill, it ends where it would have."""
    own = [f"agent={agent}", "environment.requests=50", "environment.drift=0.1", "log=true"]
    own += ["agent.every=2"] if agent == "refit" else []
    whole = simulated(tmp_path / "whole", *own)
    folder = tmp_path / "stopped"
    folder.mkdir()
    for _ in range(2):
        assert simulate(settings(*own), folder, stopped=lambda: True) is None
    result = simulate(settings(*own), folder)
    assert result is not None
    assert result["agent_sha256"] == whole["agent_sha256"]
    pd.testing.assert_frame_equal(periods(folder), periods(tmp_path / "whole"), check_exact=True)
    assert (folder / artifacts.FEEDBACK).read_bytes() == (tmp_path / "whole" / artifacts.FEEDBACK).read_bytes()


def test_the_original_world_goes_on_too(tmp_path: Path) -> None:
    own = ["environment=original", "agent=bayes_original"]
    whole = simulated(tmp_path / "whole", *own)
    (tmp_path / "stopped").mkdir()
    assert simulate(settings(*own), tmp_path / "stopped", stopped=lambda: True) is None
    assert simulated(tmp_path / "stopped", *own)["agent_sha256"] == whole["agent_sha256"]


def test_agents_of_one_seed_meet_the_same_world(tmp_path: Path) -> None:
    tables = [simulated(tmp_path / agent, f"agent={agent}") for agent in ("random", "als")]
    assert tables[0]["world_sha256"] == tables[1]["world_sha256"]
    assert simulated(tmp_path / "other", "agent=random", "seed=7")["world_sha256"] != tables[0]["world_sha256"]
    first = [periods(tmp_path / agent).iloc[0] for agent in ("random", "als")]
    assert first[0]["regret"] == first[1]["regret"]  # als begins with the same random items


def test_a_finished_simulation_is_not_run_again_but_goes_on_for_longer(tmp_path: Path, monkeypatch) -> None:
    result = simulated(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("ncf.simulation.loop.Simulation.step", None)
        assert simulate(settings(), tmp_path) == json.loads((tmp_path / artifacts.RESULT).read_text())
    longer = simulated(tmp_path, "periods=9")
    assert longer["periods"] == 9
    assert simulated(tmp_path.parent / "afresh", "periods=9")["agent_sha256"] == longer["agent_sha256"]
    with pytest.raises(CheckpointError, match="expected at most periods=4"):
        simulate(settings(), tmp_path)
    assert result["periods"] == 4


def test_another_simulation_is_refused(tmp_path: Path) -> None:
    simulated(tmp_path)
    with pytest.raises(CheckpointError, match=r"agent\.sweeps: 3 -> 2"):
        simulate(settings("agent.sweeps=2"), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["environment.items=1", "agent=random"], "environment.items: expected at least 2"),
        (["environment.items=5"], "agent.factors: expected at most the 5 items"),
        (["environment.requests=0"], "environment.requests: expected a value greater than or equal to 1"),
        (["environment.requests=61"], "environment.requests: expected at most the 60 users, got 61"),
        (["agent=als", "agent.temperature=-1.0"], "agent.temperature: expected a value greater than or equal to 0"),
        (["agent=als", "agent.epsilon=1.5"], "agent.epsilon: expected a value less than or equal to 1"),
        (["environment.noise=-1.0"], "environment.noise: expected a value greater than or equal to 0"),
        (
            ["agent=bayes_original", "agent.n_samples=10"],
            "agent.n_samples: expected more than agent.factors=10, got 10",
        ),
        (["periods=0"], "periods: expected a value greater than or equal to 1"),
        (["agent=refit", "agent.model.name=ncf"], "agent.model.name: expected one of"),
        (["agent=refit", "agent.model.name=neumf_pretrained"], "agent.model"),
    ],
)
def test_bad_settings_are_refused_in_one_line(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        simulate(settings(*overrides), tmp_path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_world_needs_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a run folder"):
        simulate(
            compose(["environment=movielens", "environment.run=/nowhere", "device=cpu"], root="simulate"), tmp_path
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_killed_simulation_resumes_to_the_same_bits(number: signal.Signals, tmp_path: Path) -> None:
    own = ["periods=150", "save_every=0", "log=true"]
    log = tmp_path / "log"
    line = [*SMALL, *own, f"hydra.run.dir='{tmp_path / 'killed'}'"]
    process = apart.start(line, log, module="ncf.simulate")
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint.previous.pt").exists():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, number)
    assert apart.status(process) == (75 if number == signal.SIGINT else -signal.SIGKILL)
    assert not (tmp_path / "killed" / artifacts.RESULT).exists()
    if number == signal.SIGINT:
        assert f"stopped; resume with python -m ncf.simulate resume={tmp_path / 'killed'}" in log.read_text()
    assert apart.finish([f"resume={tmp_path / 'killed'}"], log, module="ncf.simulate") == 0, log.read_text()
    assert "cumulative" in log.read_text()
    whole = simulated(tmp_path / "whole", *own)
    result = json.loads((tmp_path / "killed" / artifacts.RESULT).read_text())
    assert result["agent_sha256"] == whole["agent_sha256"]
    names = [tmp_path / place / artifacts.FEEDBACK for place in ("killed", "whole")]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert (tmp_path / "killed" / ".hydra" / "overrides.yaml").exists()


@pytest.mark.slow
def test_a_sweep_runs_what_is_not_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ncf.simulate", "-m", *SMALL[:-1], "agent=random,als", "seed=1,2",
               f"hydra.sweep.dir='{tmp_path}'", "hydra/launcher=basic"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    results = sorted(tmp_path.glob("*/result.json"))
    assert [path.parent.name.rsplit("-", 1)[0] for path in results] == [
        f"{agent}-linear-s{seed}" for agent in ("als", "random") for seed in (1, 2)
    ]
    times = [path.stat().st_mtime_ns for path in results]
    results[0].unlink()
    assert (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=250, check=False).returncode
        == 0
    )
    assert [path.stat().st_mtime_ns for path in results[1:]] == times[1:]
    assert results[0].exists()
    assert np.isfinite(json.loads(results[0].read_text())["regret"]["mean"])
