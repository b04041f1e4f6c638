"""Shards: a split on disk, cut into parts of whole users, of which each process of a run maps its own into memory.

`<root>/processed/<data>-<key>.shards/` is made once by `python -m ncf.data data=... split=... shards=8`:

- `shard-0000/train.users.npy`, `train.items.npy` and, if there are any, `train.ratings.npy`: training positives sorted
  by user, about equally many in each shard;
- `valid.*.npy` and `test.*.npy`: the held-out positives; `user_ids.npy`, `item_ids.npy`, `item_counts.npy`;
- `manifest.json`: sizes and SHA-256 of all these, and of itself.

The key is made of the settings of data and split that decide their content, so that a run finds its shards without
reading the data set. A file is checked when it is first used; those of other processes are not opened.
"""

import bisect
import hashlib
import itertools
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ncf.core.arrays import LARGEST_FILE, mapped
from ncf.core.config import roles
from ncf.core.files import TEMPORARY, sync_folder
from ncf.core.outside import MEGABYTE, open_regular, read_json
from ncf.data.archive import sha256_of, user_path
from ncf.data.cache import locked
from ncf.data.interactions import digest_of
from ncf.data.parts import NONE, Parts, Whole, cut
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError

FORMAT = 1
MOST = 10_000
MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a folder of shards says of itself.

    Attributes:
        source: name, size and time of change of the data files, if no SHA-256 pins them.
        first_users: of each shard, its first user, and
        first_rows: its first training row.
        files: by name.
    """

    model_config = ConfigDict(strict=True, extra="forbid")
    format: Literal[1] = FORMAT  # type: ignore[assignment]
    name: str
    digest: str
    source: list[list[str | int]] | None
    users: int
    items: int
    rows: int
    first_users: list[int]
    first_rows: list[int]
    files: dict[str, _File]


@dataclass(frozen=True)
class Address:
    """Where the shards of a split belong, by the settings that make the split.

    Attributes:
        folder: theirs.
        source: as in `Manifest`; None also if the data files are not there.
    """

    folder: Path
    source: list[list[str | int]] | None


def address(settings: Mapping[str, Any], data: partial[Any], split: partial[Split]) -> Address:
    """Return where the shards of `split(data())` belong.

    Args:
        settings: those of a run, for the names of its data and split.

    Raises:
        ConfigError: the data has no folder to keep anything in.
    """
    name, root = settings["data"]["name"], data.keywords.get("root")
    if root is None:
        raise ConfigError(f"data: expected one with data.root, a folder where shards can lie, got {name}")
    declared, archive = roles(data.func), data.keywords.get("archive")
    own = {key: repr(value) for key, value in data.keywords.items() if declared[key].kind == "result"}
    source = None
    if archive is not None and data.keywords.get("sha256") is None:  # nothing else tells its content
        path = user_path(archive).resolve()
        own["archive"], source = str(path), _changes(path)
    rule = {key: repr(value) for key, value in split.keywords.items()}
    key = digest_of(shards=FORMAT, data={"name": name, **own}, split={"name": settings["split"]["name"], **rule})
    return Address(Path(root) / "processed" / f"{name}-{key[:16]}.shards", source)


def _changes(path: Path) -> list[list[str | int]] | None:
    """Return name, size and time of change of a file, or of the files of a folder; None if it is not there."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except OSError:
        return None


def find(place: Address) -> "Shards | None":
    """Return the shards at `place`; None if none have been made.

    Raises:
        DataError: they are damaged, or of data that has changed since.
    """
    if not os.path.lexists(place.folder):
        return None
    manifest = _manifest(place.folder)
    if None not in (place.source, manifest.source) and place.source != manifest.source:
        raise DataError(f"{place.folder}: the data has changed since these shards were made; {_remedy(manifest)}")
    return Shards(place.folder, manifest)


