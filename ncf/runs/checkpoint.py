"""Checkpoints: everything that the rest of a run depends on, as tensors and primitives only.

`checkpoint.pt` is the newest, `checkpoint.previous.pt` the one before it. Each carries the SHA-256 of its content,
which is verified on load: if the newest is damaged, a run goes on from the previous one. A finished run answers only
with the weights that its result was computed with. Reading changes no file.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, PlainValidator, PrivateAttr, ValidationError, create_model
from torch import Tensor

from ncf.core.files import atomic, writing
from ncf.core.memory import is_out_of_memory
from ncf.core.outside import open_regular
from ncf.errors import CheckpointError, NcfError, TrainingError
from ncf.runs import torch_file
from ncf.runs.artifacts import RESULT
from ncf.runs.identity import refuse_foreign
from ncf.runs.mapping import NOWHERE, Mapped, mapped_at
from ncf.training.trainer import Progress

log = logging.getLogger(__name__)

FORMAT = 1
SHARDED = "checkpoint.sharded"  # of a run on several processes, which leaves weights of many gigabytes there alone
_AT_ONCE = 2**26  # bytes whose digest is taken in one go
NEWEST, PREVIOUS, DAMAGED = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.damaged.pt"


class _DamagedError(CheckpointError):
    """The file is no checkpoint, or not the one that was written."""


_STRICT = ConfigDict(extra="forbid", strict=True)
_fields: dict[str, Any] = {key: (hint, ...) for key, hint in get_type_hints(Progress).items()}
_SavedProgress = create_model("_SavedProgress", __config__=_STRICT, **_fields)


def _progress(raw: Any) -> Progress:
    _SavedProgress.model_validate(raw)
    return Progress(**raw)  # as saved: validation would turn integers into floats


class Record(BaseModel):
    """The content of a checkpoint, whatever was saved: the settings of the run, and more."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, protected_namespaces=())

    settings: dict[str, Any]

    _name: str = PrivateAttr(NEWEST)  # of the file
    _mapping: Mapped = PrivateAttr(NOWHERE)  # of the file


