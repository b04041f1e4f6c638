"""Atomic, durable file writes: temporary file, fsync, rename, fsync of the folder."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from ncf.errors import FileError

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Write `path` atomically through the yielded file: after a crash it holds either the old content or the new.

    Args:
        keep: where to move the old content; a crash may leave only this copy, and nothing at `path`.

    Raises:
        OSError: the folder is not writable or the disk is full; `path` is unchanged and no temporary file is left.
    """
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
