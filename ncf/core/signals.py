"""Graceful shutdown: finish the current step, then stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 75  # exit status of a run that a signal stopped and that can be resumed (EX_TEMPFAIL in sysexits.h)

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopFlag:
    """Returns True when called, once a stop signal has arrived."""

    def __init__(self) -> None:
        self._requested = False

    def __call__(self) -> bool:
        return self._requested

    def set(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: only set the flag, so that a second signal during a save does no harm."""
        self._requested = True


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Yield a flag that SIGTERM, SIGINT and SIGUSR1 set; restore the previous handlers afterwards."""
    flag = StopFlag()
    previous = {number: signal.signal(number, flag.set) for number in ASKING}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
