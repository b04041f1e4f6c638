"""Find the indices of raw ids, and name similar ones where an id is unknown."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ncf.errors import DataError


def indices(what: str, known: np.ndarray, ids: Sequence[Any]) -> np.ndarray:
    """Return the indices (N,) int64 of `ids` among the ascending `known` ones (M,); text may spell a number.

    Args:
        what: "user" or "item", for the message.

    Raises:
        DataError: an unknown id; the message suggests similar ones.
    """
    if isinstance(ids, str | bytes) or np.ndim(ids) == 0:
        raise DataError(f"{what}: expected a list of ids, got {ids!r} alone; [{ids!r}] is a list of one")
    if (found := _all_known(known, np.asarray(ids))) is not None:
        return found
    return np.array([_index(what, known, raw) for raw in ids], np.int64)


def _all_known(known: np.ndarray, asked: np.ndarray) -> np.ndarray | None:
    """Return indices (N,) int64 of ids of the same type as the known ones (M,); None unless all are known."""
    if not asked.size or not known.size or asked.ndim != 1 or not asked.dtype.kind == known.dtype.kind in "iU":
        return None
    found = np.searchsorted(known, asked).clip(max=len(known) - 1).astype(np.int64)
    return found if (known[found] == asked).all() else None


def _index(what: str, known: np.ndarray, raw: Any) -> int:
    value = _as_id(known, raw)
    index = -1 if value is None else int(np.searchsorted(known, value))
    if 0 <= index < len(known) and known[index] == value:
        return index
    close = difflib.get_close_matches(str(raw), map(str, known.tolist()), n=3)
    hint = f"; similar ids: {', '.join(close)}" if close else ""
    # Texts are in the order of their characters, in which 9 comes after 100: no range.
    those = f"such as {known[0]}" if known.dtype.kind == "U" else f"{known[0]} to {known[-1]}"
    raise DataError(
        f"{what}: expected an id among the {len(known)} {what}s with positives ({those}), got {raw!r}{hint}"
    )


def _as_id(known: np.ndarray, raw: Any) -> Any:
    """Convert `raw` to the type of the known ids; return None if that is not possible."""
    if known.dtype.kind != "i":
        return str(raw)
    try:
        value = int(raw)
    except (TypeError, ValueError):
        return None
    return value if value == raw or str(value) == str(raw).strip() else None
