"""The state of a run folder: locked by one process at a time, with failures on record, and its progress.

A launcher needs nothing else to be safe: `claim` the folder and train inside `failures_recorded`. A sweep that was
killed and is restarted then sees from the folders alone which runs are done, failed, running, stopped or waiting.
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
from ncf.core.outside import MEGABYTE, open_regular, read_json
from ncf.errors import DataError, NcfError
from ncf.runs.artifacts import EPOCHS, RESULT, read_result
from ncf.runs.own_files import refuse_strange_files

LOCK, FAILURE = ".lock", "failure.json"
State = Literal["done", "running", "failed", "stopped", "waiting"]

_PROBE_SECONDS = 1.0  # longer than `state` holds a lock to find out whether it is free
_TRACEBACK_LINES = 20
_LARGEST_EPOCHS = 1024 * MEGABYTE


class ClaimError(NcfError):
    """The run cannot be claimed: it is locked by another process, or its folder is not writable."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on `folder`; the operating system releases it if the process dies.

    Raises:
        ClaimError: another process holds the lock, the folder is not writable, or a file of it is a link to elsewhere.
    """
    lock = FileLock(folder / LOCK, timeout=_PROBE_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_strange_files(folder)
        lock.acquire()
    except Timeout:
        raise ClaimError(f"{folder}: run is locked by another process") from None
    except OSError as error:
        raise ClaimError(f"{folder}: expected a writable folder ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def failures_recorded(folder: Path, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Record an exception of the context in `folder` and re-raise it; if there is none, delete any older record.

    A stop (SystemExit, KeyboardInterrupt) and the exceptions `but` leave the folder unchanged.
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
    """Write `failure.json`: the error and its time. If the disk is full, the run counts as stopped instead."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"error": error, "time": time, "traceback": traceback_lines or []}
    with contextlib.suppress(OSError):
        write_text(folder / FAILURE, json.dumps(record, indent=2) + "\n")


def done(folder: Path) -> bool:
    """Return whether the run has a readable result; running one with a damaged result reports it."""
    try:
        return read_result(folder) is not None
    except DataError:
        return False


def state(folder: Path) -> State:
    """Return the state of the run; one that was claimed, but is neither locked, done nor failed, was stopped."""
    if done(folder):
        return "done"
    if not (folder / LOCK).exists():
        return "waiting"
    if _held(folder):
        return "running"
    if done(folder):  # it finished between the two checks
        return "done"
    return "failed" if (folder / FAILURE).exists() else "stopped"


def _held(folder: Path) -> bool:
    """Return whether a process holds the lock; this needs no write permission, so it works on read-only runs."""
    try:
        with open_regular(folder / LOCK, MEGABYTE, DataError) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, DataError):
        return False
    return False


@dataclass(frozen=True)
class RunStatus:
    """The status of a run, read from its folder.

    Attributes:
        name: of the folder.
        state: see `state`.
        epochs: number of finished epochs, or of a simulation's periods.
        unit: "epoch" or "period", whichever these are.
        ended: when the run finished, in seconds since 1970; None unless it is done.
        error: why it failed; None unless it did.
    """

    name: str
    state: State
    epochs: int
    unit: str
    ended: float | None
    error: str | None


def run_status(folder: Path) -> RunStatus:
    """Return the status of the run in `folder`, which need not exist."""
    now = state(folder)
    ended = (folder / RESULT).stat().st_mtime if now == "done" else None
    count, unit = _epochs(folder)
    return RunStatus(folder.name, now, count, unit, ended, failure(folder) if now == "failed" else None)


def _epochs(folder: Path) -> tuple[int, str]:
    """Count the lines of `metrics.jsonl`, without one still being written, and say what they are of."""
    with contextlib.suppress(OSError, DataError), open_regular(folder / EPOCHS, _LARGEST_EPOCHS, DataError) as file:
        first = file.read(MEGABYTE)
        unit = "period" if b'"period"' in first.partition(b"\n")[0] else "epoch"
        return first.count(b"\n") + sum(block.count(b"\n") for block in iter(lambda: file.read(MEGABYTE), b"")), unit
    return 0, "epoch"


def failure(folder: Path) -> str:
    """Return the error that `failure.json` has on record, or that it is unreadable."""
    try:
        return str(read_json(folder / FAILURE, DataError, MEGABYTE)["error"])
    except (OSError, DataError, KeyError, TypeError) as error:
        return f"unreadable {FAILURE} ({type(error).__name__})"
