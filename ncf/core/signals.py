"""Being asked to stop: a flag that the step in hand outlives."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 75  # exit status of a run that was asked to stop and can be resumed (EX_TEMPFAIL of sysexits.h)

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopFlag:
    """True once one of the signals has come."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    def set(self, signum: int, frame: FrameType | None) -> None:
        """The signal handler: it only sets the flag, so that a second signal during a save disturbs nothing."""
        self._asked = True


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """A flag that SIGTERM, SIGINT and SIGUSR1 set while the context lasts; the former handlers come back after it."""
    flag = StopFlag()
    former = {number: signal.signal(number, flag.set) for number in ASKING}
    try:
        yield flag
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
