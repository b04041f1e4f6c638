"""Write a table as Parquet, by parts that know what they are of: a part that is there already is not made again.

Each part is a file that is there whole or not at all. Its metadata names the run, its weights and data, the options and
which part of how many it is. A folder that holds anything else is refused, so that parts of two tables never mix.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.core.files import TEMPORARY, atomic
from ncf.core.outside import MEGABYTE, open_regular
from ncf.core.shares import Share
from ncf.errors import ConfigError
from ncf.runs.loading import finished

FORMAT = 1
SUFFIX = ".parquet"
_KEY = b"ncf"
_GROUP = 32 * MEGABYTE  # of one row group, and so about what a writer holds
_LARGEST = 1024 * 1024 * MEGABYTE
_PART = re.compile(rf"part-(\d{{5}})-of-(\d{{5}}){re.escape(SUFFIX)}")


Block = tuple[pd.DataFrame, np.ndarray]
"""Rows (N,), and which of them to write (N,) bool: a part computes what the whole would, whole blocks of users."""


@dataclass(frozen=True)
class Table:
    """A table to be written: to a file, or as one part of a folder.

    Attributes:
        path: of the file or folder.
        share: which part; None: the whole, to the file `path`.
        made_of: what the rows follow from, as JSON knows it.
    """

    path: Path
    share: Share | None
    made_of: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The file that is written."""
        return self.path if self.share is None else self.path / self.share.file_name(SUFFIX)

    def missing(self) -> bool:
        """Return whether the file has yet to be written, a whole one also if it is of another table.

        Of parts make the folder, and clear what a killed writer left of this one.

        Raises:
            ConfigError: pyarrow is not installed, the folder holds parts of another table, or cannot be written to.
        """
        _pyarrow()
        if self.share is None:
            return self._differs()
        with naming(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise ConfigError(f"output: expected a folder, found a file at {self.path}")
            self.path.mkdir(parents=True, exist_ok=True)
            for name in sorted(path.name for path in self.path.iterdir()):
                if name.startswith(f"{TEMPORARY}{self.file.name}-"):
                    (self.path / name).unlink(missing_ok=True)
                elif not name.startswith((".", "_")):  # which readers of Parquet leave out
                    self._refuse_other(name)
        return not self.file.exists()

    def _differs(self) -> bool:
        if not self.file.is_file():
            return True
        return _description(self.file) != json.loads(json.dumps(self._description(0)))

    def _refuse_other(self, name: str) -> None:
        """Raise ConfigError unless `name`, found in the folder, is a part of this table."""
        assert self.share is not None
        advice = f"delete it, or take another folder than {self.path}"
        number = _PART.fullmatch(name)
        if number is None:
            raise ConfigError(f"output: expected only parts of this table, found {name}; {advice}")
        if int(number[2]) != self.share.parts:
            raise ConfigError(f"output: expected a table of {_parts(self.share.parts)}, found {name}; {advice}")
        found = _description(self.path / name)
        if found is None:
            raise ConfigError(f"output: expected parts of this table, found {name}, which is not one; {advice}")
        expected = json.loads(json.dumps(self._description(int(number[1]))))
        for key in expected | found:
            if expected.get(key) != found.get(key):
                raise ConfigError(
                    f"output: expected parts of this table, found {name} of another one ({key}: "
                    f"expected {_shown(expected.get(key))}, found {_shown(found.get(key))}); {advice}"
                )

    def _description(self, part: int) -> dict[str, Any]:
        parts = 1 if self.share is None else self.share.parts
        return {**self.made_of, "format": FORMAT, "part": f"{part}/{parts}"}

    def write(self, blocks: Iterable[Block]) -> None:
        """Write the rows of `blocks`, at least one, all with the same columns; hold only some megabytes of them.

        Raises:
            ConfigError: it cannot be written; what was there before is unchanged.
        """
        pa = _pyarrow()
        remaining = iter(blocks)
        first = next(remaining)
        description = json.dumps(self._description(0 if self.share is None else self.share.part)).encode()
        schema = _schema(first[0])
        schema = schema.with_metadata({**schema.metadata, _KEY: description})
        tables = (_rows(block, schema) for block in itertools.chain([first], remaining))
        with naming(self.file), atomic(self.file) as file, pa.parquet.ParquetWriter(file, schema) as writer:
            for group in _groups(tables):
                writer.write_table(pa.concat_tables(group).combine_chunks())


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _parts(number: int) -> str:
    return "1 part" if number == 1 else f"{number} parts"


def made_of(folder: Path, what: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a table of the finished run in `folder` follows from. Raises DataError if it is not one."""
    result = finished(folder)
    return {
        "table": what, "run": result["config_hash"], "weights": result.get("weights_sha256"),
        "data": result["data_digest"], **options,
    }  # fmt: skip


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Convert an OSError raised in the context to a ConfigError that names `path`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"output: cannot write {path} ({error.strerror or error})") from None


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("format=parquet: pyarrow is not installed; pip install 'ncf[export]'") from None
    return pyarrow


def _description(path: Path) -> dict[str, Any] | None:
    """Return what a part says of itself; None if the file is no part."""
    with open_regular(path, _LARGEST, ConfigError) as file:
        try:
            found = json.loads(_pyarrow().parquet.read_schema(file).metadata[_KEY])
        except (OSError, KeyError, TypeError, ValueError, RecursionError):  # ArrowInvalid is a ValueError
            return None
    return found if isinstance(found, dict) else None


def _schema(frame: pd.DataFrame) -> Any:
    """Return the Parquet types of the columns of a frame with rows, whichever of these are written."""
    pa = _pyarrow()
    types = pa.schema([(name, _type(pa, frame[name])) for name in frame])
    return pa.Table.from_pandas(frame.iloc[:0], types, preserve_index=False).schema


def _type(pa: Any, column: "pd.Series[Any]") -> Any:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return pa.from_numpy_dtype(column.dtype)
    if len(column) and isinstance(column.iloc[0], np.ndarray):
        return pa.list_(pa.from_numpy_dtype(column.iloc[0].dtype))
    return pa.string()


def _rows(block: Block, schema: Any) -> Any:
    frame, wanted = block
    return _pyarrow().Table.from_pandas(frame[wanted], schema, preserve_index=False)


def _groups(tables: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield tables together, as many as make a row group."""
    group: list[Any] = []
    size = 0
    for table in tables:
        group.append(table)
        size += table.nbytes
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
