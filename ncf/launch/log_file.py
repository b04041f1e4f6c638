"""The log of a run, as the files in conf/hydra/job_logging/ set it up before anyone knows whether the run may start."""

import logging
import os
import stat
from io import TextIOWrapper
from pathlib import Path


class LogFile(logging.FileHandler):
    """Appends to a regular file, never through a link; opened by the first record or `begin`, so a refusal leaves none.

    A run goes on without a log that cannot be written.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", delay=True, errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            super().emit(record)
        except OSError:  # from opening it; errors of writing are handled like this already
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        # O_NONBLOCK: opening a FIFO that nobody reads fails at once instead of waiting.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{self.baseFilename}: expected a regular file")
        return os.fdopen(descriptor, "a", encoding=self.encoding, errors=self.errors)


def begin() -> None:
    """Create the log of this process's run, if there is one and it can be written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile) and not Path(handler.baseFilename).exists():
            try:
                handler.stream = handler.stream or handler._open()
            except OSError:
                continue
