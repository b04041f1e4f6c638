"""Sweeps on a Ray of this machine: the rules of the other launchers, and what Ray adds to what can go wrong."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import leftovers
import pytest
from pandas.testing import assert_frame_equal
from sweeps import events, h3_at_4, outcome, run_out, said, small_study, start, wait_for
from toys import small

from ncf.runs.state import run_status, state

if importlib.util.find_spec("ray") is None:  # `make setup` leaves it out, so CI has none either
    pytest.skip("ray is not installed: pip install -c constraints.txt 'ncf[ray]'", allow_module_level=True)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TWO = "hydra.launcher.n_jobs=2"  # as many as Ray then has cores for
LONG = ("trainer.epochs=4000", "trainer.patience=4000")
Line = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def ray_is_gone() -> Iterator[None]:
    """What Ray starts beside the workers ends by itself; after a killed driver that takes it a while."""
    yield
    wait_for(lambda: not leftovers.processes(), 120)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


@pytest.fixture
def line(root: Path, sweep: Path) -> Line:
    """line(*settings) -> the arguments of a sweep of small runs."""
    return lambda *settings: ["-m", *small(root, *settings), f"hydra.sweep.dir='{sweep}'", TWO]


def states(sweep: Path) -> dict[str, str]:
    return {path.parent.name.split("-")[3]: state(path.parent) for path in sweep.glob("*/.lock")}


def at_work(sweep: Path, count: int = 2) -> bool:
    return len([path for path in sweep.glob("*/metrics.jsonl") if path.stat().st_size]) == count


def pids(audit: Path) -> list[int]:
    """The processes in which a run has begun."""
    return [int(row.split()[2]) for row in audit.read_text().splitlines() if row.startswith("start ")]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_the_runs_are_those_of_another_launcher_to_the_bit(root: Path, tmp_path: Path) -> None:
    """Those that are done are skipped; a table of several threads would differ."""
    study = small_study(tmp_path, 2)
    lines = {name: [*h3_at_4(root, study, tmp_path / name), TWO] for name in ("ray", "cores")}
    lines["ray"].append("trainer.threads=1")
    assert start([*lines["ray"], "seed=42"], tmp_path / "first", launcher="ray").wait() == 0
    assert start(lines["ray"], tmp_path / "rest", launcher="ray").wait() == 0, said(tmp_path / "rest").read_text()
    assert "sweep: 8 of 8 done, 0 running, 0 failed" in said(tmp_path / "rest").read_text()
    begun = [events(tmp_path / name, "start") for name in ("first", "rest")]
    assert list(begun[0].values()) == list(begun[1].values()) == [1] * 4
    assert not set(begun[0]) & set(begun[1])
    run_out(lines["cores"], tmp_path / "cores-audit")
    for found, expected in zip(outcome(tmp_path / "ray"), outcome(tmp_path / "cores")):
        assert_frame_equal(found, expected, check_exact=True)


def test_a_run_that_fails_and_one_that_is_killed_stop_no_other(line: Line, sweep: Path, tmp_path: Path) -> None:
    """The killed one is made once more, alone, and recorded; a rerun takes only these two."""
    arguments, audit = [*line(), "seed=1,2,3,4,5,6"], tmp_path / "audit"
    assert start(arguments, audit, {2: "kill", 3: "error"}, "ray").wait() == 1
    assert states(sweep) == {f"s{n}": "failed" if n in (2, 3) else "done" for n in range(1, 7)}
    errors = {path.name.split("-")[3]: run_status(path).error for path in sweep.glob("*-s[23]-*")}
    assert errors == {
        "s2": "its process died without an error: it was killed or ran out of memory",
        "s3": "RuntimeError: planted error",
    }
    assert {name.split("-")[3]: n for name, n in events(audit, "start").items()}["s2"] == 2
    assert "sweep: 4 of 6 done, 0 running, 2 failed" in said(audit).read_text()
    assert start(arguments, tmp_path / "again", launcher="ray").wait() == 0
    assert sorted(name.split("-")[3] for name in events(tmp_path / "again", "end")) == ["s2", "s3"]
    assert set(states(sweep).values()) == {"done"}


def test_a_worker_of_ray_is_killed_and_its_run_goes_on(line: Line, sweep: Path, tmp_path: Path) -> None:
    """As Ray does when memory runs out: the run saves itself, and is made alone from there."""
    audit = tmp_path / "audit"
    driver = start([*line("trainer.epochs=150", "trainer.patience=150"), "seed=1,2,3"], audit, launcher="ray")
    wait_for(lambda: at_work(sweep))
    process = pids(audit)[0]
    os.kill(parent(process), signal.SIGKILL)
    assert driver.wait() == 0, said(audit).read_text()
    assert set(states(sweep).values()) == {"done"}
    assert sorted(events(audit, "start").values()) == [1, 1, 2]
    assert list(events(audit, "end").values()) == [1, 1, 1]
    logs = [path.read_text() for path in sweep.glob("*/*.log")]
    assert ["resuming at epoch" in log for log in logs].count(True) == 1


@pytest.mark.parametrize(
    ("number", "all_of_them"),
    [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGUSR1, False), (signal.SIGHUP, False)],
    ids=["SIGTERM", "Ctrl-C", "SIGUSR1", "SIGHUP"],
)
def test_a_sweep_that_is_asked_to_stop(
    number: signal.Signals, all_of_them: bool, line: Line, sweep: Path, tmp_path: Path
) -> None:
    """The runs in hand save themselves, and go on from there. Ctrl-C reaches all that the terminal has begun."""
    audit, arguments = tmp_path / "audit", [*line(*LONG), "seed=1,2,3"]
    driver = start(arguments, audit, launcher="ray")
    wait_for(lambda: at_work(sweep))
    asked = time.monotonic()
    (os.killpg if all_of_them else os.kill)(driver.pid, number)
    wait_for(lambda: all(map(gone, pids(audit))), 60)
    saved = time.monotonic() - asked
    assert driver.wait(timeout=60) == 75
    print(f"saved after {saved:.1f} s, over after {time.monotonic() - asked:.1f} s")
    assert "stopped; run the same command again to resume" in said(audit).read_text()
    assert "Traceback" not in said(audit).read_text()
    assert sorted(states(sweep).values()) == ["stopped", "stopped"]
    assert len(list(sweep.glob("*/checkpoint.pt"))) == 2
    epochs = {path.parent.name: run_status(path.parent).epochs for path in sweep.glob("*/checkpoint.pt")}
    again = start(arguments, tmp_path / "again", launcher="ray")
    wait_for(lambda: all(run_status(sweep / name).epochs > count for name, count in epochs.items()))
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=60) == 75


@pytest.mark.parametrize("seconds", [2, 4, 6])
def test_a_sweep_that_is_asked_to_stop_while_ray_starts(
    seconds: float, line: Line, sweep: Path, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    driver = start([*line(*LONG), "seed=1,2"], audit, launcher="ray")
    wait_for(lambda: (sweep / "multirun.yaml").exists())
    time.sleep(seconds)
    driver.send_signal(signal.SIGTERM)
    # Towards the end of its start Ray has a handler below Python's, which aborts the process after ours has run.
    assert driver.wait(timeout=60) in (75, -signal.SIGABRT), said(audit).read_text()
    assert "stopped; run the same command again to resume" in said(audit).read_text()
    assert "running" not in states(sweep).values()


def test_runs_of_a_killed_driver_are_saved(line: Line, sweep: Path, tmp_path: Path) -> None:
    """Ray ends its workers at once; and the runs know the component of one's own that the driver was told to import."""
    audit = tmp_path / "audit"
    arguments = ["--import", "own_sampler", *line(*LONG, "sampler.name=own"), "seed=1,2"]
    driver = start(arguments, audit, launcher="ray")
    wait_for(lambda: at_work(sweep))
    driver.kill()
    driver.wait()
    killed = time.monotonic()
    wait_for(lambda: all(map(gone, pids(audit))), 20)
    seconds = time.monotonic() - killed
    print(f"over after {seconds:.1f} s")
    assert seconds < 5
    assert list(states(sweep).values()) == ["stopped", "stopped"]
    assert len(list(sweep.glob("*/checkpoint.pt"))) == 2


