"""Prepared interactions on disk: plain arrays with a checksum, built once however many processes ask for them."""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from ncf.core.files import TEMPORARY
from ncf.data.download import replacing
from ncf.data.interactions import Counts, Interactions
from ncf.errors import DataError

_ARRAYS = ("users", "items", "ratings", "timestamps", "user_ids", "item_ids", "titles", "genres")
_log = logging.getLogger(__name__)


def cached(root: Path, name: str, key: str, build: Callable[[], Interactions]) -> Interactions:
    """The interactions kept under `root`/processed, built and written there by the first process that asks.

    Args:
        key: SHA-256 hex of everything that decides what `build` returns.

    Raises:
        DataError: where the folder cannot be written or the disk is full; and whatever `build` raises.
    """
    path = root / "processed" / f"{name}-{key[:16]}.npz"
    if (found := _load(path, key)) is not None:
        return found
    with locked(path):
        if (found := _load(path, key)) is not None:
            return found
        if path.exists():
            _log.warning("%s is damaged, or not of this set; building it again", path)
        interactions = build()
        with replacing(path) as stream:
            _save(stream, interactions, key)
        return interactions


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`, and clear away what a killed holder left half-written.

    The operating system frees the lock when its holder dies.

    Raises:
        DataError: where the folder cannot be written.
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
            stray.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _save(stream: BinaryIO, interactions: Interactions, key: str) -> None:
    """Write a .npz whose bytes depend on nothing but the interactions (a `ZipInfo` is dated 1980, whenever made)."""
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
    """The interactions in the file, or None where it is missing, not what was written, or another set's."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
        if str(arrays.pop("checksum")) != _checksum(arrays) or str(arrays["key"]) != key:
            return None
        facts = json.loads(str(arrays.pop("facts")))
        facts["before"] = Counts(**facts["before"])
        fields: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS} | facts
        return Interactions(**fields)
    except Exception as error:  # a damaged file may fail in any layer, and the cure is the same
        _log.debug("%s: %s", path, error)
        return None


def _checksum(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
