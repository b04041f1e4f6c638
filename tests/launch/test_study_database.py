"""The database of studies: a damaged one is refused untouched, and many processes on a new one get along."""

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from data_helpers import full_disk
from studies import quick_disk  # noqa: F401  a fixture of every test

from ncf.errors import DataError, FileError
from ncf.launch import study_database
from ncf.launch.study_database import DATABASE, opened
from ncf.runs.state import ClaimError

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of a database of a study with trials."""
    folder = tmp_path_factory.mktemp("sound")
    with opened(optuna, folder, "study") as study:
        for value in range(3):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            study.tell(trial, value)
    return (folder / DATABASE).read_bytes()


def test_a_study_is_found_again(tmp_path: Path, sound: bytes) -> None:
    (tmp_path / DATABASE).write_bytes(sound)
    with opened(optuna, tmp_path, "study") as study:
        assert [trial.value for trial in study.trials] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["text", "pipe", "folder", "device", "zeros"])
def test_what_is_no_database_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    make = {
        "text": lambda: path.write_text("trial,value\n"),
        "zeros": lambda: path.write_bytes(bytes(8192)),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
    }
    make[kind]()
    with pytest.raises(DataError, match=rf"^{path}: expected a ") as error, opened(optuna, tmp_path, "study"):
        pass
    assert "\n" not in str(error.value)


def test_no_truncated_database_is_written_to_or_a_traceback(tmp_path: Path, sound: bytes) -> None:
    refused, path = 0, tmp_path / DATABASE
    for size in range(1, len(sound), len(sound) // 40):
        path.write_bytes(sound[:size])
        with pytest.raises(DataError, match="move it away, and the same command"), opened(optuna, tmp_path, "study"):
            pass
        assert path.read_bytes() == sound[:size]
        refused += 1
    assert refused > 30


@pytest.mark.slow
def test_overwritten_bytes_are_one_line_or_do_not_matter(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / DATABASE
    for place in range(100, len(sound), len(sound) // 15):
        path.write_bytes(sound[:place] + b"\xff" * 64 + sound[place + 64 :])
        with contextlib.suppress(DataError, FileError), opened(optuna, tmp_path, "study") as study:
            study.tell(study.ask(), 1.0)


def test_a_database_of_another_version_is_one_line(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / DATABASE
    path.write_bytes(sound)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    connection.close()
    with pytest.raises(DataError, match=r"The runtime optuna version .* is no longer compatible"):
        opened(optuna, tmp_path, "study").__enter__()


def dying_connection(call: int) -> Callable[[Path], sqlite3.Connection]:
    """Connect, and end the process as it were at statement number `call`."""
    calls = itertools.count()

    class Cursor(sqlite3.Cursor):
        def execute(self, *given: object) -> sqlite3.Cursor:
            if next(calls) == call:
                raise KeyboardInterrupt
            return super().execute(*given)  # type: ignore[arg-type]

    class Connection(sqlite3.Connection):
        def cursor(self, *given: object) -> sqlite3.Cursor:  # type: ignore[override]
            return super().cursor(Cursor)

    return lambda path: sqlite3.connect(path, factory=Connection, check_same_thread=False)


@pytest.mark.slow
def test_a_creation_that_was_cut_short_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = 0
    for call in range(0, 1000, 11):
        folder = tmp_path / str(call)
        with monkeypatch.context() as patch:
            patch.setattr(study_database, "_connect", dying_connection(call))
            try:
                with opened(optuna, folder, "study"):
                    break
            except KeyboardInterrupt:
                cuts += 1
        with opened(optuna, folder, "study") as study:
            study.tell(study.ask(), 1.0)
    assert cuts > 5


def test_a_full_disk_leaves_what_was_saved(tmp_path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # optuna's, before it tries again
    (tmp_path / DATABASE).write_bytes(sound)

    def lost() -> None:
        with opened(optuna, tmp_path, "study") as study, full_disk(4096):
            study.tell(study.ask(), 1.0)

    with pytest.raises(FileError, match="what was saved is intact"):
        lost()
    with opened(optuna, tmp_path, "study") as study:
        assert [trial.value for trial in study.trials][:3] == [0, 1, 2]


def test_an_error_that_is_not_the_database_s_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), opened(optuna, tmp_path, "study"):
        raise PermissionError


def test_a_study_is_opened_once_and_another_beside_it(tmp_path: Path) -> None:
    with opened(optuna, tmp_path, "one"):
        with pytest.raises(ClaimError, match="one: another process is tuning this study"):
            opened(optuna, tmp_path, "one").__enter__()
        with opened(optuna, tmp_path, "two") as study:
            study.tell(study.ask(), 1.0)


def test_a_new_folder_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    def begin(number: int) -> int:
        with opened(optuna, tmp_path / "new", f"study {number}") as study:
            study.tell(study.ask(), 1.0)
            return len(study.trials)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(begin, range(6))) == [1] * 6
