"""Files that are either whole or absent: temporary file, fsync, rename, fsync of the folder."""

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
    """Write `path` through the yielded file: after a crash at any moment, the old content or the new is there.

    Args:
        keep: where the old content goes; a crash may leave it there alone, with nothing at `path`.

    Raises:
        OSError: the folder is not writable or the disk is full; `path` is untouched and nothing is left behind.
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
    """What fails in the context is the writing of `path`. Raises FileError, which says so, for an OSError."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot write ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    """`path` holds `text`; after a FileError (disk full, folder read-only) it holds what it held before."""
    with writing(path), atomic(path) as file:
        file.write(text.encode())


def append_text(path: Path, text: str) -> None:
    """`text` is added to `path`, not made durable. Raises FileError; a part of `text` may then be there."""
    with writing(path), path.open("a") as file:
        file.write(text)


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Delete what writers killed in `folder` left behind; only for the one process that owns the folder."""
    for stray in folder.glob(f"{TEMPORARY}*"):
        if not stray.is_dir():  # a folder is none of theirs
            stray.unlink(missing_ok=True)
