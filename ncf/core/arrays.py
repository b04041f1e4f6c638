"""Read .npz and .npy files from outside: nothing but arrays, none larger than the bytes that its file holds for it."""

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from ncf.core.outside import MEGABYTE, open_regular
from ncf.errors import NcfError

LARGEST_FILE = 2**40
"""The largest data file that is opened, 1 TiB: what users have measured is theirs to judge."""

_ALWAYS_ALLOWED = 16 * MEGABYTE
_LARGEST_RATIO = 30  # text and numbers compress 3 to 10 times, a bomb a thousand times


def most_unpacked(packed: int) -> int:
    """Return how many bytes `packed` compressed bytes may unfold into: thirty times as many, or 16 MiB."""
    return max(_ALWAYS_ALLOWED, _LARGEST_RATIO * packed)


def read_arrays(path: Path, error: type[NcfError]) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file by name, without unpickling anything.

    Raises:
        FileNotFoundError: there is no such file.
        NcfError: of the type `error`: it is no regular file, no .npz file, damaged, or would unfold out of proportion.
    """
    with open_regular(path, LARGEST_FILE, error) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return {info.filename.removesuffix(".npy"): _read(archive, info) for info in archive.infolist()}
        except MemoryError:
            raise
        except Exception as cause:  # a damaged archive can fail in many ways
            raise error(f"{path}: cannot be read ({' '.join(str(cause).split())[:200]})") from None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Read one array. Raises ValueError, before memory is taken, if its shape and its bytes disagree."""
    allowed = {zipfile.ZIP_STORED: info.compress_size, zipfile.ZIP_DEFLATED: most_unpacked(info.compress_size)}
    if info.file_size > allowed.get(info.compress_type, -1):
        raise ValueError(f"{info.filename} would unfold from {info.compress_size} to {info.file_size} bytes")
    with archive.open(info) as member:
        shape, dtype = _header(member)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != info.file_size - member.tell():
            raise ValueError(f"{info.filename} does not hold an array of shape {shape} and type {dtype}")
    with archive.open(info) as member:
        array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        return array


def mapped(path: Path, error: type[NcfError]) -> np.ndarray:
    """Return the array of a .npy file, memory-mapped: only what is looked at is read, and changes are kept private.

    Raises:
        FileNotFoundError: there is no such file.
        NcfError: of the type `error`: it is no regular file, no .npy file or damaged, or it holds objects.
    """
    with open_regular(path, LARGEST_FILE, error) as file:
        try:
            shape, dtype = _header(file)
            if dtype.hasobject or math.prod(shape) * dtype.itemsize != os.fstat(file.fileno()).st_size - file.tell():
                raise ValueError(f"it does not hold an array of shape {shape} and type {dtype}")
            return np.memmap(file, dtype, "c", file.tell(), shape)
        except (ValueError, KeyError, OSError) as cause:
            raise error(f"{path}: cannot be read ({' '.join(str(cause).split())[:200]})") from None


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(member)](member)
    return shape, dtype
