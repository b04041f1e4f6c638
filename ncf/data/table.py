"""Strict reading of delimited text: every field must have the kind of its column, or an error names file and line.

pandas reads a block of lines at once if a few byte-level checks show that it has no special case; any other block is
read line by line, by the rules below, which are the definition. Memory use is one block plus the requested columns.

- Every line has the same number of fields; an empty line is an error, a missing last newline is not.
- Windows line endings and a UTF-8 byte-order mark at the start are accepted; a lone CR or a NUL byte is an error.
- Nothing is stripped: a number with a space beside it is not a number.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
import pandas as pd

from ncf.data.archive import Readable
from ncf.errors import DataError

Kind = Literal["integer", "number", "text"]

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?")
_BOOLEAN = re.compile(rb"true|false", re.IGNORECASE)  # pandas would read a column of these as numbers
_DTYPES = {"integer": "int64", "number": "float64", "text": "str"}


@dataclass(frozen=True)
class Layout:
    """How a line is divided into fields.

    Args:
        delimiter: One character, or `::`.
        columns: Names of all columns, in file order.
        quotes: Whether a field may be in double quotes.
        encoding: `utf-8` or `latin-1`.
    """

    delimiter: str
    columns: tuple[str, ...]
    quotes: bool = False
    encoding: str = "utf-8"

    def split(self, line: str) -> list[str]:
        """Split one line into fields. Raises csv.Error for unbalanced quotes."""
        if not (self.quotes and '"' in line and len(self.delimiter) == 1):
            return line.split(self.delimiter)
        return next(csv.reader([line], delimiter=self.delimiter, strict=True), [""])


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file: `columns[name]` (rows,), and the line number of the first."""

    first_line: int
    columns: Mapping[str, np.ndarray]


def refuse(label: str, line: int, expected: str, found: object) -> NoReturn:
    """Raise a DataError that names the file, the line, what was expected and what was found."""
    shown = found if isinstance(found, str) else str(found)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise DataError(f"{label}, line {line}: expected {expected}, found {shown!r}")


