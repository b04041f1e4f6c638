"""Give back the memory of a mapped file's pages once they have been read; they are read again if they are needed."""

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

Release = Callable[[Tensor], object]
"""What is told of each contiguous tensor that has been read to its end."""


def keep(tensor: Tensor) -> None:
    """Do nothing: what has been read stays in memory."""


def release_of(file: BinaryIO) -> Release:
    """Return what gives back the pages of tensors that are mapped from `file`, and leaves those of others alone.

    Only memory that the system says is a private mapping of this file is touched: of any other the content would be
    lost. Where the system does not say, nothing is given back.
    """
    ranges, pages = _ranges(file), mmap.PAGESIZE
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if not ranges or advise is None or not hasattr(mmap, "MADV_DONTNEED"):
        return keep
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def release(tensor: Tensor) -> None:
        start, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
        first, end = -(-start // pages) * pages, (start + size) // pages * pages  # the pages that are its own
        if first < end and any(low <= first and end <= high for low, high in ranges):
            advise(first, end - first, mmap.MADV_DONTNEED)

    return release


def _ranges(file: BinaryIO) -> list[tuple[int, int]]:
    """Return the addresses at which this process has mapped `file`."""
    status = os.fstat(file.fileno())
    own = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", str(status.st_ino)
    try:
        lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    except OSError:
        return []
    mapped = [line[0].split("-") for line in lines if (line[3], line[4]) == own and line[1].endswith("p")]
    return [(int(low, 16), int(high, 16)) for low, high in mapped]
