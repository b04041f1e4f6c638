"""Checkpoints: everything that determines the future of a run, in tensors and primitives only.

`checkpoint.pt` is the newest, `checkpoint.previous.pt` the one before it. Each carries the SHA-256 of its content,
verified on load, so a damaged newest one is noticed and the previous one is used.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ncf.errors import CheckpointError, NcfError
from ncf.files import atomic, writing

log = logging.getLogger(__name__)

FORMAT = 1
NEWEST, PREVIOUS, DAMAGED = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.damaged.pt"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `state` as the newest checkpoint of `folder`; the last newest becomes the previous one.

    Raises:
        FileError: the disk is full or the folder read-only; the older checkpoints are intact.
    """
    content = {"format": FORMAT, **state}
    with writing(folder / NEWEST), atomic(folder / NEWEST, keep=folder / PREVIOUS) as file:
        try:
            torch.save({**content, "sha256": digest(content)}, file)
        except RuntimeError as error:  # how torch reports that `file` refused to be written to
            raise error.__context__ or error from None


def load(folder: Path) -> dict[str, Any] | None:
    """The newest sound checkpoint of `folder`, on the CPU; None if it has none.

    A damaged newest one is set aside, so that the next save does not put it in the place of the sound one.

    Raises:
        CheckpointError: there are checkpoints and each is damaged.
    """
    failures = []
    for path in (folder / NEWEST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = read(path)
        except CheckpointError as error:
            log.warning("%s", error)
            failures.append(str(error))
            continue
        if failures:
            log.warning("%s: going on from it instead; the damaged one is kept as %s", path, DAMAGED)
            with writing(folder / DAMAGED):
                (folder / NEWEST).replace(folder / DAMAGED)
        return state
    if failures:
        raise CheckpointError("; ".join(failures) + "; delete the checkpoints to start the run anew")
    return None


def read(path: Path) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU, its checksum verified. Raises CheckpointError if it is not sound."""
    try:
        with path.open("rb") as file:
            content, expected = _parse(file)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not a checkpoint, or damaged ({error})") from None
    if digest(content) != expected:
        raise CheckpointError(f"{path}: damaged, its content does not match its SHA-256")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}, found {content.get('format')!r}")
    return dict(content)


@contextlib.contextmanager
def understood(folder: Path) -> Iterator[None]:
    """What fails in the context is a checkpoint of `folder` that is sound but holds no run. Raises CheckpointError."""
    try:
        yield
    except (NcfError, torch.OutOfMemoryError):
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{folder / NEWEST}: expected the state of this run, found another ({found})") from None


def _parse(file: BinaryIO) -> tuple[dict[str, Any], str]:
    """The content and the SHA-256 stored with it. Raises ValueError for a file that is none of ours."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251  the one place
        return content, content.pop("sha256")
    except Exception as error:  # a damaged archive fails in any of a dozen ways, all of which mean the same
        raise ValueError(type(error).__name__) from None


def digest(value: Any) -> str:
    """SHA-256 hex of nested dicts, lists, tensors and primitives: of what they hold, not of how a file stores it."""
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
