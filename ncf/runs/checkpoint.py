"""Checkpoints: everything that the rest of a run depends on, as tensors and primitives only.

`checkpoint.pt` is the newest, `checkpoint.previous.pt` the one before it. Each carries the SHA-256 of its content,
which is verified on load: if the newest is damaged, the previous one is used.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, create_model
from torch import Tensor

from ncf.core.files import atomic, writing
from ncf.errors import CheckpointError, NcfError
from ncf.training.trainer import Progress

log = logging.getLogger(__name__)

FORMAT = 1
NEWEST, PREVIOUS, DAMAGED = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.damaged.pt"


_STRICT = ConfigDict(extra="forbid", strict=True)
_fields: dict[str, Any] = {key: (hint, ...) for key, hint in get_type_hints(Progress).items()}
_SavedProgress = create_model("_SavedProgress", __config__=_STRICT, **_fields)


def _progress(raw: Any) -> Progress:
    _SavedProgress.model_validate(raw)
    return Progress(**raw)  # as saved: validation would turn integers into floats


class Checkpoint(BaseModel):
    """The content of a checkpoint; for a model fitted without gradients, everything after `best` is None.

    Attributes:
        settings: of the run.
        data_digest: of the split it trains on; None in checkpoints of the first versions.
        progress: the next step to take, and the state of early stopping.
        best: weights of the best epoch.
        model: current weights.
        optimizer: its state dict.
        loss_sum: () float64, of the current epoch so far.
        sound: (), number of finite steps of the current epoch so far.
        dynamics: sums of the current epoch so far, if training dynamics are recorded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, protected_namespaces=())

    settings: dict[str, Any]
    data_digest: str | None = None
    progress: Annotated[Progress, PlainValidator(_progress)]
    best: dict[str, Tensor]
    model: dict[str, Tensor] | None = None
    optimizer: dict[str, Any] | None = None
    loss_sum: Tensor | None = None
    sound: Tensor | None = None
    dynamics: dict[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Return what the trainer's `load` takes."""
        return {**dict(self), "progress": vars(self.progress)}


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `state` as the newest checkpoint of `folder`; the former newest becomes the previous one.

    Raises:
        FileError: the disk is full or the folder read-only; the older checkpoints are intact.
    """
    content = {"format": FORMAT, **state}
    with writing(folder / NEWEST), atomic(folder / NEWEST, keep=folder / PREVIOUS) as file:
        try:
            torch.save({**content, "sha256": digest(content)}, file)
        except RuntimeError as error:  # how torch reports that writing to `file` failed
            raise error.__context__ or error from None


def load(folder: Path) -> Checkpoint | None:
    """Return the newest intact checkpoint of `folder`, on the CPU; None if there are no checkpoints.

    A damaged newest one is set aside, so that the next save does not replace the intact one with it.

    Raises:
        CheckpointError: all checkpoints are damaged, or the newest intact one does not hold the state of a run.
    """
    failures = []
    for path in (folder / NEWEST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = _content(path)
        except CheckpointError as error:
            log.warning("%s", error)
            failures.append(str(error))
            continue
        if failures:
            log.warning("%s: using this checkpoint instead; the damaged one is kept as %s", path, DAMAGED)
            with writing(folder / DAMAGED):
                (folder / NEWEST).replace(folder / DAMAGED)
        return _validated(path, content)
    if failures:
        raise CheckpointError("; ".join(failures) + "; delete the checkpoints to start the run over")
    return None


def read(path: Path) -> Checkpoint:
    """Return the checkpoint at `path`, on the CPU, checksum verified. Raises CheckpointError if it is damaged."""
    return _validated(path, _content(path))


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content, expected = _parse(file)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not a checkpoint, or damaged ({error})") from None
    if digest(content) != expected:
        raise CheckpointError(f"{path}: damaged: its content does not match its SHA-256")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}, found {content.get('format')!r}")
    return content


def _validated(path: Path, content: dict[str, Any]) -> Checkpoint:
    """Return `content` as a typed record. Raises CheckpointError, naming the key, if it is not one."""
    try:
        return Checkpoint.model_validate({key: value for key, value in content.items() if key != "format"})
    except ValidationError as error:
        found = error.errors()[0]
        key = ".".join(map(str, found["loc"]))
        raise CheckpointError(f"{path}: expected the state of a run, but {key!r} is invalid ({found['msg']})") from None


@contextlib.contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Convert errors raised while restoring state from the checkpoint of `folder` into CheckpointError."""
    try:
        yield
    except (NcfError, torch.OutOfMemoryError):
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{folder / NEWEST}: its state does not fit this run ({found})") from None


def _parse(file: BinaryIO) -> tuple[dict[str, Any], str]:
    """Return the content and the SHA-256 stored with it. Raises ValueError if the file is not a checkpoint."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251  the only torch.load
        return content, content.pop("sha256")
    except Exception as error:  # a damaged archive raises any of a dozen errors, all of which mean the same
        raise ValueError(type(error).__name__) from None


def digest(value: Any) -> str:
    """Return the SHA-256 hex digest of nested dicts, lists, tensors and primitives, however a file stores them."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        sha.update(f"dict {len(value)};".encode())
        for key, item in value.items():
            _feed(sha, key)
            _feed(sha, item)
    elif isinstance(value, list | tuple):
        sha.update(f"list {len(value)};".encode())
        for item in value:
            _feed(sha, item)
    elif isinstance(value, Tensor):
        sha.update(f"{value.dtype} {tuple(value.shape)};".encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    else:
        sha.update(f"{type(value).__name__} {value!r};".encode())
