"""Look at the first bytes of a file that should be text: gzip is read as it unfolds, and other formats are named."""

import os
import zlib
from typing import BinaryIO

from ncf.data.archive import Readable
from ncf.errors import DataError

_GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
_FORMATS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"BZh": "bzip2-compressed data",
    b"\xfd7zXZ\0": "xz-compressed data",
    b"(\xb5/\xfd": "zstd-compressed data",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    PARQUET: "Parquet within compressed data",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "a database",
    b"%PDF": "a PDF",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_TEXT_CONTROLS = b"\t\n\r\f"
_MOST_CONTROLS = 0.1  # of the first bytes, before a file counts as binary
_ALWAYS_ALLOWED, _LARGEST_RATIO = 64 << 20, 200  # logs compress up to fifty times, a bomb a thousand times
_CHUNK = 1 << 16
_LEAST = 18  # bytes of a gzip header and trailer


def text_stream(file: BinaryIO, label: str) -> Readable:
    """Return the stream of a file's text, unfolded if it is gzip-compressed.

    Raises:
        DataError: the file is in a binary format, which is named, or would unfold to 200 times its size.
    """
    head = file.read(4096)
    file.seek(0)
    if head.startswith(_GZIP):
        return _Gzip(file, label)
    found = next((name for magic, name in _FORMATS.items() if head.startswith(magic)), None)
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    if found is None and not head.startswith(_UTF16) and controls > _MOST_CONTROLS * len(head) and len(head) > 16:
        found = "binary data"
    if found is not None:
        raise DataError(f"{label}: expected text, gzip-compressed text or Parquet, found {found}")
    return file


class _Gzip:
    """A stream that unfolds one or more gzip members, never by more than it is asked for."""

    def __init__(self, file: BinaryIO, label: str) -> None:
        self._file, self._label = file, label
        size = file.seek(0, os.SEEK_END)
        if size < _LEAST:
            raise DataError(f"{label}: cannot be read (the gzip data is cut off)")
        file.seek(-4, os.SEEK_END)
        self._most = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * size)
        declared = int.from_bytes(file.read(4), "little")  # of the last member, modulo 2**32
        if declared > self._most:
            raise DataError(
                f"{label}: expected gzip data that unfolds to at most {_LARGEST_RATIO} times its size, found an end "
                f"that declares {declared:,} bytes; it is cut off, damaged or a bomb"
            )
        file.seek(0)
        self._unfolded, self._pending = 0, b""
        self._decompressor = zlib.decompressobj(wbits=31)

    def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end. Raises DataError if the data is damaged, cut off or a bomb."""
        parts, left = [], size
        while left > 0 and (data := self._some(left)):
            parts.append(data)
            left -= len(data)
        self._unfolded += size - left
        self._count(self._unfolded)
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        """Return some bytes, none at the end."""
        while True:
            if self._decompressor.eof:
                self._pending = self._decompressor.unused_data or self._file.read(_CHUNK)
                if not self._pending:
                    return b""
                self._decompressor = zlib.decompressobj(wbits=31)
            self._pending = self._pending or self._file.read(_CHUNK)
            if not self._pending:
                raise DataError(f"{self._label}: cannot be read (the gzip data is cut off)")
            try:
                data = self._decompressor.decompress(self._pending, most)
            except zlib.error as error:
                raise DataError(f"{self._label}: cannot be read ({error})") from None
            self._pending = self._decompressor.unconsumed_tail
            if data:
                return data

    def _count(self, unfolded: int) -> None:
        if unfolded > self._most:
            raise DataError(
                f"{self._label}: expected gzip data that unfolds to at most {_LARGEST_RATIO} times its size, found "
                f"{unfolded:,} bytes or more; unpack it first if that is right"
            )