class Checkpoint(Record):
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
        clipped: (), number of steps with clipped gradients of the current epoch so far, if they are clipped.
        dynamics: sums of the current epoch so far, if training dynamics are recorded.
        task_sums: () float64 each, of the current epoch so far, if the loss has several tasks.
    """

    data_digest: str | None = None
    progress: Annotated[Progress, PlainValidator(_progress)]
    best: dict[str, Tensor]
    model: dict[str, Tensor] | None = None
    optimizer: dict[str, Any] | None = None
    loss_sum: Tensor | None = None
    sound: Tensor | None = None
    clipped: Tensor | None = None
    dynamics: dict[str, Any] | None = None
    task_sums: dict[str, Tensor] | None = None

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


R = TypeVar("R", bound=Record)


def load(folder: Path) -> Checkpoint | None:
    """Return the newest intact checkpoint of the training run in `folder`; as `load_as`."""
    return load_as(Checkpoint, folder)


def load_as(kind: type[R], folder: Path) -> R | None:
    """Return the newest intact checkpoint of `folder`, on the CPU; None if there are no checkpoints.

    Raises:
        CheckpointError: all checkpoints are damaged; or the newest intact one does not hold the state of a run, cannot
            be opened, or has the format of another version.
        TrainingError: there is not enough memory to read it.
    """
    failures: list[str] = []
    for path, saved in _intact(kind, folder, failures):
        if failures:
            log.warning("%s", failures[0])
            log.warning("%s: using this checkpoint instead", path)
        return saved
    if failures:
        raise CheckpointError("; ".join(failures) + "; delete the checkpoints to start the run over")
    return None


def set_damaged_aside(folder: Path, used: Record) -> None:
    """Rename the newest checkpoint if `used` is the previous one, so that the next save does not replace that one.

    Only the process that claimed the run may call this.
    """
    if used._name == PREVIOUS and (folder / NEWEST).exists():
        with writing(folder / DAMAGED):
            (folder / NEWEST).replace(folder / DAMAGED)
        log.warning("%s: damaged; it is kept as %s", folder / NEWEST, DAMAGED)


def of_result(folder: Path, result: Mapping[str, Any], mapped: bool = False) -> Checkpoint:
    """Return the checkpoint in `folder` with the weights that `result`, of its finished run, was computed with.

    Args:
        mapped: leave the tensors in the file, of which only what is used is then in memory; they are verified alike.

    Raises:
        CheckpointError: there is none, whatever other epochs or runs there are.
        TrainingError: there is not enough memory to read it.
    """
    failures: list[str] = []
    for path, saved in _intact(Checkpoint, folder, failures, mapped):
        refuse_foreign(folder, RESULT, result["config"], saved.settings)
        if _gave(saved, result):
            return saved
        failures.append(f"{path}: holds the weights of another epoch than {RESULT}")
    only = (
        f"found {SHARDED} alone, which resuming reads and nothing else" if (folder / SHARDED).is_dir() else "found none"
    )
    found = "; ".join(failures) or only
    raise CheckpointError(f"{folder}: expected {NEWEST} with the weights of {RESULT} ({found})")


def _intact(kind: type[R], folder: Path, failures: list[str], mapped: bool = False) -> Iterator[tuple[Path, R]]:
    """Yield the checkpoints of `folder` that are not damaged, newest first; add what is wrong with the others."""
    for path in _both(folder):
        try:
            saved = _read(kind, path, mapped)
        except _DamagedError as error:
            failures.append(str(error))
            continue
        yield path, saved


def _gave(saved: Checkpoint, result: Mapping[str, Any]) -> bool:
    """Return whether `result` is of the best weights of `saved`; the first versions recorded only the epochs."""
    if (expected := result.get("weights_sha256")) is not None:
        return bool(digest(saved.best, saved._mapping) == expected)
    reached = {"best_epoch": saved.progress.best_epoch, "epochs": len(saved.progress.history)}
    return all(result.get(key, found) == found for key, found in reached.items())


def _both(folder: Path) -> list[Path]:
    """Return the checkpoints that are there, the newest first."""
    return [path for name in (NEWEST, PREVIOUS) if os.path.lexists(path := folder / name)]


def read(path: Path) -> Checkpoint:
    """Return the checkpoint at `path`, on the CPU, checksum verified. Raises as `load`, or that it is damaged."""
    return _read(Checkpoint, path)


def _read(kind: type[R], path: Path, mapped: bool = False) -> R:
    content, mapping = _content(path, mapped)
    saved = _validated(kind, path, content)
    saved._name, saved._mapping = path.name, mapping
    return saved


def _content(path: Path, mapped: bool) -> tuple[dict[str, Any], Mapped]:
    """Return the content of a checkpoint file once its checksum is verified, and where it is mapped."""
    try:
        with open_regular(path, torch_file.LARGEST, CheckpointError) as file:
            content = _parse(file, mapped)
            mapping = mapped_at(file) if mapped else NOWHERE
        found = content.get("format")
        if found != FORMAT and isinstance(found, int):  # whose checksum may be another
            raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}, found {found}")
        sound, damage = content.pop("sha256") == digest(content, mapping), "its content does not match its SHA-256"
    except FileNotFoundError:
        raise CheckpointError(f"{path}: No such file or directory") from None
    except NcfError:
        raise
    except Exception as error:  # a damaged archive raises any of a dozen errors, all of which mean the same
        if isinstance(error, OSError) and not is_out_of_memory(error):
            raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
        sound, damage = False, "" if is_out_of_memory(error) else _in_a_line(error)
    if sound:
        return content, mapping
    if not damage:  # raised here, where no other error is its context
        raise TrainingError(f"{path}: not read, because there is no memory left; it may well be intact")
    raise _DamagedError(f"{path}: not a checkpoint, or damaged ({damage})")


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _validated(kind: type[R], path: Path, content: dict[str, Any]) -> R:
    """Return `content` as a typed record. Raises CheckpointError, naming the key, if it is not one."""
    try:
        return kind.model_validate({key: value for key, value in content.items() if key != "format"})
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
        if is_out_of_memory(error):
            raise
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{folder / NEWEST}: its state does not fit this run ({found})") from None


def _parse(file: BinaryIO, mapped: bool) -> dict[str, Any]:
    """Return the content with its SHA-256. Raises any exception if the file is not a checkpoint."""
    torch_file.check(file, os.fstat(file.fileno()).st_size)
    file.seek(0)
    source = (
        f"/dev/fd/{file.fileno()}" if mapped else file
    )  # the file that was looked through, whatever its name is now
    content = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)  # noqa: TID251  the only one
    if not isinstance(content, dict) or "sha256" not in content:
        raise ValueError("expected a dict with its SHA-256")
    return content


def digest(value: Any, mapping: Mapped = NOWHERE) -> str:
    """Return the SHA-256 hex digest of nested dicts, lists, tensors and primitives, however a file stores them."""
    sha = hashlib.sha256()
    _feed(sha, value, mapping)
    return sha.hexdigest()


def _feed(sha: Any, value: Any, mapping: Mapped) -> None:
    if isinstance(value, Mapping):
        sha.update(f"dict {len(value)};".encode())
        for key, item in value.items():
            _feed(sha, key, mapping)
            _feed(sha, item, mapping)
    elif isinstance(value, list | tuple):
        sha.update(f"list {len(value)};".encode())
        for item in value:
            _feed(sha, item, mapping)
    elif isinstance(value, Tensor):
        sha.update(f"{value.dtype} {tuple(value.shape)};".encode())
        for part in value.detach().cpu().contiguous().view(-1).view(torch.uint8).split(_AT_ONCE):
            sha.update(part.numpy().data)
            mapping.give_back(part)
    else:
        sha.update(f"{type(value).__name__} {value!r};".encode())
