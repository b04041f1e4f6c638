"""Signs of life: how the processes of a run wait for one that works alone, for as long as it is seen to live.

A collective operation gives up on a partner after a time that suits a step. What a process does alone, such as ranking
its users or, in rank 0, writing their ranks, takes longer the larger the data is, and no time suits all. So each
process has a thread that counts in the group's store while it works, and the others wait while it counts.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch.distributed as dist

from ncf.core.periodic import every

EVERY = 1.0  # seconds between two signs
_SHORTEST, _LONGEST = 0.001, 0.5  # seconds between two looks
_meetings = itertools.count()


@contextmanager
def alive(rank: int) -> Iterator[None]:
    """Show signs of life of this process in the context."""
    store = dist.distributed_c10d._get_default_store()

    def show() -> None:
        with suppress(RuntimeError):  # the store is gone; the main thread will see
            store.add(_sign(rank), 1)

    with every(EVERY, show):
        yield


def meet(size: int, within: timedelta) -> None:
    """Wait until all `size` processes have called this, each as often as the others.

    Without torchrun, which keeps the store, there is nothing to see: those who are left meet in their next collective
    operation, or not.

    Raises:
        DistError: one that has not called it has shown no sign of life for the time `within`.
    """
    try:
        lost = _lost(size, within)
    except dist.DistNetworkError:
        return
    if lost is not None:
        raise dist.DistError(f"rank {lost} shows no sign of life")


def _lost(size: int, within: timedelta) -> int | None:
    """Wait for all processes; return the one that has shown no sign of life for the time `within`, if there is one."""
    store, place, begin = dist.distributed_c10d._get_default_store(), f"ncf/met/{next(_meetings)}", time.monotonic()
    store.add(place, 1)
    signs = [-1] * size
    moments = [begin] * size
    while store.add(place, 0) < size:
        now = time.monotonic()
        for rank in range(size):
            if (sign := store.add(_sign(rank), 0)) != signs[rank]:
                signs[rank], moments[rank] = sign, now
        if now - min(moments) > within.total_seconds():
            return moments.index(min(moments))
        time.sleep(min(_LONGEST, _SHORTEST + (now - begin) / 10))
    return None


def _sign(rank: int) -> str:
    return f"ncf/alive/{rank}"