def _remedy(manifest: Manifest | None) -> str:
    count = len(manifest.first_rows) if manifest is not None else 8
    return f"make them anew by python -m ncf.data shards={count} with the run's settings of data and split"


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        content = read_json(path, DataError, 64 * MEGABYTE)
        said = content.pop("sha256") if isinstance(content, dict) else None
        if said != _digest(content):
            raise ValueError("its content does not match its SHA-256")
        return Manifest.model_validate(content)
    except (OSError, KeyError, ValueError, ValidationError) as error:
        found = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: damaged ({found}); {_remedy(None)}") from None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Shards(Parts):
    """The shards in a folder. Arrays are memory-mapped, each when it is first asked for."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest, self.rows = folder, manifest, manifest.rows
        self._arrays: dict[str, np.ndarray] = {}
        among = [self._array(f"{p}_among") if f"{p}_among.npy" in manifest.files else None for p in ("valid", "test")]
        self.valid, self.test = (Pairs(self._array(f"{p}.users"), self._array(f"{p}.items")) for p in ("valid", "test"))
        self.outline = Split(
            NONE, NONE, NONE, manifest.users, manifest.items, self._array("user_ids"), self._array("item_ids"), None,
            None, manifest.name, manifest.digest, False, valid_among=among[0], test_among=among[1],
        )  # fmt: skip
        self._refuse_unfit()

    def _refuse_unfit(self) -> None:
        """Raise DataError if the arrays do not fit each other, which the checksums of a forged folder do not say."""
        m, o = self.manifest, self.outline
        sizes = (len(o.user_ids), len(o.item_ids), len(self.item_counts), len(self.valid.items), len(self.test.items))
        starts = (m.first_users, m.first_rows)
        if (
            sizes != (m.users, m.items, m.items, len(self.valid), len(self.test))
            or any(len(s) != len(m.first_rows) or s[:1] != [0] or s != sorted(s) for s in starts)
            or m.first_rows[-1] > m.rows
            or int(self.item_counts.sum()) != m.rows
        ):
            raise DataError(f"{self.folder / MANIFEST}: damaged (its numbers do not fit); {_remedy(m)}")

    @property
    def item_counts(self) -> np.ndarray:
        """(I,) int64, training positives of each item."""
        return self._array("item_counts")

    def train(self, first_user: int, end_user: int) -> list[Pairs]:
        """Return the training positives of these users, a piece a shard, memory-mapped.

        Raises:
            DataError: a shard is damaged.
        """
        m = self.manifest
        edges = [*m.first_users, m.users]
        pieces = []
        for shard, (first, end) in enumerate(itertools.pairwise(edges)):
            if max(first, first_user) < min(end, end_user):
                whole = self._shard(shard)
                low, high = np.searchsorted(whole.users, [first_user, end_user])
                pieces.append(cut(whole, slice(int(low), int(high))))
        return pieces or [NONE]

    def owner(self, row: int) -> tuple[int, int]:
        """Return the user of a training row, and the user's first row; opens no shard for the one that begins there.

        Raises:
            DataError: the shard is damaged.
        """
        m = self.manifest
        count = len(m.first_rows)
        for shard in range(count):  # the row that the shard was cut at: its user is the shard's first
            if shard * m.rows // count == row and m.first_rows[shard] <= row:
                return m.first_users[shard], m.first_rows[shard]
        shard = bisect.bisect_right(m.first_rows, row) - 1
        users = self._shard(shard).users
        user = int(users[row - m.first_rows[shard]])
        return user, m.first_rows[shard] + int(np.searchsorted(users, user))

    def _shard(self, shard: int) -> Pairs:
        """Return the training positives of a shard. Raises DataError if it is damaged."""
        ends = [*self.manifest.first_rows[1:], self.manifest.rows]
        name = f"shard-{shard:04}/train"
        ratings = self._array(f"{name}.ratings") if f"{name}.ratings.npy" in self.manifest.files else None
        found = Pairs(self._array(f"{name}.users"), self._array(f"{name}.items"), ratings=ratings)
        if {len(found.users), len(found.items)} != {ends[shard] - self.manifest.first_rows[shard]}:
            raise DataError(f"{self.folder / name}: damaged (its numbers do not fit); {_remedy(self.manifest)}")
        return found

    def _array(self, name: str) -> np.ndarray:
        """Return an array, memory-mapped, once its file has the size and SHA-256 of the manifest."""
        if name not in self._arrays:
            path, expected = self.folder / f"{name}.npy", self.manifest.files.get(f"{name}.npy")
            try:
                if expected is None or _described(path) != expected:
                    raise DataError(f"{path}: expected the size and the SHA-256 of the manifest, found others")
                self._arrays[name] = mapped(path, DataError)
            except (DataError, FileNotFoundError) as error:
                found = str(error) if isinstance(error, DataError) else f"{path}: missing"
                raise DataError(f"{found}; {_remedy(self.manifest)}") from None
        return self._arrays[name]

    def check(self) -> None:
        """Raise DataError if any file is damaged."""
        for name in self.manifest.files:
            self._array(name.removesuffix(".npy"))


def _described(path: Path) -> _File:
    with open_regular(path, LARGEST_FILE, DataError) as file:
        return _File(bytes=os.fstat(file.fileno()).st_size, sha256=sha256_of(file))


def prepare(place: Address, count: int, make: Callable[[], Split]) -> "Shards":
    """Return the `count` shards at `place`, which are made of the split `make()` unless they are there and sound.

    Those of another number, damaged or of other data are replaced. Processes that ask at once make them once; one that
    is interrupted leaves what was there before, or nothing.

    Raises:
        DataError: the folder is not writable or no folder, or the disk is full. Errors of `make` pass through.
    """
    with locked(place.folder):
        if os.path.lexists(place.folder) and not place.folder.is_dir():
            raise DataError(f"{place.folder}: expected a folder of shards or none, found something else; move it away")
        try:
            found = find(place)
            if found is not None and len(found.manifest.first_rows) == count:
                found.check()
                return found
        except DataError as error:
            _log.warning("%s", error)
        split = make()
        with _replacing(place.folder) as folder:
            _write(folder, split, count, place.source)
    made = find(place)
    assert made is not None
    return made


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `folder` when it is complete. Raises DataError for a full disk."""
    new = folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}")
    old = folder.with_name(f"{new.name}-old")
    try:
        try:
            new.mkdir(parents=True)
            yield new
            if os.path.lexists(folder):
                folder.rename(old)
            new.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            if old.is_symlink():
                old.unlink()
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot write ({error.strerror or error}); data.root sets the folder") from None


