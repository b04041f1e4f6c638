"""The database of tuning studies: opened by one process at a time, and never taken for what it is not.

What can go wrong with it is one line: damage is a DataError, a full disk or a read-only folder a FileError.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ncf.core.files import writing
from ncf.core.outside import open_regular
from ncf.errors import DataError, FileError, NcfError
from ncf.runs.state import LOCK, ClaimError

DATABASE = "studies.db"

_MAGIC = b"SQLite format 3\0"
_LARGEST = 2**40
_PATIENCE = 60.0  # seconds that a process waits for another study's transaction
_BUSY_SECONDS = 0.5
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_MISMATCH")
_MEND = "move it away, and the same command repeats the study from its run folders"


@contextlib.contextmanager
def opened(optuna: Any, folder: Path, name: str) -> Iterator[Any]:
    """Yield the study `name` of the database in `folder`; both are made if they are missing.

    No other process can open the study meanwhile; other studies of the database can go on.

    Raises:
        ClaimError: another process has opened the study.
        DataError: the database is damaged, or no database.
        FileError: the folder is not writable or the disk is full; this holds for the whole context.
    """
    path = folder.absolute() / DATABASE
    with writing(folder / name):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with _locked(folder / name / LOCK, _BUSY_SECONDS, f"{folder / name}: another process is tuning this study"):
        with _locked(folder / f".{DATABASE}{LOCK}", _PATIENCE, f"{path}: another process keeps it locked"):
            study = _open(optuna, path, name)
        with understood(optuna, path):
            yield study


def _open(optuna: Any, path: Path, name: str) -> Any:
    _check(path)
    with understood(optuna, path):
        try:
            storage = optuna.storages.RDBStorage("sqlite://", {"creator": lambda: _connect(path), "poolclass": _pool()})
            study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
            study.get_trials(deepcopy=False)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            raise DataError(f"{path}: cannot be read as a database of studies ({_line(error)}); {_MEND}") from None
    return study


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to `path`, whatever its name: an address of SQLAlchemy's would take `?`, `%` or `{` for its own."""
    return sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)


def _pool() -> Any:
    from sqlalchemy.pool import NullPool  # of the optional extra, like optuna

    return NullPool


def _check(path: Path) -> None:
    """Raise DataError unless `path` is missing, empty, or a sound database; a damaged one is not written to."""
    try:
        with open_regular(path, _LARGEST, DataError) as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    if start and start != _MAGIC:
        raise DataError(f"{path}: expected a database of studies (SQLite), found something else; {_MEND}")
    try:
        with contextlib.closing(_connect(path)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except UnicodeDecodeError:  # the report on the damage quotes it
        found = "its content is no text"
    except sqlite3.Error as error:
        raise _explained(path, error) from None
    if found != "ok":
        raise DataError(f"{path}: is damaged ({_line(found)}); {_MEND}")


@contextlib.contextmanager
def understood(optuna: Any, path: Path) -> Iterator[None]:
    """Turn an error of the database at `path` in the context into one line. Raises DataError and FileError."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise _explained(path, _cause(error)) from None


def _cause(error: BaseException) -> sqlite3.Error:
    """Return the error of SQLite's that lies behind one of optuna's, or the error itself."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, sqlite3.Error):
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
    return seen or sqlite3.Error(_line(error))


def _explained(path: Path, error: sqlite3.Error) -> NcfError:
    kind = getattr(error, "sqlite_errorname", "")
    if kind.startswith(_DAMAGED) or isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
        return DataError(f"{path}: is damaged ({_line(error)}); {_MEND}")
    return FileError(f"{path}: cannot write ({_line(error)}); what was saved is intact, the same command goes on")


@contextlib.contextmanager
def _locked(path: Path, seconds: float, busy: str) -> Iterator[None]:
    """Hold the lock at `path`, waiting for up to `seconds`. Raises ClaimError, saying `busy`, if another holds it."""
    lock = FileLock(path, timeout=seconds)
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            raise ClaimError(busy) from None
    try:
        yield
    finally:
        lock.release()


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."
