"""ncf: does this change to a neural recommender really help?

Shape legend, used by every docstring of the package:
`B` users (or groups) in a batch, `K` negatives, `U` users, `I` items, `D` factors, `S` stacked runs, `N` units.
"""

import gc
import itertools
import os
import sys
from types import TracebackType
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`ncf.fit`, `evaluate`, `load` and `register`, imported when asked for: not every command needs torch."""
    if name in ("fit", "evaluate"):
        from ncf.runs import api

        return getattr(api, name)
    if name == "load":
        from ncf.runs.loading import load

        return load
    if name == "register":
        from ncf.runs.components import register

        return register
    raise AttributeError(f"module 'ncf' has no attribute {name!r}")


def _interrupted(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """End with one line and status 130 on Ctrl-C; show any other error as usual."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


def _is_started() -> bool:
    """Whether `python -m ncf.<command>` has begun this process and is looking for the command."""
    names = [name for option, name in itertools.pairwise(sys.orig_argv) if option == "-m"]
    return sys.argv[:1] == ["-m"] and any(name.partition(".")[0] == __name__ for name in names)


if sys.argv[:1] == ["-m"]:  # a command, `python -m ncf.train`, whose imports take seconds before its own frame begins
    sys.excepthook = _interrupted
if _is_started():
    gc.disable()  # what imports make stays; the command's frame, `ncf.core.command_line.imported`, enables it again
