"""Any delimited text file of users, items and, optionally, ratings and timestamps; also RecBole atomic files."""

import itertools
import logging
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from omegaconf import OmegaConf
from pydantic import Field

from ncf.core.config import spelled
from ncf.core.roles import MACHINE, Role
from ncf.data.archive import CheckedStream, Folder, open_data, sha256_of_file, user_path
from ncf.data.cache import cached
from ncf.data.compressed import PARQUET, text_stream
from ncf.data.features import FeatureDigest, FeaturePath, with_features
from ncf.data.interactions import Duplicates, Interactions, Least, core, digest_of, positives
from ncf.data.parquet import parquet_blocks, parquet_columns
from ncf.data.ratings import Columns, Ratings, Scale, collect
from ncf.data.table import Layout, header_of, lines_of, read, refuse
from ncf.data.times import Time
from ncf.errors import ConfigError, DataError

_TYPED = re.compile(r"(.+):(token|float|token_seq|float_seq)")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_PADDED_ID = re.compile(r"\s.*|.*\s|[+-]?[0-9]+\.0+", re.DOTALL)
_TABBED = (".tsv", ".tab", ".inter")
_log = logging.getLogger(__name__)

Column = Annotated[str, Field(min_length=1)]


def delimited(
    *,
    root: Annotated[str, MACHINE],
    archive: Annotated[str, MACHINE],
    threshold: float | None,
    duplicates: Duplicates,
    delimiter: Annotated[str, spelled('[^"\\r\\n]|::|tab|\\\\t', "one character, or :: or tab")],
    user: Column,
    item: Column,
    rating: Column | None,
    timestamp: Column | None,
    time: Annotated[Time, Role(since="s")],
    columns: list[Column] | None,
    scale: Annotated[list[float], Field(min_length=3, max_length=3)] | None,
    min_user_positives: Least,
    min_item_positives: Least,
    sha256: str | None,
    item_features: FeaturePath,
    item_features_sha256: FeatureDigest,
    user_features: FeaturePath,
    user_features_sha256: FeatureDigest,
) -> Interactions:
    """Load the positives of the file at `archive`.

    Args:
        columns: Names of all columns, for a file without a header line; None: the first line is the header, unless it
            holds the values of `user`, `item`, `rating` and `timestamp`, in this order and nothing else.
        sha256: Expected SHA-256 hex of the file, which identifies the data of a run; None: not verified.

    Raises:
        ConfigError: settings contradict each other.
        DataError: the file does not match the settings; the message gives file and line.
    """
    _refuse_threshold_without_ratings(rating, threshold)
    wanted, allowed = Columns(user, item, rating, timestamp, time), None if scale is None else Scale.of(scale)
    delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
    path = user_path(archive)
    if not path.exists():
        raise DataError(f"data.archive: no such file: {path}")
    source = Folder(path.parent)
    settings = {
        "threshold": threshold, "duplicates": duplicates, "delimiter": delimiter, "columns": columns,
        "wanted": [user, item, rating, timestamp], **({} if time == "s" else {"time": time}),
    }  # fmt: skip
    found = source.digest_of(path.name)
    if sha256 not in (None, found):
        raise DataError(f"{path}: expected SHA-256 {sha256} (data.sha256), found {found}")
    digest = digest_of(ratings=found, **settings)

    def build() -> Interactions:
        """Read the file, which may not change meanwhile."""
        _log.info("csv: preparing the data at %s", path)
        ratings = read_ratings(path, delimiter, columns, wanted, allowed)
        if source.digest_of(path.name) != found:
            raise DataError(f"{path}: the file changed while it was being read")
        own = digest if ratings.subseconds is None else digest_of(data=digest, subseconds=True)
        return positives(ratings, None, path.stem, own, threshold, duplicates)

    finer = {} if time == "s" else {"subseconds": True}  # older versions cut them, and cached what was left
    data = cached(Path(root), "csv", digest_of(data=digest, scale=scale, name=path.stem, **finer), build)
    for column, ids in ((user, data.user_ids), (item, data.item_ids)):
        _warn_of_near_equal_ids(path, column, ids)
    data = core(data, min_user_positives, min_item_positives)
    return with_features(data, (item_features, item_features_sha256), (user_features, user_features_sha256))


def _refuse_threshold_without_ratings(rating: str | None, threshold: float | None) -> None:
    if rating is None and threshold is not None:
        raise ConfigError(
            "data.threshold: expected null, which makes every row a positive, because data.rating is null, "
            f"got {threshold:g}; leave data.threshold out, or set it to null too"
        )


def read_ratings(path: Path, delimiter: str, names: list[str] | None, wanted: Columns, scale: Scale | None) -> Ratings:
    """Read all rows of the file. Raises DataError naming the first invalid line."""
    label, kinds = str(path), wanted.kinds("text", "text" if wanted.time == "iso" else "number")
    with open_data(path) as file:
        if file.read(len(PARQUET)) == PARQUET:
            reader, names = parquet_columns(file, label)
            _refuse_missing(label, delimiter, names, wanted)
            return collect(parquet_blocks(reader, label, wanted, kinds), label, wanted, scale, 1)
        file.seek(0)
        blocks, line = lines_of(CheckedStream(text_stream(file, label), label), label), 1
        if names is None:
            names, blocks, line = _header(blocks, label, delimiter, wanted)
        layout = Layout(delimiter, tuple(names), quotes=True)
        if len(set(names)) < len(names):
            refuse(label, 1, "each column name once", ", ".join(names))
        _refuse_missing(label, delimiter, names, wanted)
        try:
            return collect(read(blocks, label, layout, kinds, line), label, wanted, scale, line)
        except DataError as error:
            if f"expected {wanted.timestamp} as a finite number" not in str(error):
                raise
            raise DataError(f"{error}; data.time=iso reads dates, data.timestamp=null does without times") from None


