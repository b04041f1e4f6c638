"""Read Parquet files with pyarrow, of the extra `export`, as the same blocks that text is read as."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from ncf.data.ratings import Columns
from ncf.data.table import Block, Kind, refuse
from ncf.errors import DataError

_ROWS_AT_ONCE = 1 << 16
_LONGEST_TEXT = 1024  # bytes; an id has at most 256 characters
_ALWAYS_ALLOWED, _ROWS_PER_BYTE = 1_000_000, 8  # a row of real data takes a byte or more; a run of equal ones nothing


def parquet_columns(file: BinaryIO, label: str) -> tuple[Any, list[str]]:
    """Return pyarrow's reader of a Parquet file, and the names of its columns.

    Raises:
        DataError: pyarrow is not installed, the file is damaged, or it declares more rows than it can hold.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{label}: reading Parquet needs pyarrow; pip install 'ncf[export]'") from None
    size = file.seek(0, 2)
    try:
        texts = [c.name for c in pyarrow.parquet.ParquetFile(file).schema_arrow if pyarrow.types.is_string(c.type)]
        reader = pyarrow.parquet.ParquetFile(file, read_dictionary=texts)  # so that a repeated text is held once
        rows, names = reader.metadata.num_rows, reader.schema_arrow.names
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{label}: cannot be read as Parquet ({' '.join(str(error).split())[:200]})") from None
    if rows > max(_ALWAYS_ALLOWED, _ROWS_PER_BYTE * size):
        raise DataError(f"{label}: expected a Parquet file of data, found {rows:,} rows in {size:,} bytes")
    return reader, names


def parquet_blocks(reader: Any, label: str, wanted: Columns, kinds: Mapping[str, Kind]) -> Iterator[Block]:
    """Yield the rows of the wanted columns; what errors call a line is a row, counted from 1.

    Raises:
        DataError: a value is missing, or not of the kind of its column.
    """
    import pyarrow

    line = 1
    _refuse_long_texts(reader, label, kinds)
    try:
        for batch in reader.iter_batches(_ROWS_AT_ONCE, columns=list(kinds)):
            columns = {name: _column(batch.column(name), name, label, line, kinds[name]) for name in kinds}
            if batch.num_rows:
                yield Block(line, columns)
            line += batch.num_rows
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{label}: cannot be read as Parquet ({' '.join(str(error).split())[:200]})") from None


def _refuse_long_texts(reader: Any, label: str, kinds: Mapping[str, Kind]) -> None:
    """Raise DataError if a column unfolds into more bytes than texts of `_LONGEST_TEXT` need, before it does."""
    for group in range(reader.metadata.num_row_groups):
        rows = reader.metadata.row_group(group)
        for number in range(rows.num_columns):
            column = rows.column(number)
            if (
                column.path_in_schema in kinds
                and column.total_uncompressed_size > 2**20 + _LONGEST_TEXT * rows.num_rows
            ):
                raise DataError(
                    f"{label}: expected {column.path_in_schema} of at most {_LONGEST_TEXT} bytes, found "
                    f"{column.total_uncompressed_size:,} bytes in {rows.num_rows:,} rows"
                )


def _refuse_long_text(texts: Any, label: str, name: str) -> None:
    from pyarrow import compute, types

    if len(texts) and (types.is_string(texts.type) or types.is_large_string(texts.type)):
        longest = compute.max(compute.binary_length(texts)).as_py() or 0
        if longest > _LONGEST_TEXT:
            raise DataError(f"{label}: expected {name} of at most {_LONGEST_TEXT} bytes, found one of {longest:,}")


def _column(column: Any, name: str, label: str, line: int, kind: Kind) -> np.ndarray:
    """Return one column as int64 or object ids, float64 numbers, or text; dates become seconds, or text under iso."""
    from pyarrow import compute, types

    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        refuse(label, line + row, f"a value of {name}", "none")
    if types.is_dictionary(column.type):
        _refuse_long_text(column.dictionary, label, name)
        column = column.dictionary_decode()
    if types.is_timestamp(column.type) or types.is_date(column.type):
        if kind == "number":
            raise DataError(f"{label}: {name} holds {column.type}; data.time=iso reads dates")
        unit = "ns" if types.is_timestamp(column.type) and column.type.unit == "ns" else "us"
        column = column.cast(f"timestamp[{unit}]")  # UTC; its seconds have decimal places
        return compute.strftime(column, format="%Y-%m-%dT%H:%M:%S").to_numpy(zero_copy_only=False)
    is_whole = types.is_integer(column.type)
    if kind == "number" and (is_whole or types.is_floating(column.type)):
        numbers: np.ndarray = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        if (bad := ~np.isfinite(numbers)).any():
            refuse(label, line + int(np.flatnonzero(bad)[0]), f"{name} as a finite number", numbers[bad][0])
        return numbers
    if kind == "text" and is_whole:
        return np.asarray(column.cast("int64").to_numpy(zero_copy_only=False))
    if kind == "text" and (types.is_string(column.type) or types.is_large_string(column.type)):
        return np.asarray(column.to_numpy(zero_copy_only=False), object)
    raise DataError(f"{label}: expected {name} as {'a number' if kind == 'number' else 'whole numbers or text'}, "
                    f"found {column.type}")  # fmt: skip