def test_two_sweeps_on_one_folder(root: Path, tmp_path: Path) -> None:
    """Each with a Ray of its own."""
    audits = [tmp_path / "a", tmp_path / "b"]
    long = ("trainer.epochs=240", "trainer.patience=240")
    arguments = [*h3_at_4(root, small_study(tmp_path, 2), tmp_path / "sweep", *long), TWO]
    drivers = [start(arguments, audit, launcher="ray") for audit in audits]
    assert {driver.wait() for driver in drivers} <= {0, 75}
    run_out(arguments, audits[0], "ray")
    starts = events(audits[0], "start") + events(audits[1], "start")
    assert list(starts.values()) == [1] * 8
    assert all(events(audit, "start") for audit in audits)


@pytest.mark.parametrize(("faults", "status"), [({}, 0), ({2: "error"}, 1)], ids=["whole", "one fails"])
def test_another_sweeper_tells_by_its_status(
    faults: dict[int, str], status: int, line: Line, sweep: Path, tmp_path: Path
) -> None:
    arguments = [*line(), "seed=1,2", "hydra/sweeper=basic"]
    assert start(arguments, tmp_path / "audit", faults, "ray").wait() == status
    assert sorted(states(sweep).values()) == (["done", "failed"] if faults else ["done", "done"])


