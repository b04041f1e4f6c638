"""Look through a torch file before torch reads it, since a small one can stand for endless work or memory.

`torch.save` writes a zip archive, uncompressed: a pickle, and a record of bytes for each storage. The pickle is a
program of a stack machine, whose memo can make one value part of many others: 30 nested pairs of the same value have
2^30 leaves, a tensor with stride 0 has as many elements as it claims, and a list can hold itself. So the program is
followed here without building anything, and what it would build is weighed.
"""

import math
import pickletools
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import torch

from ncf.core.outside import MEGABYTE

LARGEST = 64 * 1024 * MEGABYTE
_LARGEST_DIRECTORY = 4 * MEGABYTE  # of the archive: some 50,000 records
_LARGEST_PICKLE = 64 * MEGABYTE
_MOST_OPERATIONS, _MOST_CONTAINERS = 1_000_000, 100_000  # an epoch of the history takes 30, and one
_MOST_FILE_SHARE = 4  # bytes of all tensors, in sizes of the file: the same storage may be shared
_DEEPEST = 100
_ELEMENT = 64  # bytes that an element of a container counts for
_MOST_ELEMENTS = 1_000_000

_ITEM_BYTES = {
    "Bool": 1, "Byte": 1, "Char": 1, "Short": 2, "Half": 2, "BFloat16": 2, "Int": 4, "Float": 4, "Long": 8, "Double": 8,
}  # fmt: skip

_CALLED = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|tensor_v3|parameter)|collections OrderedDict|torch (Size|device)"
)
_NAMED = re.compile(rf"{_CALLED.pattern}|torch ([a-z]\w*|\w+Storage)|torch\.storage UntypedStorage")
_CHANGES = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD")


def check(file: BinaryIO, size: int) -> None:
    """Raise ValueError or zipfile.BadZipFile unless `file`, of `size` bytes, unfolds into about as much as it holds."""
    pickle = _pickle(file, size)
    if (weight := _weight(_program(pickle), _DEEPEST)[0]) > _MOST_ELEMENTS * _ELEMENT + _MOST_FILE_SHARE * size:
        raise ValueError(f"it unfolds into {weight:.2g} bytes")


class _Bounded:
    """A file of which `most` bytes can be read at once, so that no directory of an archive fills the memory."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise ValueError(f"expected at most {self.most} bytes in one piece, found {size}")
        return self._file.read(self.most if size < 0 else size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _pickle(file: BinaryIO, size: int) -> bytes:
    """Return the pickle of the archive, whose records are stored as they are and together no longer than the file."""
    bounded = _Bounded(file, _LARGEST_DIRECTORY)
    with zipfile.ZipFile(cast(BinaryIO, bounded)) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ValueError("expected records that are not compressed")
        if sum(record.file_size for record in records) > size:
            raise ValueError("expected records no longer than the file")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or max(Counter(record.filename for record in records).values()) > 1:
            raise ValueError("expected one pickle, and each record once")
        bounded.most = _LARGEST_PICKLE
        return archive.read(pickles[0])


class _Built(list[Any]):
    """What the program builds: its parts, the function that makes it, if any, and once known its weight and height."""

    __slots__ = ("bytes", "height", "maker", "weight")

    def __init__(self, parts: list[Any], maker: str = "") -> None:
        super().__init__(parts)
        self.maker, self.weight, self.height, self.bytes = maker, -1, 0, 0


def _program(pickle: bytes) -> Any:
    """Return what the program leaves on its stack: texts, numbers and None as they are, anything else as `_Built`."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    containers = 0
    operation: pickletools.OpcodeInfo
    argument: Any
    for done, (operation, argument, _) in enumerate(pickletools.genops(pickle)):
        if done > _MOST_OPERATIONS or containers > _MOST_CONTAINERS:
            raise ValueError(f"expected at most {_MOST_OPERATIONS:,} operations, {_MOST_CONTAINERS:,} containers")
        name = operation.name
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name in _CHANGES:
            parts = _taken(stack, marks.pop() if name.endswith("S") else len(stack) - (2 if name == "SETITEM" else 1))
            if name == "BUILD" and stack[-1].maker != "collections OrderedDict":
                raise ValueError("expected no other state than that of dicts")
            stack[-1].extend(parts)
        elif name == "GLOBAL" and not _NAMED.fullmatch(argument):
            raise ValueError(f"expected tensors and primitives only, found {argument[:80]!r}")
        elif (take := _TAKES.get(name)) is not None:
            stack.append(_Built(take(stack, marks)))
            containers += 1
        elif name in _LEAVES:
            stack.append(argument)
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"expected no operation {name}")
    return stack[-1]


_LEAVES = (
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "GLOBAL",
    "SHORT_BINSTRING",
)  # fmt: skip
_TAKES: dict[str, Callable[[list[Any], list[int]], list[Any]]] = {
    "EMPTY_TUPLE": lambda stack, marks: [],
    "EMPTY_LIST": lambda stack, marks: [],
    "EMPTY_DICT": lambda stack, marks: [],
    "EMPTY_SET": lambda stack, marks: [],
    "TUPLE1": lambda stack, marks: _taken(stack, len(stack) - 1),
    "TUPLE2": lambda stack, marks: _taken(stack, len(stack) - 2),
    "TUPLE3": lambda stack, marks: _taken(stack, len(stack) - 3),
    "TUPLE": lambda stack, marks: _taken(stack, marks.pop()),
    "BINPERSID": lambda stack, marks: stack.pop(),
}


def _taken(stack: list[Any], start: int) -> list[Any]:
    """Take what lies on the stack from `start` on."""
    parts = stack[start:]
    del stack[start:]
    return parts


def _called(function: Any, arguments: Any) -> _Built:
    """Return what a function gives, for a tensor with the bytes of its elements."""
    if not isinstance(function, str) or not _CALLED.fullmatch(function):
        raise ValueError(f"expected tensors and primitives only, found a call of {str(function)[:80]!r}")
    made = _Built([arguments], function)
    if "_rebuild_tensor" in function:
        storage, _, shape = arguments[:3]
        made.bytes = math.prod(shape) * _item_size(arguments[6] if function.endswith("v3") else storage[1])
    return made


def _item_size(kind: str) -> int:
    """Return the bytes of an element, by the name of its dtype or of its storage; the most there are if unknown."""
    name = kind.rpartition(" ")[2]
    dtype = getattr(torch, name, None)
    return dtype.itemsize if isinstance(dtype, torch.dtype) else _ITEM_BYTES.get(name.removesuffix("Storage"), 16)


def _weight(value: Any, depth: int) -> tuple[int, int]:
    """Return how many bytes a value stands for, each time that it is referred to, and how deeply it is nested."""
    if not isinstance(value, _Built):
        return _ELEMENT + (len(value) if isinstance(value, str) else 0), 0
    if value.weight < 0:
        if depth <= 0:
            raise ValueError(f"expected values nested at most {_DEEPEST} deep")
        parts = [_weight(part, depth - 1) for part in value]
        value.weight = _ELEMENT + value.bytes + sum(weight for weight, _ in parts)
        value.height = 1 + max((height for _, height in parts), default=0)
    if value.height > depth:
        raise ValueError(f"expected values nested at most {_DEEPEST} deep")
    return value.weight, value.height
