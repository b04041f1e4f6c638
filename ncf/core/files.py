"""Atomic, durable file writes: temporary file, fsync, rename, fsync of the folder."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from ncf.errors import FileError

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Write `path` atomically through the yielded file: after a crash it holds either the old content or the new.

    A link is followed. An existing file keeps its permissions, a new one has those that the umask allows. What is no
    regular file, such as a pipe or /dev/stdout, is written to in place.

    Args:
        keep: where to move the old content; a crash may leave only this copy, and nothing at `path`.

    Raises:
        OSError: the folder is not writable or the disk is full; `path` is unchanged and no temporary file is left.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as file:
            yield cast(BinaryIO, file)
        return
    temporary = target.with_name(f"{TEMPORARY}{target.name[:100]}-{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
        if keep is not None and mode is not None:
            target.replace(keep)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _mode(path: Path) -> int | None:
    """Return the kind and permissions of the file at `path`, None if there is none."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an OSError raised in the context to a FileError that names `path`."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot write ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically. Raises FileError (disk full, folder read-only); `path` is then unchanged."""
    with writing(path), atomic(path) as file:
        file.write(text.encode())


def append_text(path: Path, text: str) -> None:
    """Append `text` to `path`, without fsync. Raises FileError; part of `text` may then have been written."""
    with writing(path), path.open("a") as file:
        file.write(text)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Delete temporary files that killed writers left in `folder`; call this only from the process that owns it."""
    for stray in folder.glob(f"{TEMPORARY}*"):
        if not stray.is_dir():  # writers leave only files
            stray.unlink(missing_ok=True)
