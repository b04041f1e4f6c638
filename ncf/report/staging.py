"""A report's folder: built beside what is there, swapped in file by file, and cleared of earlier reports' files alone.

`MANIFEST` lists what a report wrote, as `sha256sum` does. A later report removes a listed file that it does not make
itself, if nobody has changed it since; everything else in the folder is its owner's.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from ncf.core.files import TEMPORARY, atomic, sync_folder, write_text
from ncf.core.outside import open_regular, read_text
from ncf.core.signals import stop_flag
from ncf.errors import DataError, FileError

MANIFEST = ".report.sha256"

_STAGING = f"{TEMPORARY}report-"
_UNFINISHED = "# unfinished: tables are being replaced\n"
_TABLES = (".csv", ".gz")
_MARKS = {"README.md": b"<!-- Written by `", "results.csv": b"run,"}  # how the files of a report begin
_LINE = re.compile(r"([0-9a-f]{64})  ((?:figures/|tables/)?[\w-][\w.-]*)")
_LARGEST = 256 * 2**20  # of a file whose digest is taken


@contextlib.contextmanager
def staged(output: Path, keeps: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty folder to build a report in; afterwards its files replace those of the last report in `output`.

    After an error or a signal, `output` is as it was. After a kill it is too, or, if the kill hits the swap itself, the
    next report puts it right. A stop signal that arrives during the swap is ignored: the report is then finished.

    Args:
        output: the report's folder, made if necessary.
        keeps: names of files in `output` that the report is made from and which stay part of it.

    Raises:
        FileError: `output` cannot be written to, or has a folder where a file has to go, or the other way round.
        DataError: another process is writing a report there, or its README.md or results.csv is no report's.
    """
    made = _made(output)
    keeps = list(keeps)
    try:
        with _alone(output):
            _refuse_others(output, keeps)
            for stray in output.glob(f"{_STAGING}*"):  # of a report that was killed
                shutil.rmtree(stray, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=output))
            try:
                yield folder
                with _undisturbed():
                    _swap(folder, output, keeps)
            finally:
                with _undisturbed():
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        where, why = error.filename or output, error.strerror or error
        raise FileError(f"{where}: {why}; expected room and permission to write a report in {output}") from None
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: the report is there
                folder.rmdir()


def written(folder: Path) -> dict[str, set[str]]:
    """Return name -> digests of the files that reports wrote in `folder`, as its manifest says; empty without one."""
    return _parsed(_manifest(folder))


def refuse_unfinished(folder: Path) -> None:
    """Raise DataError if a report was killed while it replaced the tables in `folder`."""
    if _UNFINISHED in _manifest(folder):
        raise DataError(f"{folder}: expected the tables of one report, but one was killed while it replaced them; "
                        "make it again from the run folders")  # fmt: skip


def _made(output: Path) -> list[Path]:
    """Make `output`; return the folders that did not exist, innermost first."""
    absent = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{output}: expected a folder to write ({error.strerror or error})") from None
    return absent


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Hold a lock on `output`, as far as its file system has locks. Raises DataError if another process holds it."""
    descriptor = os.open(output, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{output}: another process is writing a report there") from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let stop signals wait; only the main thread gets any."""
    main = threading.current_thread() is threading.main_thread()
    with stop_flag() if main else contextlib.nullcontext():
        yield


def _swap(folder: Path, output: Path, keeps: Iterable[str]) -> None:
    """Move the files of `folder` to `output`, and remove what an earlier report made and this one does not."""
    new = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in new:
        _refuse_other_kinds(output / name)
    before, lines = written(output), {name: {_digest(path)} for name, path in new.items()}
    lines |= {name: {_digest(output / name)} for name in keeps if (output / name).exists()}
    tables = _UNFINISHED if any("/" not in name and name.endswith(_TABLES) for name in new) else ""
    both = {name: before.get(name, set()) | lines.get(name, set()) for name in before.keys() | lines.keys()}
    write_text(output / MANIFEST, tables + _formatted(both))
    for name, path in new.items():
        (output / name).parent.mkdir(exist_ok=True)
        _put(path, output / name)
    for name in before.keys() - lines.keys():
        if _unchanged(output / name, before[name]):
            (output / name).unlink()
    for part in ("figures", "tables"):
        with contextlib.suppress(OSError):
            sync_folder(output / part)
    write_text(output / MANIFEST, _formatted(lines))


def _refuse_others(output: Path, keeps: Iterable[str]) -> None:
    """Raise DataError if a file that the report would overwrite is one of the user's own."""
    for name in _MARKS.keys() - set(keeps) - written(output).keys():
        path = output / name
        if path.is_file():
            with open_regular(path, _LARGEST, DataError) as file:
                if file.read(len(_MARKS[name])) not in (b"", _MARKS[name]):
                    raise DataError(f"{path}: expected what a report wrote, found another file; name another output=")


def _put(source: Path, target: Path) -> None:
    """Move `source` to `target`, of which a link is followed and the permissions are kept."""
    target = Path(os.path.realpath(target))
    with contextlib.suppress(FileNotFoundError):
        source.chmod(stat.S_IMODE(target.stat().st_mode))
    with source.open("rb") as content:
        os.fsync(content.fileno())
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic(target) as file, source.open("rb") as content:
            shutil.copyfileobj(content, file)


def _refuse_other_kinds(path: Path) -> None:
    """Raise FileError if `path` exists and is no regular file, or its folder is none."""
    if path.parent.exists() and not path.parent.is_dir():
        raise FileError(f"{path.parent}: expected a folder, found a file; nothing was written")
    if path.exists() and not path.is_file():
        raise FileError(f"{path}: expected a file, found something else; nothing was written")


def _unchanged(path: Path, digests: set[str]) -> bool:
    """Return whether `path` is a file, no link, that is still as a report wrote it."""
    return not path.is_symlink() and path.is_file() and _digest(path) in digests


def _digest(path: Path) -> str:
    with open_regular(path, _LARGEST, FileError) as file:
        return hashlib.sha256(file.read()).hexdigest()


def _manifest(folder: Path) -> str:
    try:
        return read_text(folder / MANIFEST, DataError, 2**20)
    except FileNotFoundError:
        return ""


def _parsed(text: str) -> dict[str, set[str]]:
    """Read the lines of a manifest; one that names what no report writes, such as `../x`, is left out."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if known := _LINE.fullmatch(line):
            found.setdefault(known[2], set()).add(known[1])
    return found


def _formatted(digests: dict[str, set[str]]) -> str:
    return "".join(f"{digest}  {name}\n" for name, own in sorted(digests.items()) for digest in sorted(own))
