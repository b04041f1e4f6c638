"""Read a table of features: a delimited text file with a header, whose first column is the id.

A column's kind may stand behind its name, as in `plot:text`: number, category or text; or float, token and token_seq,
as in RecBole's files. Without one, a column whose values are all numbers is of numbers, one in which at most half of
the values differ, or that has a `|`, is a category, and any other is text. An empty field is an unknown value. A
category field may hold several, separated by `|`.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ncf.data.archive import CheckedStream, Source, open_data, sha256_of_file
from ncf.data.compressed import text_stream
from ncf.data.table import Layout, header_of, lines_of, read, refuse
from ncf.errors import DataError

Kind = Literal["number", "category", "text"]

_KINDS: Mapping[str, Kind] = {
    "number": "number", "category": "category", "text": "text",
    "float": "number", "token": "category", "token_seq": "text",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_TABBED = (".tsv", ".tab", ".item", ".user")
_MOST_ROWS, _MOST_BYTES, _MOST_COLUMNS = 20_000_000, 1 << 30, 1000


@dataclass(frozen=True)
class Column:
    """One feature: `values` (R,) are float64 with NaN for unknown, or text with "" for unknown."""

    name: str
    kind: Kind
    values: np.ndarray


@dataclass(frozen=True)
class Rows:
    """A table as it stands in a file: `ids` (R,) of text, and columns in the same order."""

    label: str
    ids: np.ndarray
    columns: list[Column]


def read_feature_file(path: Path, what: str, sha256: str | None = None) -> Rows:
    """Read the features of items or users from the file at `path`, also gzipped.

    Args:
        what: "item" or "user", for messages.
        sha256: expected SHA-256 hex of the file; None: not verified.

    Raises:
        DataError: the file is missing, not as the head of this module says, or changed; the message gives the line.
    """
    if not path.exists():
        raise DataError(f"data.{what}_features: no such file: {path}")
    if sha256 is not None and (found := sha256_of_file(path)) != sha256:
        raise DataError(f"{path}: expected SHA-256 {sha256} (data.{what}_features_sha256), found {found}")
    label, delimiter = str(path), "\t" if path.name.removesuffix(".gz").endswith(_TABBED) else ","
    layout = Layout(delimiter, (), quotes=True)
    with open_data(path) as file:
        blocks = _bounded(lines_of(CheckedStream(text_stream(file, label), label), label), label)
        names, rest = header_of(blocks, label, layout)
        return _rows(label, [_split_name(name) for name in names], rest, layout, 2)


def read_official_users(source: Source, member: str, encoding: str) -> Rows | None:
    """Read age, gender and occupation of MovieLens's users from `member`; None if `source` lacks it.

    Raises:
        DataError: a line does not parse; the message gives its number.
    """
    if not source.has(member):
        return None
    file, label = member.rpartition("/")[2], source.label(member)
    delimiter, names, header = _OFFICIAL[file]
    layout = Layout(delimiter, (), encoding=encoding)
    with source.open(member) as stream:
        blocks = _bounded(lines_of(stream, label), label)
        if header:
            _, blocks = header_of(blocks, label, layout)
        rows = _rows(label, names, blocks, layout, 1 + header)
    return Rows(label, rows.ids, [column for column in rows.columns if column.name != "zip"])


_OFFICIAL: Mapping[str, tuple[str, list[tuple[str, Kind | None]], bool]] = {
    "u.user": ("|", [("id", None), ("age", "number"), ("gender", "category"), ("occupation", "category"),
                     ("zip", "category")], False),
    "ml-100k.user": ("\t", [("id", None), ("age", "number"), ("gender", "category"), ("occupation", "category"),
                            ("zip", "category")], True),
    "users.dat": ("::", [("id", None), ("gender", "category"), ("age", "number"), ("occupation", "category"),
                         ("zip", "category")], False),
}  # fmt: skip


def _bounded(blocks: Iterator[bytes], label: str) -> Iterator[bytes]:
    """Yield the blocks. Raises DataError once there are more bytes or lines than features are read from."""
    size = lines = 0
    for block in blocks:
        size, lines = size + len(block), lines + block.count(b"\n")
        if size > _MOST_BYTES or lines > _MOST_ROWS:
            raise DataError(f"{label}: expected at most {_MOST_ROWS:,} lines in {_MOST_BYTES:,} bytes, found more")
        yield block


def _split_name(name: str) -> tuple[str, Kind | None]:
    """Return the name of a column and the kind that stands behind it, if any."""
    own, colon, kind = name.rpartition(":")
    return (own, _KINDS[kind]) if colon and kind in _KINDS else (name, None)


def _rows(
    label: str, names: list[tuple[str, Kind | None]], blocks: Iterator[bytes], layout: Layout, first_line: int
) -> Rows:
    plain = [name for name, _ in names]
    if len(names) < 2 or len(set(plain)) < len(plain) or not all(plain):
        refuse(label, 1, "a header of an id and at least one feature, each name once", ", ".join(plain))
    if len(names) > _MOST_COLUMNS:
        refuse(label, 1, f"at most {_MOST_COLUMNS} columns", f"{len(names)}")
    layout = Layout(layout.delimiter, tuple(plain), layout.quotes, layout.encoding)
    parts = [b.columns for b in read(blocks, label, layout, dict.fromkeys(plain, "text"), first_line)]
    if not parts:
        raise DataError(f"{label}: expected at least one line after the header, found none")
    values = {name: np.concatenate([part[name] for part in parts]) for name in plain}
    ids = values.pop(plain[0])
    _refuse_ids(label, ids, first_line)
    kinds = dict(names)
    return Rows(label, ids, [_column(label, n, kinds[n], v, first_line) for n, v in values.items()])


def _refuse_ids(label: str, ids: np.ndarray, first_line: int) -> None:
    repeated, empty = pd.Series(ids).duplicated().to_numpy(), ids == ""
    if empty.any():
        refuse(label, first_line + int(empty.argmax()), "an id in the first column", "")
    if repeated.any():
        row = int(repeated.argmax())
        first = int((ids == ids[row]).argmax())
        refuse(label, first_line + row, f"each id once (first on line {first_line + first})", f"{ids[row]} again")


def _column(label: str, name: str, kind: Kind | None, values: np.ndarray, first_line: int) -> Column:
    """Return a column of its kind, or of the one that its values suggest. Raises DataError for no number."""
    numeric = np.fromiter((not text or bool(_NUMBER.fullmatch(text)) for text in values), bool, len(values))
    if kind is None:
        kind = "number" if numeric.all() and (values != "").any() else _guessed(values)
    if kind != "number":
        return Column(name, kind, values)
    if not numeric.all():
        row = int((~numeric).argmax())
        refuse(label, first_line + row, f"{name} as a number", values[row])
    numbers = np.array([float(text) if text else np.nan for text in values])
    if (beyond := np.isinf(numbers)).any():
        row = int(beyond.argmax())
        refuse(label, first_line + row, f"{name} as a number below 1.8e308", values[row])
    return Column(name, kind, numbers)


def _guessed(values: np.ndarray) -> Kind:
    known = [text for text in values if text]
    several = any("|" in text for text in itertools.islice(known, 10_000))
    return "category" if several or 2 * len(set(known)) <= len(known) else "text"
