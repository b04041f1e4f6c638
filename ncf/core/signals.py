"""Graceful shutdown: finish the current step, then stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 75  # exit status of a run that a signal stopped and that can be resumed (EX_TEMPFAIL in sysexits.h)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

Handler = Callable[[int, FrameType | None], None]


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
def handling(handler: Handler) -> Iterator[None]:
    """Call `handler` for each stop signal (SIGTERM, SIGINT, SIGUSR1); restore the previous handlers afterwards."""
    previous = {number: signal.signal(number, handler) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Yield a flag that a stop signal sets."""
    flag = StopFlag()
    with handling(flag.set):
        yield flag
