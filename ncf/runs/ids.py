"""Find the indices of raw ids, and name similar ones where an id is unknown; check how many are asked for."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ncf.errors import ConfigError, DataError


def indices(what: str, known: np.ndarray, ids: Sequence[Any]) -> np.ndarray:
    """Return the indices (N,) int64 of `ids` among the ascending `known` ones (M,); text may spell a number.

    Args:
        what: "user" or "item", for the message.

    Raises:
        DataError: an unknown id; the message suggests similar ones.
    """
    listed = _listed(what, ids)
    found = places(known, listed)
    if (missing := found < 0).any():
        raise DataError(_unknown(what, known, listed[int(missing.argmax())]))
    return found


def places(known: np.ndarray, ids: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return the indices (N,) int64 of `ids` among the ascending `known` ones (M,), -1 for one that is not there.

    Text may spell a number, and a whole floating-point number stands for the integer.
    """
    if (found := _all_known(known, np.asarray(ids))) is not None:
        return found
    return np.array([_place(known, raw) for raw in ids], np.int64)


def _listed(what: str, ids: Sequence[Any]) -> Sequence[Any] | np.ndarray:
    """Return `ids` as what can be indexed by position. Raises DataError if they are no list."""
    shown = repr(ids)[:80]
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__") or not _shape(ids):
        raise DataError(f"{what}: expected a list of ids, got {shown} alone; [{shown}] is a list of one")
    if len(_shape(ids)) > 1:
        raise DataError(f"{what}: expected a flat list of ids, got {shown}")
    if isinstance(ids, list | tuple):
        return ids
    return np.asarray(ids) if hasattr(ids, "__array__") else list(ids)


def _shape(ids: Any) -> tuple[int, ...]:
    """Return the shape of ids; that of a list whose elements have uneven lengths is that of a table."""
    try:
        return np.shape(ids)
    except ValueError:
        return (len(ids), 0)


def _all_known(known: np.ndarray, asked: np.ndarray) -> np.ndarray | None:
    """Return indices (N,) int64 of ids of the same type as the known ones (M,); None unless all are known."""
    if not asked.size or not known.size or asked.ndim != 1 or not asked.dtype.kind == known.dtype.kind in "iU":
        return None
    found = np.searchsorted(known, asked).clip(max=len(known) - 1).astype(np.int64)
    return found if (known[found] == asked).all() else None


def _place(known: np.ndarray, raw: Any) -> int:
    for value in _as_ids(known, raw):
        index = int(np.searchsorted(known, value))
        if index < len(known) and known[index] == value:
            return index
    return -1


def _unknown(what: str, known: np.ndarray, raw: Any) -> str:
    close = difflib.get_close_matches(str(raw), map(str, known.tolist()), n=3)
    hint = f"; similar ids: {', '.join(close)}" if close else ""
    # Texts are in the order of their characters, in which 9 comes after 100: no range.
    those = f"such as {known[0]}" if known.dtype.kind == "U" else f"{known[0]} to {known[-1]}"
    shown = raw.item() if isinstance(raw, np.generic) else raw
    return f"{what}: expected an id among the {len(known)} {what}s with positives ({those}), got {shown!r}{hint}"


def _as_ids(known: np.ndarray, raw: Any) -> list[Any]:
    """Return what `raw` may be among the known ids, in their type; none if it cannot be one of them."""
    try:
        whole = int(raw)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if known.dtype.kind != "i":
        is_whole = isinstance(raw, int | float | np.number) and whole == raw
        return [str(raw), str(whole), f"{whole}.0"] if is_whole else [str(raw)]  # of 3 and 3.0, the one that is known
    if whole is None or not -(2**63) <= whole < 2**63:
        return []
    return [whole] if whole == raw or str(whole) == str(raw).strip() else []


def refuse_count(name: str, count: Any) -> None:
    """Raise ConfigError unless `count`, the argument `name`, is a whole number of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ConfigError(f"{name}: expected a whole number of at least 1, got {count!r:.80}")
