"""Any delimited text file of users, items and, optionally, ratings and timestamps; also RecBole atomic files."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from omegaconf import OmegaConf
from pydantic import Field

from ncf.core.roles import MACHINE
from ncf.data.archive import Folder, sha256_of_file, user_path
from ncf.data.cache import cached
from ncf.data.interactions import Duplicates, Interactions, digest_of, positives
from ncf.data.ratings import Columns, Ratings, Scale, collect
from ncf.data.table import Layout, header_of, lines_of, read, refuse
from ncf.errors import ConfigError, DataError

_TYPED = re.compile(r"(.+):(token|float|token_seq|float_seq)")
Column = Annotated[str, Field(min_length=1)]


def delimited(
    *,
    root: Annotated[str, MACHINE],
    archive: Annotated[str, MACHINE],
    threshold: float | None,
    duplicates: Duplicates,
    delimiter: Annotated[str, Field(pattern='^([^"\\r\\n]|::)$')],
    user: Column,
    item: Column,
    rating: Column | None,
    timestamp: Column | None,
    columns: list[Column] | None,
    scale: Annotated[list[float], Field(min_length=3, max_length=3)] | None,
    sha256: str | None,
) -> Interactions:
    """Load the positives of the file at `archive`.

    Args:
        columns: Names of all columns, for a file without a header line; None: the first line is the header.
        sha256: Expected SHA-256 hex of the file, which identifies the data of a run; None: not verified.

    Raises:
        ConfigError: settings contradict each other.
        DataError: the file does not match the settings; the message gives file and line.
    """
    if rating is None and threshold is not None:
        raise ConfigError(f"data.threshold: expected null, because data.rating is null, got {threshold}")
    wanted, allowed = Columns(user, item, rating, timestamp), None if scale is None else Scale.of(scale)
    path = user_path(archive)
    if not path.exists():
        raise DataError(f"data.archive: no such file: {path}")
    source = Folder(path.parent)
    settings = {
        "threshold": threshold, "duplicates": duplicates, "delimiter": delimiter, "columns": columns,
        "wanted": [user, item, rating, timestamp],
    }  # fmt: skip
    found = source.digest_of(path.name)
    if sha256 not in (None, found):
        raise DataError(f"{path}: expected SHA-256 {sha256} (data.sha256), found {found}")
    digest = digest_of(ratings=found, **settings)

    def build() -> Interactions:
        ratings = read_ratings(path, delimiter, columns, wanted, allowed)
        if source.digest_of(path.name) != found:
            raise DataError(f"{path}: the file changed while it was being read")
        return positives(ratings, None, path.stem, digest, threshold, duplicates)

    return cached(Path(root), "csv", digest_of(data=digest, scale=scale, name=path.stem), build)


def read_ratings(path: Path, delimiter: str, names: list[str] | None, wanted: Columns, scale: Scale | None) -> Ratings:
    """Read all rows of the file. Raises DataError naming the first invalid line."""
    label = str(path)
    with Folder(path.parent).open(path.name) as stream:
        blocks, line = lines_of(stream, label), 1
        if names is None:
            names, blocks = _header(blocks, label, delimiter)
            line = 2
        layout, kinds = Layout(delimiter, tuple(names), quotes=True), wanted.kinds("text", "number")
        if len(set(names)) < len(names):
            refuse(label, 1, "each column name once", ", ".join(names))
        for name in kinds:
            if name not in names:
                refuse(label, 1, f"a column {name!r}", ", ".join(names))
        return collect(read(blocks, label, layout, kinds, line), label, wanted, scale, line)


def _header(blocks: Iterator[bytes], label: str, delimiter: str) -> tuple[list[str], Iterator[bytes]]:
    """Return the column names, without RecBole's type suffixes (`user_id:token`), and the remaining lines."""
    names, blocks = header_of(blocks, label, Layout(delimiter, (), quotes=True))
    typed = [_TYPED.fullmatch(name) for name in names]
    return [match[1] for match in typed if match] if all(typed) else names, blocks


def _sha256(archive: Any) -> str | None:
    """Return the SHA-256 hex of the file at `archive`; None if it cannot be read, which the loader will report."""
    try:
        path = user_path(str(archive))
        status = path.stat()
        return _sha256_at(path, status.st_mtime_ns, status.st_size)
    except (DataError, OSError, ValueError):
        return None


@cache  # a sweep asks once per run
def _sha256_at(path: Path, modified: int, size: int) -> str:
    return sha256_of_file(path)


OmegaConf.register_new_resolver("sha256", _sha256, replace=True)
