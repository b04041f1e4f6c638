"""Checkpoints of several processes: each writes its own rows, by torch.distributed.checkpoint; any number reads them.

`checkpoint.sharded/` is the newest, `checkpoint.sharded.previous/` the one before it. Beside the tensors lies
`state.json`, written last: what else the rest of a run depends on.
"""

import io
import json
import os
import pickle  # noqa: TID251  only `_Metadata`, which makes nothing but the classes listed there
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import Shard as Piece
from torch.distributed._shard.sharded_tensor import ShardedTensor, ShardedTensorMetadata, TensorProperties
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from ncf.core.files import write_text, writing
from ncf.core.outside import MEGABYTE, open_regular, read_text
from ncf.errors import CheckpointError, FileError
from ncf.training.distributed import Group, ShardedModel, agreed, wait_for_all
from ncf.training.distributed.quiet import quiet

NEWEST, PREVIOUS, NEW = "checkpoint.sharded", "checkpoint.sharded.previous", "checkpoint.sharded.new"
STATE = "state.json"
FORMAT = 1
_LARGEST = 64 * MEGABYTE

_METADATA = {  # all that the description of a checkpoint of tensors is made of
    "torch.distributed.checkpoint.metadata": {
        "Metadata", "MetadataIndex", "ChunkStorageMetadata", "TensorStorageMetadata", "BytesStorageMetadata",
        "TensorProperties", "StorageMeta", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo", "StorageInfo", "_StoragePrefix"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", "strided", "float32", "float64", "int64"},
    "pathlib": {"PosixPath", "WindowsPath"},
    "collections": {"OrderedDict"},
}  # fmt: skip


class _Metadata(pickle.Unpickler):
    """Reads the description that torch pickles; nothing else can be made, and so nothing executed."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a listed class. Raises UnpicklingError for any other."""
        if name in _METADATA.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")


class _Writer(dcp.FileSystemWriter):
    def write_data(self, *args: Any, **kwargs: Any) -> Any:
        """Write what this process has, then wait for those that have more, whole tables for instance."""
        try:
            return super().write_data(*args, **kwargs)
        finally:
            wait_for_all()


class _Reader(dcp.FileSystemReader):
    def read_data(self, *args: Any, **kwargs: Any) -> Any:
        """Read what this process is to have, then wait for those that are to have more."""
        try:
            return super().read_data(*args, **kwargs)
        finally:
            wait_for_all()

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the description of the tensors, read by `_Metadata`."""
        with open_regular(Path(self.path) / ".metadata", _LARGEST, CheckpointError) as file:
            metadata: Metadata = _Metadata(io.BytesIO(file.read())).load()
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


def spread(model: ShardedModel, name: str, local: Tensor | None, dtype: torch.dtype, columns: int) -> ShardedTensor:
    """Return a tensor (R, `columns`) that is spread as the table `name`; `local` are the rows of this process."""
    assert model.tables is not None
    whole = model.tables.whole[name].metadata()
    pieces = [
        ShardMetadata([m.shard_offsets[0], 0], [m.shard_sizes[0], columns], m.placement) for m in whole.shards_metadata
    ]
    own = model.tables.whole[name].local_shards()
    mine = [p for p in pieces if own and p.placement == own[0].metadata.placement]  # empty ones share an offset
    described = ShardedTensorMetadata(
        pieces, torch.Size([model.tables.shapes[name].rows, columns]), TensorProperties(dtype=dtype)
    )
    shards = [Piece(local, m) for m in mine] if local is not None else []
    return ShardedTensor._init_from_local_shards_and_global_metadata(shards, described)


def save(folder: Path, tensors: dict[str, Any], state: Mapping[str, Any], group: Group) -> None:
    """Write a checkpoint of all processes as the newest of `folder`; the former newest becomes the previous one.

    Raises:
        FileError: a process cannot write its part; the older checkpoints are intact.
    """
    new = folder / NEW
    with agreed(group):
        if group.rank == 0:
            with writing(new):
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
    with agreed(group):
        try:
            dcp.save(tensors, storage_writer=_Writer(new))
        except CheckpointException as error:
            raise FileError(f"{new}: cannot be written ({_said(error)}); the older checkpoints are intact") from None
    with agreed(group):
        if group.rank == 0:
            with writing(new):
                write_text(new / STATE, json.dumps({"format": FORMAT, "processes": group.size, **state}) + "\n")
                _make_room(folder)
                new.rename(folder / NEWEST)


def _make_room(folder: Path) -> None:
    """Make the newest checkpoint the previous one, unless only that is whole: a killed process has left it alone."""
    if newest(folder) == folder / NEWEST:
        shutil.rmtree(folder / PREVIOUS, ignore_errors=True)
        (folder / NEWEST).rename(folder / PREVIOUS)
    else:
        shutil.rmtree(folder / NEWEST, ignore_errors=True)


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of `folder`; None if there is none."""
    return next((folder / n for n in (NEWEST, PREVIOUS) if os.path.lexists(folder / n / STATE)), None)


def read_state(path: Path) -> dict[str, Any]:
    """Return what lies beside the tensors of the checkpoint at `path`. Raises CheckpointError if it cannot be read."""
    try:
        state = json.loads(read_text(path / STATE, CheckpointError, _LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path / STATE}: damaged ({error})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path / STATE}: expected the state of a run of several processes, format {FORMAT}")
    return state


def read_tensors(path: Path, tensors: dict[str, Any]) -> None:
    """Fill `tensors`, of whatever shards this process has now, from the checkpoint at `path`.

    Raises:
        CheckpointError: it is damaged, or holds other tensors.
    """
    try:
        with quiet():  # torch warns of its own use of ShardedTensor, the only class that torchrec's tables fit
            dcp.load(tensors, storage_reader=_Reader(path))
    except (CheckpointException, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: damaged, or of another run ({_said(error)})") from None


def _said(error: BaseException) -> str:
    """Return one line of what went wrong in the first process that failed."""
    failures = getattr(error, "failures", None) or {0: (error, None)}
    first = failures[min(failures)][0]
    return " ".join(f"{type(first).__name__}: {first}".split())[:200]
