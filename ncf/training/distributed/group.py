"""The processes of a run: how they find each other, agree on an error, and notice that one of them is gone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ncf.core.memory import is_out_of_memory
from ncf.errors import NcfError, TrainingError
from ncf.training.distributed.life import alive, meet

_SIGNS = ("gloo", "Gloo", "NCCL", "peer", "pair closure", "Broken pipe")  # of a partner that is gone, in messages
ANSWER_WITHIN = timedelta(minutes=5)
"""How long a process may keep others waiting: in a step, or without a sign of life while it works alone (`agreed`)."""

T = TypeVar("T")


class LostError(TrainingError):
    """Another process of the run has ended or does not answer.

    Attributes:
        first: whether this process is the first to say so.
    """

    def __init__(self, text: str, first: bool) -> None:
        super().__init__(text)
        self.first = first


@dataclass(frozen=True)
class Group:
    """The N processes of a run.

    Attributes:
        rank: of this process, from 0.
        size: N.
        device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @staticmethod
    def join(device: torch.device) -> "Group":
        """Meet the other processes that torchrun started, by nccl on CUDA and gloo elsewhere; alone without torchrun.

        Raises:
            TrainingError: they do not meet.
        """
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
            torch.cuda.set_device(device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        alone: dict[str, Any] = {} if "RANK" in os.environ else {"rank": 0, "world_size": 1, "store": dist.HashStore()}
        if not dist.is_initialized():
            try:
                dist.init_process_group(backend, timeout=ANSWER_WITHIN, **alone)
            except (RuntimeError, ValueError) as error:
                found = " ".join(str(error).split())[:160]
                raise TrainingError(f"the processes of the run do not meet: start them by torchrun ({found})") from None
        return Group(dist.get_rank(), dist.get_world_size(), device)

    def from_first(self, value: T) -> T:
        """Return the `value` of rank 0 in every process."""
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Add up `values` (...) over all processes, in place."""
        dist.all_reduce(values)
        return values


def wait_for_all(size: int | None = None) -> None:
    """Wait in the context of `agreed` until all processes, `size` if it is known, have called this, while they live."""
    size = dist.get_world_size() if size is None else size
    if size > 1:
        meet(size, ANSWER_WITHIN)


@contextmanager
def agreed(group: Group) -> Iterator[None]:
    """Raise in every process the error that any process raises in the context; the first rank's own is preferred.

    `agreed` is set on it: rank 0 has it too, so that the others need not say it again. A process may take as long as it
    needs in the context: the others wait for it while it lives.
    """
    own: NcfError | None = None
    with alive(group.rank) if group.size > 1 else nullcontext():
        try:
            yield
        except NcfError as error:
            own = error
        wait_for_all(group.size)
    found: list[Any] = [None] * group.size
    dist.all_gather_object(found, None if own is None else (type(own).__name__, str(own)))
    if all(each is None for each in found):
        return
    rank, (_, text) = next((rank, each) for rank, each in enumerate(found) if each is not None)
    told = own or TrainingError(f"rank {rank}: {text}")
    told.agreed = True  # type: ignore[attr-defined]
    raise told


@contextmanager
def as_lost(group: Group, how: str) -> Iterator[None]:
    """Turn the errors of a collective operation whose partner is gone into a LostError.

    A process that ends by an error of its own counts as the first to say so: the others have nothing to add.

    Args:
        how: how to go on.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "agreed", False):  # all have it
            raise
        first = _is_first()
        if not _of_partner(error):
            raise
        raise LostError(f"another process of the run has ended or does not answer; go on with {how}", first) from None


def _is_first() -> bool:
    """Return whether no process has asked this before."""
    with suppress(Exception):  # torchrun keeps the store of the group; otherwise it went with rank 0
        return int(dist.distributed_c10d._get_default_store().add("ncf/lost", 1)) == 1
    return True


def _of_partner(error: Exception) -> bool:
    if not isinstance(error, RuntimeError) or isinstance(error, NcfError) or is_out_of_memory(error):
        return False
    text = str(error)
    return isinstance(error, dist.DistError) or any(sign in text for sign in _SIGNS)
