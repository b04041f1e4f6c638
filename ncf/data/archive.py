"""Raw files on disk: members of a zip archive or folder, read by name without unpacking."""

import hashlib
import lzma
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from ncf.core.arrays import LARGEST_FILE, most_unpacked
from ncf.core.outside import open_regular
from ncf.errors import DataError

MAX_MEMBER_BYTES = 4 << 30
_CHUNK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError,
)  # fmt: skip


class Readable(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class Source(ABC):
    """Where the files of one data set are stored."""

    path: Path

    @abstractmethod
    def has(self, member: str) -> bool:
        """Return whether `member` exists."""

    @abstractmethod
    @contextmanager
    def open(self, member: str) -> Iterator[BinaryIO]:
        """Open `member` for reading bytes. Raises DataError if it is missing or damaged."""

    @abstractmethod
    def label(self, member: str) -> str:
        """Return the name of `member` for messages."""

    @abstractmethod
    def digest(self, *members: str) -> str:
        """Return the SHA-256 hex of the data on disk: the archive, or those of `members` that exist."""

    def digest_of(self, member: str) -> str:
        """Return the SHA-256 hex of the content of `member`."""
        with self.open(member) as stream:
            return sha256_of(stream)


class Folder(Source):
    """Files in a folder, with or without the archive's top-level folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _find(self, member: str) -> Path:
        full, short = self.path / member, self.path / PurePosixPath(member).name
        return full if full.exists() else short

    def has(self, member: str) -> bool:
        """Return whether `member` exists."""
        return self._find(member).exists()

    @contextmanager
    def open(self, member: str) -> Iterator[BinaryIO]:
        """Open `member` for reading bytes. Raises DataError if it cannot be read."""
        path = self._find(member)
        with open_data(path) as stream:
            yield CheckedStream(stream, str(path))  # type: ignore[misc]

    def label(self, member: str) -> str:
        """Return the path of `member`."""
        return str(self._find(member))

    def digest(self, *members: str) -> str:
        """Return the SHA-256 hex over the digests of those of `members` that exist."""
        parts = [f"{member}:{self.digest_of(member)}" for member in members if self.has(member)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Archive(Source):
    """A zip archive.

    Args:
        path: of the file.
        largest: bytes that a member may unpack to; None: 4 GiB.

    Raises:
        DataError: the file is not a zip archive, or a member is a link, points outside the archive, exceeds `largest`,
            or unpacks to far more than text does.
    """

    def __init__(self, path: Path, largest: int | None = None) -> None:
        self.path = path
        try:
            with open_data(path) as file, zipfile.ZipFile(file) as archive:
                self._members = {info.filename: info for info in archive.infolist()}
        except DataError:
            raise
        except (OSError, *_DAMAGE) as error:
            raise DataError(f"{path}: not a zip archive, or damaged ({error})") from None
        for info in self._members.values():
            _refuse_unsafe(path, info, largest or MAX_MEMBER_BYTES)

    def has(self, member: str) -> bool:
        """Return whether the archive contains `member`."""
        return member in self._members

    @contextmanager
    def open(self, member: str) -> Iterator[BinaryIO]:
        """Open `member`, decompressed as it is read. Raises DataError if it is missing, damaged or encrypted."""
        if member not in self._members:
            raise DataError(f"{self.path}: expected member {member}, which is missing")
        with ExitStack() as stack:
            file = stack.enter_context(open_data(self.path))
            try:
                archive = stack.enter_context(zipfile.ZipFile(file))
                stream = stack.enter_context(archive.open(member))
            except (OSError, *_DAMAGE) as error:
                raise DataError(f"{self.label(member)}: cannot be read ({error})") from None
            yield CheckedStream(stream, self.label(member))  # type: ignore[misc]

    def label(self, member: str) -> str:
        """Return the path of the archive, followed by `member`."""
        return f"{self.path}:{member}"

    def digest(self, *members: str) -> str:
        """Return the SHA-256 hex of the archive file."""
        return sha256_of_file(self.path)


class CheckedStream:
    """A stream that converts read errors to DataError."""

    def __init__(self, stream: Readable, label: str) -> None:
        self._stream, self._label = stream, label

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes. Raises DataError."""
        try:
            return self._stream.read(size)
        except DataError:
            raise
        except (OSError, *_DAMAGE) as error:
            raise DataError(f"{self._label}: cannot be read ({error})") from None


def user_path(text: str) -> Path:
    """Return the path that a user wrote, `~` expanded. Raises DataError if there is no such home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(f"{text}: no such file or folder ({error})") from None


def open_data(path: Path) -> BinaryIO:
    """Open a data file for reading bytes. Raises DataError if it is missing, no regular file or cannot be opened."""
    try:
        return open_regular(path, LARGEST_FILE, DataError)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file or folder") from None


def source_at(path: Path, ratings: str) -> Source:
    """Open the folder, archive or bare ratings file at `path`. Raises DataError if it is none, or lacks `ratings`."""
    if path.is_dir():
        source: Source = Folder(path)
    elif not path.exists():
        raise DataError(f"{path}: no such file or folder")
    elif path.name == PurePosixPath(ratings).name:
        source = Folder(path.parent)
    else:
        source = Archive(path)
    if not source.has(ratings):
        raise DataError(f"{path}: expected it to contain {ratings}, which is missing")
    return source


def sha256_of(stream: Readable) -> str:
    """Return the SHA-256 hex of the rest of the stream."""
    digest = hashlib.sha256()
    while data := stream.read(_CHUNK):
        digest.update(data)
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 hex of a file. Raises DataError if it cannot be read."""
    try:
        with open_data(path) as stream:
            return sha256_of(stream)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def _refuse_unsafe(path: Path, info: zipfile.ZipInfo, largest: int) -> None:
    name = info.filename.replace("\\", "/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        reason = "points outside the archive"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "is a link or special file"
    elif info.file_size > largest:
        reason = f"unpacks to {info.file_size} bytes, more than {largest}"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a bound
        reason = "is compressed by another method than deflate"
    elif info.file_size > most_unpacked(info.compress_size):
        reason = f"unpacks from {info.compress_size} to {info.file_size} bytes, as no text does"
    else:
        return
    raise DataError(f"{path}: unsafe archive, member {info.filename!r} {reason}")