def test_a_machine_without_gpus_is_one_line(line: Line, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    audit = tmp_path / "audit"
    assert start([*line(), "seed=1,2", "hydra.launcher.gpus=1"], audit, launcher="ray").wait() == 1
    assert "hydra.launcher.gpus: expected at most the 0 GPUs of this machine, got 1" in said(audit).read_text()


def test_a_cluster_that_runs(line: Line, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep leaves it running; a stop, and a killed driver, lose nothing there either."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # Ray itself finds out only for address=auto
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    environment = os.environ | {"RAY_kill_child_processes_on_worker_exit": "false", "RAY_USAGE_STATS_ENABLED": "0"}
    helpers = [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]
    environment["PYTHONPATH"] = os.pathsep.join([*helpers, os.environ.get("PYTHONPATH", "")])
    environment["AUDIT"] = str(tmp_path / "audit")  # the workers have the cluster's environment
    with (tmp_path / "ray.log").open("wb") as log:
        cluster = subprocess.Popen([*ray, "--include-dashboard=false"], env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: "--address" in (tmp_path / "ray.log").read_text(), 60)
        audit, there = tmp_path / "audit", [*line(), f"hydra.launcher.address='127.0.0.1:{port}'"]
        assert start([*there, "seed=1,2"], audit, launcher="ray").wait() == 0, said(audit).read_text()
        long = [*line(*LONG), f"hydra.launcher.address='127.0.0.1:{port}'", "seed=3,4"]
        for number, status in ((signal.SIGTERM, 75), (signal.SIGKILL, -9)):
            for folder in sweep.glob("*-s[34]-*"):
                (folder / "metrics.jsonl").write_text("")
            driver = start(long, audit, launcher="ray")
            wait_for(lambda: at_work(sweep, 4))
            driver.send_signal(number)
            assert driver.wait(timeout=60) == status
            wait_for(lambda: "running" not in states(sweep).values(), 20)
            assert states(sweep) == {"s1": "done", "s2": "done", "s3": "stopped", "s4": "stopped"}
            for path in sweep.glob("*/checkpoint.pt"):
                path.unlink()
        assert cluster.poll() is None
    finally:
        cluster.send_signal(signal.SIGTERM)
        cluster.wait(60)
