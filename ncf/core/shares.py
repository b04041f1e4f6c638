"""Divide what is to be done between processes that need nothing of each other: whose share is which, and who speaks.

torchrun says in environment variables which of how many a process is; an array of a scheduler says it by `part=3/8`.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ncf.core.command_line import Parser
from ncf.errors import ConfigError, NcfError

MOST = 99_999  # parts; their numbers have five digits in the names of files
_PATIENCE = 5.0  # seconds that a silent process leaves to rank 0 to tell of an error first


@dataclass(frozen=True)
class Share:
    """One of several equal shares.

    Attributes:
        part: from 0.
        parts: how many there are.
        several: whether torchrun has started a process for each.
    """

    part: int = 0
    parts: int = 1
    several: bool = False

    @property
    def speaks(self) -> bool:
        """Whether this process tells of progress: of those that torchrun has started, rank 0 alone does."""
        return not self.several or self.part == 0

    def of(self, count: int) -> tuple[int, int]:
        """Return where this share of `count` begins and ends; all shares together are 0 to `count`, none twice."""
        return count * self.part // self.parts, count * (self.part + 1) // self.parts

    def file_name(self, suffix: str) -> str:
        """Return the name of this part's file; names sort as parts do."""
        return f"part-{self.part:05d}-of-{self.parts:05d}{suffix}"


@contextmanager
def speaking() -> Iterator[None]:
    """Leave it to rank 0 to tell of an error that it meets too; of one that others alone meet, they tell.

    torchrun ends all processes as soon as one has failed. So another than rank 0 waits to be ended, and raises its
    error only if that does not happen.
    """
    if (rank := _rank_and_size()[0]) == 0:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except NcfError:
        time.sleep(_PATIENCE + rank % 64 / 8)  # one after the other, lest all tell of the same
        raise
    finally:
        logging.disable(before)


def add_option(options: Parser, what: str) -> None:
    """Add `part=3/8` to the options of a command that writes `what`."""
    options.add_argument(
        "--part", help=f"write only this part of {what}, from 0/8 to 7/8; under torchrun each process writes its own"
    )


def asked(part: str | None) -> Share | None:
    """Return the share that the option `part` or torchrun asks of this process; None if neither does.

    Raises:
        ConfigError: both do, or `part` is not of the form 3/8.
    """
    launched = _launched()
    if part is None:
        return launched
    if launched is not None:
        raise ConfigError(f"part: not allowed with {launched.parts} processes of torchrun, each of which is a part")
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", part, re.ASCII)
    number, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 <= number < parts <= MOST:
        raise ConfigError(
            f"part: expected a number and how many there are, as 0/8 to 7/8 for eight parts, got {part!r:.40}"
        )
    return Share(number, parts)


def _launched() -> Share | None:
    rank, size = _rank_and_size()
    if size > MOST:
        raise ConfigError(f"part: expected at most {MOST:,} processes, found {size:,}")
    return Share(rank, size, several=True) if size > 1 else None


def _rank_and_size() -> tuple[int, int]:
    """Return which of how many processes of torchrun this one is."""
    rank, size = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if "MASTER_ADDR" not in os.environ or not (rank.isdecimal() and size.isdecimal()):
        return 0, 1
    return int(rank), int(size)