def _write(folder: Path, split: Split, count: int, source: list[list[str | int]] | None) -> None:
    """Write the shards of `split`; the manifest last."""
    whole, train = Whole(split), split.train
    parts = [whole.part(shard, count) for shard in range(count)]
    files = {
        "user_ids": split.user_ids, "item_ids": split.item_ids, "item_counts": whole.item_counts,
        "valid.users": split.valid.users, "valid.items": split.valid.items,
        "test.users": split.test.users, "test.items": split.test.items,
        "valid_among": split.valid_among, "test_among": split.test_among,
    }  # fmt: skip
    for shard, part in enumerate(parts):
        own = cut(train, slice(part.first_row, part.end_row))
        files |= {f"shard-{shard:04}/train.{key}": getattr(own, key) for key in ("users", "items", "ratings")}
        (folder / f"shard-{shard:04}").mkdir()
    written = {f"{n}.npy": _save(folder / f"{n}.npy", array) for n, array in files.items() if array is not None}
    manifest = Manifest(
        name=split.name, digest=split.digest, source=source, users=split.num_users, items=split.num_items,
        rows=len(train), first_users=[p.first_user for p in parts], first_rows=[p.first_row for p in parts],
        files=written,
    ).model_dump()  # fmt: skip
    with (folder / MANIFEST).open("w") as file:
        json.dump({**manifest, "sha256": _digest(manifest)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for inner in (*folder.glob("shard-*"), folder):
        sync_folder(inner)


def _save(path: Path, array: np.ndarray) -> _File:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return _described(path)
