"""What the commands beside training share: options as key=value, errors as one line with exit status 2, tables."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ncf.core.registry import import_extensions
from ncf.errors import ConfigError, NcfError

_IMPORT = "--import"


class Parser(argparse.ArgumentParser):
    """Options may be written key=value, as for training, or --key value.

    Args:
        module: of the command, such as "ncf.compare".
        doc: of that module, whose first line describes the command.
    """

    def __init__(self, module: str, doc: str | None) -> None:
        super().__init__(prog=f"python -m {module}", description=(doc or "").partition("\n")[0])

    def add_overrides(self, help: str) -> None:
        """The overrides of a training run as positional arguments, and `--config-dir` as Hydra has it."""
        self.add_argument("overrides", nargs="*", help=help)
        self.add_argument("--config-dir", help="a folder of your own YAML files, laid out as conf/ is")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The options. Raises ConfigError, naming the option, for one that is unknown, missing or wrong."""
        known = {key.lstrip("-") for action in self._actions for key in action.option_strings}
        spelt = [f"--{a}" if "=" in a and a.partition("=")[0] in known else a for a in arguments]
        return self.parse_intermixed_args(spelt)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print over its usage."""
        raise ConfigError(f"{message} (--help shows the options)")


def run(command: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Exit with the status that `command` returns (None: 0), or 2 and one line for an error that the user can mend."""
    forgiving_streams()
    status = None
    try:
        status = command(take_imports(sys.argv[1:]))
        sys.stdout.flush()
    except NcfError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        drop_output()
    except OSError as error:
        drop_output()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(status or 0)


def take_imports(arguments: Sequence[str]) -> list[str]:
    """Import the modules that `--import my_losses` names; the arguments without it.

    It has to be typed: no configuration file and no run folder can import anything.

    Raises:
        ConfigError: no module is named, or it cannot be imported.
    """
    left, rest = [], iter(arguments)
    for argument in rest:
        option, separator, modules = argument.partition("=")
        if option != _IMPORT:
            left.append(argument)
            continue
        modules = modules if separator else next(rest, "")
        if not modules:
            raise ConfigError(f"{_IMPORT}: expected the name of a Python module, got none")
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it; an installed `ncf` command has not
        import_extensions(modules)
    return left


def forgiving_streams() -> None:
    """What stdout cannot encode, in the name of a folder or a title, is escaped; what stderr cannot take is dropped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _Droppable(sys.stderr or io.StringIO())  # `2>&-` leaves none


class _Droppable:
    """A stream for progress and messages: a full disk behind it, or a reader that is gone, ends no run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(text: str) -> None:
    """Print it; a reader that is gone, or a full disk behind stdout, takes nothing from a run that is finished."""
    try:
        print(text, flush=True)
    except OSError as error:
        drop_output()
        print(f"the run is finished, but stdout cannot be written to ({error.strerror})", file=sys.stderr)


def drop_output() -> None:
    """Nothing more goes to stdout, which could not be written to; else Python says so once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def text_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Left-aligned columns, a line a row; floats with four decimals."""
    texts = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in [list(header), *texts]]
    return "\n".join(line.rstrip() for line in lines)
