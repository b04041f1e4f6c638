"""The driver of a sweep, and its workers' end: one that is killed takes them with it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

DRIVER = "NCF_DRIVER"
"""Environment variable by which a worker process knows its driver's process id."""

_LOOK_SECONDS, _INSIST_SECONDS = 0.5, 0.2
_watching = threading.Lock()  # held once this process watches


@contextmanager
def driving() -> Iterator[None]:
    """Make this process the driver of the workers that are started during the context."""
    before = os.environ.get(DRIVER)
    os.environ[DRIVER] = str(os.getpid())
    try:
        yield
    finally:
        if before is None:
            del os.environ[DRIVER]
        else:
            os.environ[DRIVER] = before


def is_driver() -> bool:
    """Return whether this is no worker process."""
    return os.environ.get(DRIVER, str(os.getpid())) == str(os.getpid())


def end_with_driver() -> None:
    """In a worker process, call `end_with` for its driver."""
    if not is_driver():
        end_with(int(os.environ[DRIVER]))


def end_with(parent: int) -> None:
    """End this process soon after `parent`, its parent, has ended, however that ended; a run in hand is saved first."""
    if _watching.acquire(blocking=False):
        threading.Thread(target=_watch, args=[parent], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    while True:  # the first signal has a run in hand saved; one that nobody heeds any more ends the process
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_INSIST_SECONDS)
