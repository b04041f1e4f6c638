"""Features of items and users: tables of numbers, categories and text, in the order of a split's items or users.

They come from the data set itself (titles and genres of items; age, gender and occupation of users) and from a file of
one's own, whose columns come beside those, or in place of one with the same name. They are read when a model asks for
them, identify no split, and a finished run does not need them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd

from ncf.core.roles import Role
from ncf.data.feature_files import Column, Kind, Rows, read_feature_file
from ncf.errors import DataError

if TYPE_CHECKING:
    from ncf.data.interactions import Interactions
    from ncf.data.split import Split

What = Literal["item", "user"]

FeaturePath = Annotated[str | None, Role("machine", since=None)]
"""The setting for a file of features of one's own."""
FeatureDigest = Annotated[str | None, Role(since=None)]
"""Its SHA-256 hex, which identifies it in a run."""

_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")


@dataclass(frozen=True)
class Given:
    """Where the features of one kind of thing come from, but for titles and genres; nothing has been read yet.

    Attributes:
        file: path of a file of one's own, if any.
        sha256: of that file.
        official: reads the table of the data set; returns None if its files have none.
    """

    file: str | None = None
    sha256: str | None = None
    official: Callable[[], Rows | None] | None = None


def with_features(
    interactions: "Interactions",
    items: tuple[str | None, str | None],
    users: tuple[str | None, str | None],
    official: Callable[[], Rows | None] | None = None,
) -> "Interactions":
    """Return interactions that know where features are: `items` and `users` are a path and its SHA-256 hex.

    A file that the user names is read once here, so that a wrong one fails with the data, before any training.

    Args:
        official: reads the users of the data set.

    Raises:
        DataError: a file is missing, wrong, changed, or about other items or users; the message names file and line.
    """
    both = {"item": Given(*items), "user": Given(*users, official)}
    for what, given in both.items():
        if given.file is not None:
            ids = interactions.item_ids if what == "item" else interactions.user_ids
            _own(given, what, ids)  # type: ignore[arg-type]
    return replace(interactions, item_features=both["item"], user_features=both["user"])


def item_columns(split: "Split") -> list[Column]:
    """Return the columns of the items (I,): title, year and genres if known, and those of a file of one's own.

    Raises:
        DataError: there are none; or as `with_features`.
    """
    columns = {column.name: column for column in _of_catalogue(split.titles, split.genres)}
    columns |= {column.name: column for column in _own(split.item_features, "item", split.item_ids)}
    if not columns:
        raise DataError(
            f"{split.name}: expected features of items, found neither titles nor genres; "
            "data.item_features=<file> brings some (cease and mf_features need none with model.weight=0)"
        )
    return list(columns.values())


def user_columns(split: "Split") -> list[Column]:
    """Return the columns of the users (U,): those of the data set, and those of a file of one's own.

    Raises:
        DataError: there are none; or as `with_features`.
    """
    given = split.user_features
    official = given.official() if given is not None and given.official is not None else None
    columns = {} if official is None else {c.name: c for c in _aligned(official, split.user_ids, "user")}
    columns |= {column.name: column for column in _own(given, "user", split.user_ids)}
    if not columns:
        raise DataError(
            f"{split.name}: expected features of users, found none in its files; data.user_features=<file> brings some"
            + (", and so does data.archive=<path> of the archive of GroupLens" if split.name == "ml-100k" else "")
        )
    return list(columns.values())


def _of_catalogue(titles: np.ndarray | None, genres: np.ndarray | None) -> list[Column]:
    """Return title (without its year), year and genres of the items."""
    columns = []
    if titles is not None:
        years = [_YEAR.search(title) for title in titles]
        columns.append(Column("title", "text", np.array([_YEAR.sub("", title) for title in titles], np.str_)))
        columns.append(Column("year", "number", np.array([float(y[1]) if y else np.nan for y in years])))
    if genres is not None:
        columns.append(Column("genres", "category", np.asarray(genres, np.str_)))
    return columns


def _own(given: Given | None, what: What, ids: np.ndarray) -> list[Column]:
    """Return the columns of the user's own file, in the order of `ids` (R,); none if there is no file."""
    if given is None or given.file is None:
        return []
    return _aligned(read_feature_file(Path(given.file), what, given.sha256), ids, what)


def _aligned(rows: Rows, ids: np.ndarray, what: What) -> list[Column]:
    """Return the columns in the order of `ids` (R,), "" or NaN where the table lacks one. Raises DataError."""
    lines = pd.Series(np.arange(len(rows.ids)), pd.Index(rows.ids) if ids.dtype.kind == "U" else _whole(rows.ids))
    lines = lines[~lines.index.duplicated() & lines.index.notna()]  # of 7 and 07, the first
    places = lines.reindex(ids.astype(object) if ids.dtype.kind == "U" else ids, fill_value=-1).to_numpy()
    if (places < 0).all():
        raise DataError(
            f"{rows.label}: expected features of the {len(ids):,} {what}s of the data, such as {what} {ids[0]}, found "
            f"none of them among {len(rows.ids):,}, such as {rows.ids[0]}"
        )
    return [Column(c.name, c.kind, _picked(c.values, places, c.kind)) for c in rows.columns]


def _whole(ids: np.ndarray) -> pd.Index:
    """Return ids (R,) as whole numbers; what spells none is no id of the data, and becomes missing."""
    whole = [int(text) if re.fullmatch(r"[+-]?\d{1,19}", text) else None for text in ids]
    return pd.Index([n if n is not None and -(2**63) <= n < 2**63 else None for n in whole], dtype="Int64")


def _picked(values: np.ndarray, places: np.ndarray, kind: Kind) -> np.ndarray:
    missing = np.nan if kind == "number" else ""
    return np.where(places >= 0, values[places], missing)
