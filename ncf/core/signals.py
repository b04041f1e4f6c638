"""Graceful shutdown: finish the current step, then stop."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STOPPED = 75  # exit status of a run that a signal stopped and that can be resumed (EX_TEMPFAIL in sysexits.h)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

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
def handling(handler: Handler, numbers: Sequence[signal.Signals] = _STOP_SIGNALS) -> Iterator[None]:
    """Call `handler` for each of the signals (SIGTERM, SIGINT, SIGUSR1 and SIGHUP); restore the handlers afterwards.

    SIGHUP stays ignored where it is, as under nohup.
    """
    heeded = [n for n in numbers if not (n == signal.SIGHUP and signal.getsignal(n) is signal.SIG_IGN)]
    previous = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def unwinding() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit, with the shell's status 128 + signal, so that temporary files go."""
    with handling(_unwind, _ENDING_SIGNALS):
        yield


def _unwind(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Yield a flag that a stop signal sets."""
    flag = StopFlag()
    with handling(flag.set):
        yield flag
