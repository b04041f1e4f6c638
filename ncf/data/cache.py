"""Prepared interactions on disk: plain arrays with a checksum, built only once by concurrent processes."""

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from ncf.core.arrays import read_arrays
from ncf.core.files import TEMPORARY
from ncf.data.download import refuse_special, replacing
from ncf.data.interactions import Counts, Interactions
from ncf.data.times import LATEST, NANO
from ncf.errors import DataError

_ARRAYS = ("users", "items", "ratings", "timestamps", "user_ids", "item_ids", "titles", "genres", "subseconds")
_log = logging.getLogger(__name__)
_storing: ContextVar[bool] = ContextVar("_storing", default=True)


@contextmanager
def storing_nothing() -> Iterator[None]:
    """Make `cached` write nothing in this context: what is not stored yet is built in memory."""
    before = _storing.set(False)
    try:
        yield
    finally:
        _storing.reset(before)


def cached(root: Path, name: str, key: str, build: Callable[[], Interactions]) -> Interactions:
    """Return the interactions stored under `root`/processed; the first process that asks builds and stores them.

    Args:
        key: SHA-256 hex of everything that determines what `build` returns.

    Raises:
        DataError: the folder is not writable or the disk is full. Errors of `build` pass through.
    """
    path = root / "processed" / f"{name}-{key[:16]}.npz"
    if (found := _load(path, key)) is not None:
        return found
    if not _storing.get():
        return build()
    with locked(path):
        if (found := _load(path, key)) is not None:
            return found
        refuse_special(path)
        if path.exists():
            _log.warning("%s is damaged or belongs to other settings; rebuilding it", path)
        interactions = build()
        with replacing(path) as stream:
            _save(stream, interactions, key)
        return interactions


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold an exclusive lock on `target`, and delete temporary files that a killed holder left.

    The operating system releases the lock when its holder dies.

    Raises:
        DataError: the folder is not writable.
    """
    lock = FileLock(target.with_name(target.name + ".lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise DataError(f"{target.parent}: cannot write ({getattr(error, 'strerror', None) or error}); "
                        "data.root sets the folder") from None  # fmt: skip
    try:
        for stray in target.parent.glob(f"{TEMPORARY}{target.name}*"):
            if stray.is_dir() and not stray.is_symlink():
                shutil.rmtree(stray, ignore_errors=True)
            else:
                stray.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _save(stream: BinaryIO, interactions: Interactions, key: str) -> None:
    """Write a .npz whose bytes depend only on the arguments: a default `ZipInfo` is always dated 1980."""
    arrays = {name: array for name in _ARRAYS if (array := getattr(interactions, name)) is not None}
    facts = {"name": interactions.name, "digest": interactions.digest, "before": asdict(interactions.before)}
    arrays["facts"] = np.array(json.dumps(facts, sort_keys=True))
    arrays["key"] = np.array(key)
    arrays["checksum"] = np.array(_checksum(arrays))
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def _load(path: Path, key: str) -> Interactions | None:
    """Load the interactions; None if the file is missing, damaged or stored under another key."""
    try:
        arrays: dict[str, Any] = dict(read_arrays(path, DataError))
        if str(arrays.pop("checksum")) != _checksum(arrays) or str(arrays["key"]) != key:
            return None
        facts = json.loads(str(arrays.pop("facts")))
        facts["before"] = Counts(**facts["before"])
        fields: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS} | facts
        found = Interactions(**fields)
        return found if _is_whole(found) else None
    except FileNotFoundError:
        return None
    except Exception as error:  # damage can fail in any layer; the remedy is always to rebuild
        _log.debug("%s: %s", path, error)
        return None


def _is_whole(found: Interactions) -> bool:
    """Return whether the arrays fit each other, which the checksum of a forged file does not say."""
    times = [array for array in (found.timestamps, found.subseconds) if array is not None]
    rows = [found.users, found.items, found.ratings, *times]
    per_item = [found.item_ids, *(extra for extra in (found.titles, found.genres) if extra is not None)]
    return (
        {array.shape for array in rows} == {(len(found.users),)}
        and {array.shape for array in per_item} == {(found.num_items,)}
        and found.user_ids.shape == (found.num_users,)
        and [array.dtype.kind for array in rows] == list("iifii")[: len(rows)]
        and _is_below_seconds(found)
        and _covers(found.users, found.num_users)
        and _covers(found.items, found.num_items)
    )


def _is_below_seconds(found: Interactions) -> bool:
    """Return whether the sub-seconds, if any, are nanoseconds below a second of times that they can be added to."""
    if found.subseconds is None:
        return True
    if found.timestamps is None:
        return False
    within = found.subseconds.min() >= 0 and found.subseconds.max() < NANO
    return bool(within and found.timestamps.min() >= 0 and found.timestamps.max() < LATEST)


def _covers(indices: np.ndarray, count: int) -> bool:
    """Return whether the indices (N,) are those from 0 to `count` - 1, each at least once."""
    inside = len(indices) > 0 and indices.min() >= 0 and indices.max() < count
    return bool(inside and np.bincount(indices, minlength=count).all())


def _checksum(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