def _header(
    blocks: Iterator[bytes], label: str, delimiter: str, wanted: Columns
) -> tuple[list[str], Iterator[bytes], int]:
    """Return the column names, without RecBole's type suffixes (`user_id:token`), the other lines, and their number."""
    first = next(blocks)
    names, rest = header_of(itertools.chain([first], blocks), label, Layout(delimiter, (), quotes=True))
    if _is_row(names, wanted):
        _log.warning("%s has no header line; its columns are taken to be %s", label, ", ".join(wanted.names))
        return wanted.names, itertools.chain([first], blocks), 1
    typed = [_TYPED.fullmatch(name) for name in names]
    return [match[1] for match in typed if match] if all(typed) else names, rest, 2


def _is_row(fields: list[str], wanted: Columns) -> bool:
    """Return whether the first line holds values: as many as there are columns, and numbers where they are needed."""
    if len(fields) != len(wanted.names) or set(fields) & set(wanted.names):
        return False
    kinds = wanted.kinds("text", "text" if wanted.time == "iso" else "number").values()
    numbers = [bool(_NUMBER.fullmatch(field)) for field in fields]
    return any(numbers) and all(number for number, kind in zip(numbers, kinds, strict=True) if kind == "number")


def _refuse_missing(label: str, delimiter: str, names: list[str], wanted: Columns) -> None:
    """Raise DataError that names all columns that are missing, and a setting that may help."""
    missing = [name for name in wanted.names if name not in names]
    if not missing:
        return
    settings = {"data.user": wanted.user, "data.item": wanted.item, "data.rating": wanted.rating,
                "data.timestamp": wanted.timestamp}  # fmt: skip
    keys = [key for key, name in settings.items() if name in missing]
    if others := [other for other in ("\t", ";", "|", "::", ",") if len(names) == 1 and other in names[0]]:
        advice = f"data.delimiter={others[0]!r} would separate them"
    elif any(_NUMBER.fullmatch(name) for name in names) or len(missing) == len(wanted.names):
        advice = f"if these are values, not names, {_advice_without_header(len(names), wanted)}"
        advice += "" if any(_NUMBER.fullmatch(name) for name in names) else f", else {_advice_on_names(keys)}"
    else:
        advice = _advice_on_names(keys)
    expected = f"{'a column' if len(missing) == 1 else 'columns'} {', '.join(map(repr, missing))}"
    found = ", ".join(names)
    found = found if len(found) <= 80 else found[:77] + "..."
    raise DataError(f"{label}, line 1: expected {expected}, found {found!r}; {advice}")


def _advice_on_names(keys: list[str]) -> str:
    """Say how to name the columns that `keys` ask for, or that there are none."""
    advice = f"set {', '.join(keys)} to the name{'s' if len(keys) > 1 else ''} in the file"
    absent = {"data.rating": "data.rating=null", "data.timestamp": "data.timestamp=null split=ratio"}
    without = [setting for key, setting in absent.items() if key in keys]
    return f"{advice}, or {' '.join(without)} if it has none" if without else advice


def _advice_without_header(count: int, wanted: Columns) -> str:
    """Say what to set for a file of `count` columns without a header line."""
    ids = f"{wanted.user},{wanted.item}"
    clicks, untimed = "data.rating=null", "data.timestamp=null split=ratio"
    if count == 2:
        return f"set data.columns=[{ids}] {clicks} {untimed}"
    if count == 3:
        return f"set data.columns=[{ids},rating] {untimed}, or data.columns=[{ids},timestamp] {clicks}"
    return f"set data.columns to the names of all {count} columns, [{ids},...]"


def _warn_of_near_equal_ids(path: Path, name: str, ids: np.ndarray) -> None:
    """Log a warning if ids differ only by blanks around them or by ".0", as after an export from a spreadsheet."""
    if ids.dtype.kind != "U":
        return
    texts = ids.tolist()
    known = {text: text for text in texts if not _PADDED_ID.fullmatch(text)}
    doubles = []
    for text in texts:
        if _PADDED_ID.fullmatch(text):
            plain = text.strip()
            plain = plain.partition(".")[0] if _PADDED_ID.fullmatch(plain) else plain
            if (first := known.setdefault(plain, text)) != text:
                doubles.append((first, text))
    if doubles:
        first, second = doubles[0]
        _log.warning(
            "%s: %d of the %d ids in column %s differ from another only by blanks or '.0' (%r and %r, for example); "
            "they count as different", path, len(doubles), len(ids), name, first, second,
        )  # fmt: skip


def _delimiter(archive: Any) -> str:
    """Return the delimiter that a file's name stands for."""
    return "\t" if str(archive).lower().removesuffix(".gz").endswith(_TABBED) else ","


def _threshold(rating: Any) -> int | None:
    """Return the threshold of ratings that nobody has set: 4, or None where there are no ratings."""
    return None if rating is None else 4


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
OmegaConf.register_new_resolver("delimiter", _delimiter, replace=True)
OmegaConf.register_new_resolver("threshold", _threshold, replace=True)
