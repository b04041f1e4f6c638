"""Faults 17 and 18: too little memory; a clock set back, read-only folders, names that need quoting."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from apart import Deed, differences, finish, half_a_gigabyte_more, mounted, outcome, save_often
from toys import compose, small

from ncf.runs import artifacts, checkpoint
from ncf.runs.state import LOCK, claim, state
from ncf.train import train
from ncf.training import trainer
from ncf.training.base import Tally


def without_memory() -> None:
    """A deed: the first step needs more memory than there is."""

    def check(self: Tally, values: list[torch.Tensor]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    Tally.check = check  # type: ignore[method-assign]


def test_on_the_command_line_it_is_one_line_and_status_1(arguments: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{tmp_path / 'run'}'"], log, without_memory) == 1
    assert log.read_text().splitlines()[-1].startswith("error: out of memory: lower trainer.batch_size")
    assert "Traceback" not in log.read_text()


def test_a_job_of_a_sweep_that_gets_no_more_memory_fails_alone(root: Path, tmp_path: Path) -> None:
    """Factors of 60 users and 80 items, with gradients and moments: 2.2 GB where the process may have 0.5."""
    log, sweep = tmp_path / "log", tmp_path / "sweep"
    sizes = ["model.gmf_factors=1000000,8", "hydra/launcher=basic", f"hydra.sweep.dir='{sweep}'"]
    assert finish(["-m", *small(root, "trainer.epochs=1"), *sizes], log, half_a_gigabyte_more) == 1
    assert "sweep: 1 of 2 done, 0 running, 1 failed" in log.read_text()
    assert "Traceback" not in log.read_text()
    (failure,) = sweep.glob("*/failure.json")
    assert json.loads(failure.read_text())["error"].startswith("TrainingError: out of memory: lower trainer.batch_size")


def set_clock_back(start: float) -> None:
    """A deed: the wall clock begins in 2001 and loses an hour at every look; intervals are not measured by it."""
    clock = iter(range(10**9, 0, -3600))
    time.time = lambda: float(next(clock))  # type: ignore[assignment]


def test_a_clock_that_is_set_back_changes_nothing(
    arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, partial(set_clock_back, 1e9), save_often) == 0
    assert differences(outcome(folder), uninterrupted) == []


def test_checkpoints_come_by_the_clock_that_nobody_can_set(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards, backwards, saved = itertools.count(0, 40), itertools.count(10**9, -3600), []
    monkeypatch.setattr(time, "monotonic", lambda: float(next(forwards)))
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
    monkeypatch.setattr(trainer, "GLANCE_STEPS", 4)
    monkeypatch.setattr(checkpoint, "save", lambda folder, state: saved.append(state["progress"]["step"]))
    train(compose(*small(root)), tmp_path)
    assert any(step > 0 for step in saved)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write to."""
    (tmp_path / "read only").mkdir()
    try:
        with mounted(tmp_path / "read only", "-t", "tmpfs", "-o", "ro,size=64k", "none"):
            yield tmp_path / "read only"
    except OSError as error:
        pytest.skip(f"this user may not mount: {error}")


@pytest.mark.parametrize("kind", ["output folder", "data folder"])
def test_a_read_only_folder_is_one_line(kind: str, read_only: Path, tmp_path: Path) -> None:
    root, run = (tmp_path / "root", read_only / "run") if kind == "output folder" else (read_only, tmp_path / "run")
    log = tmp_path / "log"
    status = finish([*small(root), f"hydra.run.dir='{run}'"], log)
    assert status in (1, 2)
    assert log.read_text().startswith("error: ")
    assert log.read_text().count("\n") == 1
    assert "Read-only file system" in log.read_text()
    assert str(read_only) in log.read_text()


def test_a_read_only_folder_can_be_looked_at(tmp_path: Path) -> None:
    """Such as the sweep of another person, which goes on meanwhile."""
    own, seen = tmp_path / "own", tmp_path / "seen"
    own.mkdir()
    try:
        with mounted(seen, "--bind", str(own)):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(seen)], check=True)
            with claim(own / "run"):
                assert state(seen / "run") == "running"
            assert state(seen / "run") == "stopped"
    except OSError as error:
        pytest.skip(f"this user may not mount: {error}")


def test_a_lock_that_is_a_folder_is_held_by_nobody(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    assert state(tmp_path) == "stopped"


def reader_gone() -> None:
    """A deed: whoever read stdout does so no more, as in `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)


def errors_too() -> None:
    """A deed: stderr goes where stdout goes."""
    os.dup2(1, 2)


def output_full() -> None:
    """A deed: stdout is a file on a full disk."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


@pytest.mark.parametrize("deed", [reader_gone, output_full])
def test_a_finished_run_whose_output_goes_nowhere_is_finished(deed: Deed, root: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*small(root, "trainer.epochs=1"), f"hydra.run.dir='{folder}'"], log, deed) == 0
    assert log.read_text().startswith("the run has finished, but writing to stdout failed (")
    assert log.read_text().count("\n") == 1
    assert artifacts.read_result(folder) is not None


def test_nor_does_it_matter_that_nobody_reads_errors_either(root: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*small(root, "trainer.epochs=1"), f"hydra.run.dir='{folder}'"], log, reader_gone, errors_too) == 0
    assert artifacts.read_result(folder) is not None


def stdout_of(encoding: str) -> Deed:
    """A deed: stdout takes this encoding and nothing else, as under `PYTHONIOENCODING=ascii:strict`."""
    return partial(_encode, encoding)


def _encode(encoding: str) -> None:
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors="strict", closefd=False)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_folder_whose_name_stdout_cannot_say_is_no_error(encoding: str, root: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "log"
    assert finish([*small(root, "trainer.epochs=1"), f"hydra.run.dir='{folder}'"], log, stdout_of(encoding)) == 0
    assert log.read_text().endswith("caf\\udce9\n")


@pytest.mark.parametrize("name", ["it's 実験 ñ (50%) = [a] {b} $HOME #1, -m ndcg@10: 0"])
def test_any_name_of_a_folder_will_do_also_to_resume(
    name: str, arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / name / "run", tmp_path / "log"
    quoted = str(folder).replace("'", "\\'")
    assert finish([*arguments, "trainer.epochs=2", f"hydra.run.dir='{quoted}'"], log) == 0, log.read_text()
    assert finish([f"resume={folder}", "trainer.epochs=4"], log) == 0, log.read_text()
    assert differences(outcome(folder), uninterrupted) == []
