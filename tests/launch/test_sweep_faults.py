"""Sweeps whose processes are killed: nothing lost, nothing run twice, and the same table in the end."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from sweeps import events, h3_at_4, outcome, run_out, said, small_study, start, wait_for
from toys import small

from ncf.runs.state import run_status, state

KILLS = 12
SEEDS = 4
LONG = ("trainer.epochs=240", "trainer.patience=240")  # seconds a run, so that kills find them at work on any machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def states(sweep: Path) -> dict[str, str]:
    return {path.parent.name: state(path.parent) for path in sweep.glob("*/.lock")}


def kill(driver: "subprocess.Popen[bytes]", workers_too: bool) -> None:
    """SIGKILL to the driver, and to what it has started."""
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
    workers = children.read_text().split() if workers_too else []
    for pid in [driver.pid, *map(int, workers)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    driver.wait()


def until_something_happens(driver: "subprocess.Popen[bytes]", audit: Path) -> None:
    """Return when a training starts or ends, or the driver is over."""

    def size() -> int:
        return audit.stat().st_size if audit.exists() else 0

    before = size()
    wait_for(lambda: driver.poll() is not None or size() > before)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run_out(h3_at_4(root, small_study(folder, SEEDS), folder / "sweep", *LONG), folder / "audit")
    return folder / "sweep"


def same_outcome(sweep: Path, whole: Path) -> None:
    """The tables of both sweeps are equal to the bit."""
    for found, expected in zip(outcome(sweep), outcome(whole)):
        assert_frame_equal(found, expected, check_exact=True)


def test_a_driver_killed_at_random_moments(whole, root, tmp_path):
    """Each time the driver alone, its workers live on as orphans; every other time the workers go with it."""
    rng = random.Random(0)
    audit = tmp_path / "audit"
    arguments = h3_at_4(root, small_study(tmp_path, SEEDS), tmp_path / "sweep", *LONG)
    kills = 0
    while kills < KILLS:
        driver = start(arguments, audit)
        until_something_happens(driver, audit)
        time.sleep(rng.uniform(0, 1.5))
        if driver.poll() is not None:
            break
        kill(driver, workers_too=kills % 2 == 1)
        kills += 1
    run_out(arguments, audit)
    assert kills >= 10
    ends = events(audit, "end")
    assert len(ends) == 4 * SEEDS
    assert set(ends.values()) == {1}
    same_outcome(tmp_path / "sweep", whole)


def test_two_sweeps_on_one_folder(whole, root, tmp_path):
    audits = [tmp_path / "a", tmp_path / "b"]
    arguments = h3_at_4(root, small_study(tmp_path, SEEDS), tmp_path / "sweep", *LONG)
    drivers = [start(arguments, audit) for audit in audits]
    assert {driver.wait() for driver in drivers} <= {0, 75}
    run_out(arguments, audits[0])
    starts = events(audits[0], "start") + events(audits[1], "start")
    assert len(starts) == 4 * SEEDS
    assert set(starts.values()) == {1}
    assert all(events(audit, "start") for audit in audits)  # both had a share
    same_outcome(tmp_path / "sweep", whole)


@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_one_of_the_jobs_is_killed(launcher, root, tmp_path):
    """As the kernel does when memory runs out: the others finish, and a rerun takes only that one."""
    audit = tmp_path / "audit"
    sweep = tmp_path / "sweep"
    arguments = ["-m", *small(root), "seed=1,2,3,4", f"hydra.sweep.dir='{sweep}'"]
    if launcher == "cores":
        arguments.append("hydra.launcher.n_jobs=2")  # with one, jobs run in the driver's own process
    assert start(arguments, audit, {2: "kill", 3: "error"}, launcher).wait() == 1
    wait_for(lambda: "running" not in states(sweep).values())
    found = {name.split("-")[3]: value for name, value in states(sweep).items()}
    assert found == {"s1": "done", "s2": "failed" if launcher == "cores" else "stopped", "s3": "failed", "s4": "done"}
    if launcher == "cores":
        (killed,) = sweep.glob("*-s2-*")
        assert "it was killed or ran out of memory" in str(run_status(killed).error)
    else:
        assert "error: the launcher failed: UncompletedJobError" in said(audit).read_text()
    run_out(arguments, tmp_path / "again", launcher)
    assert sorted(name.split("-")[3] for name in events(tmp_path / "again", "end")) == ["s2", "s3"]
    assert set(states(sweep).values()) == {"done"}


def test_a_preempted_job_is_queued_again_and_goes_on(root, tmp_path):
    """What Slurm does to a job, by the executor that submitit has for one machine."""
    audit, sweep = tmp_path / "audit", tmp_path / "sweep"
    long = ("trainer.epochs=80", "trainer.patience=80", "trainer.checkpoint_every=1epoch")
    arguments = ["-m", *small(root, *long), "seed=1", f"hydra.sweep.dir='{sweep}'"]
    assert start(arguments, audit, {1: "preempt"}, "submitit_local").wait() == 0
    assert list(events(audit, "start").values()) == [2]
    assert list(events(audit, "end").values()) == [1]
    (log,) = sweep.glob("*/*.log")
    assert "resuming at epoch" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_sweep_that_is_asked_to_stop(number, root, tmp_path):
    """The runs in hand save themselves, and go on from there."""
    audit, sweep = tmp_path / "audit", tmp_path / "sweep"
    arguments = ["-m", *small(root, "trainer.epochs=400", "trainer.patience=400"), "seed=1,2,3"]
    arguments += [f"hydra.sweep.dir='{sweep}'", "hydra.launcher.n_jobs=2"]
    driver = start(arguments, audit)
    wait_for(lambda: len(list(sweep.glob("*/metrics.jsonl"))) == 2)
    driver.send_signal(number)
    assert driver.wait(timeout=60) == 75
    assert "stopped; run the same command again to resume" in said(audit).read_text()
    assert sorted(states(sweep).values()) == ["stopped", "stopped"]
    assert len(list(sweep.glob("*/checkpoint.pt"))) == 2
    epochs = {path.parent.name: run_status(path.parent).epochs for path in sweep.glob("*/checkpoint.pt")}
    again = start(arguments, audit)
    wait_for(lambda: any(run_status(sweep / name).epochs > count for name, count in epochs.items()))
    again.send_signal(number)
    assert again.wait(timeout=60) == 75
    assert all(run_status(sweep / name).epochs >= count for name, count in epochs.items())


@pytest.mark.parametrize("launcher", ["cores", "stacked"])
def test_workers_of_a_killed_driver_save_their_runs_and_end_within_two_seconds(launcher, root, tmp_path):
    """And know, as they did while it lived, the component of one's own that it was told to import."""
    audit, sweep = tmp_path / "audit", tmp_path / "sweep"
    long = ("trainer.epochs=4000", "trainer.patience=4000", "sampler.name=own", "hydra.launcher.n_jobs=2")
    arguments = ["--import", "own_sampler", "-m", *small(root, *long), "seed=1,2", f"hydra.sweep.dir='{sweep}'"]
    driver = start(arguments, audit, launcher=launcher)
    wait_for(lambda: len([path for path in sweep.glob("*/metrics.jsonl") if path.stat().st_size]) == 2)
    driver.kill()
    driver.wait()
    killed = time.monotonic()
    wait_for(lambda: not of_session(driver.pid), 20)
    assert time.monotonic() - killed < 2
    assert list(states(sweep).values()) == ["stopped", "stopped"]
    assert len(list(sweep.glob("*/checkpoint.pt"))) == 2
    epochs = {path.name: run_status(path).epochs for path in sweep.iterdir() if path.is_dir()}
    again = start(arguments, tmp_path / "again", launcher=launcher)
    wait_for(lambda: all(run_status(sweep / name).epochs > count for name, count in epochs.items()))
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=60) == 75


def of_session(leader: int) -> list[str]:
    """The command lines of the processes of the session, its zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found
