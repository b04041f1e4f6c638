"""Fault 4: the disk fills up in a save, while the data is prepared, and while results are written."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from apart import Deed, differences, finish, no_file_beyond, outcome
from toys import command, small

from ncf.launch.log_file import LogFile
from ncf.runs import artifacts, checkpoint, job
from ncf.runs.checkpoint import NEWEST

Resize = Callable[[str], Path]


def only_error(log: Path) -> str:
    """The one line of a run that failed."""
    lines = log.read_text().splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], log.read_text()
    assert "Traceback" not in log.read_text()
    return lines[-1]


def test_a_disk_too_small_for_the_checkpoint_is_one_error_and_a_larger_one_mends_it(
    arguments: list[str], uninterrupted: dict[str, object], resize: Resize, tmp_path: Path
) -> None:
    disk, log = resize("64k"), tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{disk / 'run'}'"], log) == 1
    assert only_error(log) == f"error: {disk / 'run' / NEWEST}: cannot write (No space left on device)"
    assert not list((disk / "run").glob(".tmp-*"))
    resize("4m")
    assert finish([f"resume={disk / 'run'}"], log) == 0, log.read_text()
    assert differences(outcome(disk / "run"), uninterrupted) == []


def test_a_disk_that_fills_up_later_leaves_the_old_checkpoint(
    arguments: list[str], uninterrupted: dict[str, object], resize: Resize, tmp_path: Path
) -> None:
    """Room for two checkpoints, not for the third that takes the place of one of them."""
    disk, log = resize("160k"), tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{disk / 'run'}'"], log) == 1
    assert "cannot write (No space left on device)" in only_error(log)
    saved = checkpoint.load(disk / "run")
    assert saved is not None
    assert saved.progress.epoch > 1
    resize("4m")
    assert finish([f"resume={disk / 'run'}"], log) == 0, log.read_text()
    assert differences(outcome(disk / "run"), uninterrupted) == []


def fill_before_results() -> None:
    """A deed: nothing is left of the disk when the ranks are to be written."""
    write_ranks = job.write_ranks

    def full(folder: Path, *args: object) -> None:
        with (folder.parent / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        write_ranks(folder, *args)  # type: ignore[arg-type]

    job.write_ranks = full  # type: ignore[assignment]


def test_a_disk_that_fills_up_before_the_results_are_written_loses_nothing(
    arguments: list[str], uninterrupted: dict[str, object], resize: Resize, tmp_path: Path
) -> None:
    disk, log = resize("4m"), tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{disk / 'run'}'"], log, fill_before_results) == 1
    assert only_error(log) == f"error: {disk / 'run' / artifacts.RANKS}: cannot write (No space left on device)"
    assert not (disk / "run" / artifacts.RESULT).exists()
    saved = checkpoint.load(disk / "run")
    assert saved is not None
    assert saved.progress.epoch == 5
    (disk / "ballast").unlink()
    assert finish([f"resume={disk / 'run'}"], log) == 0, log.read_text()
    assert differences(outcome(disk / "run"), uninterrupted) == []


def test_a_disk_too_small_for_the_prepared_data_is_one_error_and_leaves_no_half_file(
    resize: Resize, tmp_path: Path
) -> None:
    disk, log = resize("64k"), tmp_path / "log"
    large = small(disk, "data.users=2000", "data.items=500", "data.interactions=40000")
    assert finish([*large, f"hydra.run.dir='{tmp_path / 'run'}'"], log) == 2
    assert "cannot write (No space left on device)" in only_error(log)
    assert not list(disk.rglob("*.npz"))
    assert not list(disk.rglob(".tmp-*"))


def test_without_the_right_to_mount_a_limit_on_file_sizes_shows_the_same(arguments: list[str], tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    assert finish([*arguments, f"hydra.run.dir='{folder}'"], log, no_file_beyond(40_000)) == 1
    assert only_error(log) == f"error: {folder / NEWEST}: cannot write (File too large)"
    assert not list(folder.glob(".tmp-*"))


def log_on_a_full_disk() -> None:
    """A deed: the disk of the log is full, and no other."""
    LogFile._open = lambda self: os.fdopen(os.open("/dev/full", os.O_WRONLY), "a")  # type: ignore[method-assign]


@pytest.mark.slow
def test_a_log_on_a_full_disk_takes_nothing_from_the_run(
    arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    begun = [*arguments, "trainer.epochs=2", f"hydra.run.dir='{folder}'"]
    assert finish(begun, log, log_on_a_full_disk) == 0, log.read_text()
    onward = [f"resume={folder}", "trainer.epochs=4"]  # says in the log that it goes on
    assert finish(onward, log, log_on_a_full_disk) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert differences(outcome(folder), uninterrupted) == []


def nobody_reads() -> None:
    """A deed: stdout and stderr are files on a full disk."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    os.dup2(full, 2)


def closed(*numbers: int) -> Deed:
    """A deed: the process was started with these streams closed."""
    return partial(_close, numbers)


def _close(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        os.close(number)  # the next file that is opened gets the number
        setattr(sys, {1: "stdout", 2: "stderr"}[number], None)  # as Python starts with such a stream


@pytest.mark.parametrize("deed", [nobody_reads, closed(2), closed(1, 2)], ids=["full", "no stderr", "neither"])
def test_progress_that_nobody_can_read_ends_no_run(
    deed: Deed, arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    """A terminal that is closed, or a full disk behind `2>`, in the middle of the night."""
    folder = tmp_path / "run"
    shown = [argument for argument in arguments if not argument.startswith("trainer.progress")]
    assert finish([*shown, "trainer.progress=true", f"hydra.run.dir='{folder}'"], tmp_path / "log", deed) == 0
    assert differences(outcome(folder), uninterrupted) == []


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>/dev/full >/dev/full", "2>&-", ">&- 2>&-"])
def test_nor_does_it_when_a_shell_starts_the_run_so(
    streams: str, arguments: list[str], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    shown = [argument for argument in arguments if not argument.startswith("trainer.progress")]
    line = shlex.join(command(*shown, "trainer.progress=true", f"hydra.run.dir='{tmp_path / 'run'}'"))
    ended = subprocess.run(["sh", "-c", f"{line} {streams}"], check=False)
    assert ended.returncode == 0
    assert differences(outcome(tmp_path / "run"), uninterrupted) == []
