"""Give back the memory of a mapped file's pages once they have been read; they are read again if they are needed."""

import ctypes
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torch import Tensor


@dataclass(frozen=True)
class Mapped:
    """Where a file is mapped.

    Attributes:
        ranges: first address, and the one after the last, of each private mapping; none by default.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    def give_back(self, tensor: Tensor) -> None:
        """Give back the pages of a contiguous tensor (...), if they are those of the file: others would be lost."""
        start, size, page = tensor.data_ptr(), tensor.numel() * tensor.element_size(), mmap.PAGESIZE
        first, end = -(-start // page) * page, (start + size) // page * page  # the pages that are its own
        advise = getattr(ctypes.CDLL(None), "madvise", None)
        if first < end and advise is not None and any(low <= first and end <= high for low, high in self.ranges):
            advise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED)


NOWHERE = Mapped()


def mapped_at(file: BinaryIO) -> Mapped:
    """Return where this process has mapped `file`; nowhere if the system does not say, and nothing is given back."""
    status = os.fstat(file.fileno())
    own = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", str(status.st_ino)
    try:
        lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    except OSError:
        return NOWHERE
    mapped = [line[0].split("-") for line in lines if (line[3], line[4]) == own and line[1].endswith("p")]
    return Mapped(tuple((int(low, 16), int(high, 16)) for low, high in mapped))