def lines_of(stream: Readable, label: str) -> Iterator[bytes]:
    """Yield blocks of whole lines, each ending in a newline, without byte-order mark or Windows line endings.

    Raises:
        DataError: the file is empty or UTF-16 text, or a line is longer than 1 MiB.
    """
    rest, line, first = b"", 1, True
    while data := stream.read(BLOCK_BYTES):
        if first:
            _refuse_utf16(data, label)
            data, first = data.removeprefix(_BOM), False
        data = rest + data
        end = data.rfind(b"\n") + 1
        block, rest = data[:end].replace(b"\r\n", b"\n"), data[end:]
        line += block.count(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            refuse(label, line, f"a line of at most {MAX_LINE_BYTES} bytes", f"{len(rest)} bytes or more")
        if block:
            yield block
    if line == 1 and not rest:
        raise DataError(f"{label}: expected lines of text, found an empty file")
    if rest:
        yield rest.removesuffix(b"\r") + b"\n"


def read(blocks: Iterator[bytes], label: str, layout: Layout, kinds: Mapping[str, Kind], line: int) -> Iterator[Block]:
    """Read the columns in `kinds` of every block; text columns are object arrays of str.

    Args:
        line: Line number in the file of the first line of `blocks`.

    Raises:
        DataError: a line breaks a rule; the message names the first.
    """
    for block in blocks:
        columns = _read_fast(block, layout, kinds)
        if columns is None:
            columns = _read_lines(block, label, layout, kinds, line)
        yield Block(line, columns)
        line += block.count(b"\n")


def _read_fast(block: bytes, layout: Layout, kinds: Mapping[str, Kind]) -> dict[str, np.ndarray] | None:
    """Read the columns with pandas; return None if the block needs `_read_lines`."""
    delimiter = layout.delimiter.encode()
    if len(delimiter) > 1:
        if b"\t" in block:
            return None
        block, delimiter = block.replace(delimiter, b"\t"), b"\t"
    if not _is_plain(block, delimiter, layout, kinds) or not _is_regular(block, delimiter, layout, kinds):
        return None
    try:
        frame = pd.read_csv(
            io.BytesIO(block), sep=delimiter.decode(), header=None, names=list(layout.columns), usecols=list(kinds),
            dtype={name: _DTYPES[kind] for name, kind in kinds.items()}, quoting=csv.QUOTE_NONE, na_filter=False,
            skip_blank_lines=False, encoding=layout.encoding, engine="c",
        )  # fmt: skip
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    return _checked_frame(frame, kinds)


def _is_plain(block: bytes, delimiter: bytes, layout: Layout, kinds: Mapping[str, Kind]) -> bool:
    """Return whether pandas reads every byte of the block as the rules above do."""
    if "text" not in kinds.values() and len(kinds) == len(layout.columns):
        return not block.translate(None, b"0123456789.\n" + delimiter)
    if "integer" in kinds.values() or b'"' in block or block.startswith(_BOM) or _BOOLEAN.search(block):
        return False  # within a file, a byte-order mark is an ordinary character; pandas would drop it
    controls = bytes(c for c in [*range(0x21), 0x7F] if c not in (0x0A, delimiter[0]))
    return len(block.translate(None, controls)) == len(block)


def _is_regular(block: bytes, delimiter: bytes, layout: Layout, kinds: Mapping[str, Kind]) -> bool:
    """Return whether every line has all fields, and no integer a decimal point (which pandas would accept)."""
    codes, last = np.frombuffer(block, np.uint8), len(layout.columns) - 1
    ends, delimiters = np.flatnonzero(codes == 0x0A), np.flatnonzero(codes == delimiter[0])
    if np.any(np.diff(np.searchsorted(delimiters, ends), prepend=0) != last):
        return False
    points = np.flatnonzero(codes == 0x2E)
    columns = np.searchsorted(delimiters, points) - last * np.searchsorted(ends, points)
    return not np.isin(columns, [layout.columns.index(name) for name in kinds if kinds[name] == "integer"]).any()


def _checked_frame(frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> dict[str, np.ndarray] | None:
    """Return the frame's columns as arrays, or None if a number is not finite."""
    columns = {name: frame[name].to_numpy(object if kind == "text" else None) for name, kind in kinds.items()}
    finite = all(np.isfinite(columns[name]).all() for name, kind in kinds.items() if kind == "number")
    return columns if finite else None


def _read_lines(
    block: bytes, label: str, layout: Layout, kinds: Mapping[str, Kind], first_line: int
) -> dict[str, np.ndarray]:
    """Read the columns line by line: slow, exact, and the source of all errors about fields."""
    positions = [(name, layout.columns.index(name), kind) for name, kind in kinds.items()]
    values: dict[str, list[int | float | str]] = {name: [] for name in kinds}
    for line, raw in enumerate(block.split(b"\n")[:-1], first_line):
        fields = fields_of(raw, label, line, layout)
        for name, position, kind in positions:
            values[name].append(_convert(fields[position], kind, name, label, line))
    dtypes: dict[str, type] = {"integer": np.int64, "number": np.float64, "text": object}
    return {name: np.array(values[name], dtypes[kinds[name]]) for name in kinds}


def fields_of(raw: bytes, label: str, line: int, layout: Layout) -> list[str]:
    """Split one line, without its newline, into fields. Raises DataError naming the line."""
    fields = _split_line(raw, label, line, layout)
    if len(fields) != len(layout.columns):
        separator = {"\t": "tabs", "::": "'::'"}.get(layout.delimiter, repr(layout.delimiter))
        expected = f"{len(layout.columns)} fields ({', '.join(layout.columns)}) separated by {separator}"
        refuse(label, line, expected, f"{len(fields)}: {raw.decode(layout.encoding)}" if raw else "an empty line")
    return fields


def _split_line(raw: bytes, label: str, line: int, layout: Layout) -> list[str]:
    if b"\0" in raw or b"\r" in raw:
        refuse(label, line, "text without NUL bytes or lone carriage returns", raw.decode("latin-1"))
    try:
        return layout.split(raw.decode(layout.encoding))
    except UnicodeDecodeError as error:
        refuse(label, line, f"{layout.encoding} text", f"byte 0x{raw[error.start]:02x} at column {error.start + 1}")
    except csv.Error as error:
        refuse(label, line, "matching quotes", f"{raw.decode(layout.encoding)} ({error})")


def _convert(text: str, kind: Kind, name: str, label: str, line: int) -> int | float | str:
    if kind == "text":
        return text
    if kind == "integer":
        if not _INTEGER.fullmatch(text) or not -(2**63) <= (value := int(text)) < 2**63:
            refuse(label, line, f"{name} as a 64-bit integer", text)
        return value
    if not _NUMBER.fullmatch(text) or not np.isfinite(number := float(text)):
        refuse(label, line, f"{name} as a finite number", text)
    return number


def header_of(blocks: Iterator[bytes], label: str, layout: Layout) -> tuple[list[str], Iterator[bytes]]:
    """Return the fields of the first line, however many, and the blocks without it. Raises DataError if invalid."""
    head, _, rest = next(blocks).partition(b"\n")
    return _split_line(head, label, 1, layout), _chain(rest, blocks)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _refuse_utf16(data: bytes, label: str) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        refuse(label, 1, "UTF-8 text", "UTF-16 text (re-save the file as UTF-8)")
