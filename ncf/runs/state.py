"""The rules of one run folder, whoever runs it: one process at a time, failures on record, and how far it is.

A launcher needs nothing else to be safe: `claim` the folder, train inside `failures_recorded`, and a sweep that is
killed and started again sees from the folders alone what is done, failed, running elsewhere, half done or untouched.
"""

import contextlib
import fcntl
import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from ncf.core.files import write_text
from ncf.errors import DataError, NcfError
from ncf.runs.artifacts import EPOCHS, RESULT, read_result

LOCK, FAILURE = ".lock", "failure.json"
State = Literal["done", "running", "failed", "stopped", "waiting"]

_GLIMPSE_SECONDS = 1.0  # longer than `state` holds a lock while it looks whether it is free
_TRACEBACK_LINES = 20


class ClaimError(NcfError):
    """The run cannot be claimed: another process has it in hand, or its folder is read-only."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """`folder` is this process's while the context lasts; the operating system frees it if the process dies.

    Raises:
        ClaimError: another process holds it, or nothing can be written there.
    """
    lock = FileLock(folder / LOCK, timeout=_GLIMPSE_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ClaimError(f"{folder}: another process has this run in hand") from None
    except OSError as error:
        raise ClaimError(f"{folder}: expected a folder that can be written to ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def failures_recorded(folder: Path, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """An exception that leaves the context is written to `folder` and goes on; without one, old records go.

    A stop (SystemExit, KeyboardInterrupt) is neither, and the exceptions `but` leave the folder as it was.
    """
    try:
        yield
    except but:
        raise
    except Exception as error:
        lines = "".join(traceback.format_exception(error)).splitlines()
        record_failure(folder, f"{type(error).__name__}: {error}", lines[-_TRACEBACK_LINES:])
        raise
    (folder / FAILURE).unlink(missing_ok=True)


def record_failure(folder: Path, error: str, traceback_lines: list[str] | None = None) -> None:
    """`failure.json`: what ended the run and when. A disk too full for it leaves the run as one that stopped."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"error": error, "time": time, "traceback": traceback_lines or []}
    with contextlib.suppress(OSError):
        write_text(folder / FAILURE, json.dumps(record, indent=2) + "\n")


def done(folder: Path) -> bool:
    """Whether the run has a result that can be read; who runs one that is damaged is told so."""
    try:
        return read_result(folder) is not None
    except DataError:
        return False


def state(folder: Path) -> State:
    """Where the run is: a folder that was claimed, but holds neither end nor owner, was stopped half-way."""
    if done(folder):
        return "done"
    if not (folder / LOCK).exists():
        return "waiting"
    if _held(folder):
        return "running"
    if done(folder):  # it ended between the two looks
        return "done"
    return "failed" if (folder / FAILURE).exists() else "stopped"


def _held(folder: Path) -> bool:
    """Whether a process has the lock; looking takes no right to write, so another's or a read-only run can be seen."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class RunStatus:
    """A run as its folder tells it.

    Attributes:
        name: of the folder.
        state: where it is.
        epochs: finished ones so far.
        ended: when it was done, in seconds since 1970.
        error: what ended it, if it failed.
    """

    name: str
    state: State
    epochs: int
    ended: float | None
    error: str | None


def run_status(folder: Path) -> RunStatus:
    """The status of the run in `folder`, which need not exist."""
    now = state(folder)
    ended = (folder / RESULT).stat().st_mtime if now == "done" else None
    return RunStatus(folder.name, now, _epochs(folder), ended, _error(folder) if now == "failed" else None)


def _epochs(folder: Path) -> int:
    """The lines of `metrics.jsonl`; a last one that is being written does not count yet."""
    try:
        return (folder / EPOCHS).read_text().count("\n")
    except OSError:
        return 0


def _error(folder: Path) -> str:
    try:
        return str(json.loads((folder / FAILURE).read_text())["error"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"unreadable {FAILURE} ({type(error).__name__})"
