"""Helpers for commands: key=value options, one-line errors with exit status 2, and text tables."""

import argparse
import contextlib
import difflib
import gc
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ncf.core.memory import is_out_of_memory
from ncf.core.registry import import_extensions
from ncf.core.signals import unwinding
from ncf.errors import ConfigError, NcfError

_IMPORT = "--import"

_OPTION = r"(?:-\w/)?--([\w-]+)"
_REWORDED = (  # argparse's messages, with the keys as they are typed
    (rf"argument {_OPTION}: invalid int value: (.*)", r"\1: expected a whole number, got \2"),
    (rf"argument {_OPTION}: invalid float value: (.*)", r"\1: expected a number, got \2"),
    (rf"argument {_OPTION}: invalid choice: (.*) \(choose from (.*)\)", r"\1: expected one of \3, got \2"),
    (rf"argument {_OPTION}: expected one argument", r"\1: expected a value, got none"),
    (rf"argument {_OPTION}: not allowed with argument {_OPTION}", r"\1: not allowed with \2"),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose options may be written key=value, as for training, or --key value.

    Args:
        module: the command's module, such as "ncf.compare".
        doc: that module's docstring; its first line describes the command.
    """

    def __init__(self, module: str, doc: str | None) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=(doc or "").partition("\n")[0],
            epilog="Options may be written as in the documentation: key=value is --key value.",
        )

    def add_overrides(self, help: str) -> None:
        """Add positional overrides of a training run, and `--config-dir` as in Hydra."""
        self.add_argument("overrides", nargs="*", help=help)
        self.add_argument("--config-dir", help="a folder of your own YAML files, with the layout of conf/")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the parsed options. Raises ConfigError, naming the option, if one is unknown, missing or invalid."""
        known = {key.lstrip("-") for action in self._actions for key in action.option_strings}
        if empty := next((a for a in arguments if a.endswith("=") and a.lstrip("-")[:-1] in known), None):
            raise ConfigError(f"{empty.lstrip('-')[:-1]}: expected a value, got none")
        self._refuse_unknown(arguments, known)
        spelled = [f"--{a}" if "=" in a and a.partition("=")[0] in known else a for a in arguments]
        return self.parse_intermixed_args(spelled)

    def _refuse_unknown(self, arguments: Sequence[str], known: set[str]) -> None:
        """Refuse a mistyped key before argparse misses the option that was meant; positional arguments may hold a =."""
        if not all(action.option_strings for action in self._actions):
            return
        for before, argument in zip(["", *arguments], arguments):
            key, separator, _ = argument.removeprefix("--").partition("=")
            value_of = before.startswith("--") and "=" not in before
            abbreviated = argument.startswith("--") and any(name.startswith(key) for name in known)
            if separator and not value_of and key not in known and not abbreviated:
                close = difflib.get_close_matches(key, known, n=1)
                meant = f" (did you mean {close[0]}?)" if close else ""
                names = [n.lstrip("-") for a in self._actions if a.dest != "help" for n in a.option_strings]
                raise ConfigError(f"{key}: unknown option, expected one of {', '.join(names)}{meant}")

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError instead of printing the usage and exiting; it names keys as they are typed, key=value."""
        raise ConfigError(f"{_reworded(message)} (--help shows the options)")


def _reworded(message: str) -> str:
    for theirs, ours in _REWORDED:
        if (match := re.fullmatch(theirs, message, re.DOTALL)) is not None:
            return match.expand(ours)
    if match := re.fullmatch(r"one of the arguments (.*) is required", message):
        return f"expected one of {_as_typed(match[1])}, found none"
    if match := re.fullmatch(r"the following arguments are required: (.*)", message):
        return f"expected {_as_typed(match[1])}, found none"
    return message


def _as_typed(options: str) -> str:
    """Return "user=..., items=..." for "--user --items"."""
    return re.sub(r",? --", ", ", re.sub(r"(--[\w-]+)", r"\1=...", options)).removeprefix("--")


def run(command: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run `command` and exit with its status (None: 0), or with 2 and one line for an error that the user can fix.

    Ctrl-C ends it with 130, SIGTERM and SIGHUP with 143 and 129, each without a half-written file, and running out of
    memory with 1.
    """
    imported()
    forgiving_streams()
    status = None
    try:
        with unwinding():
            status = command(take_imports(sys.argv[1:]))
            sys.stdout.flush()
    except KeyboardInterrupt:
        drop_output()
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except NcfError as error:
        print(f"error: {visible(error)}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, `head` for example, has closed the pipe
        drop_output()
    except (OSError, MemoryError, RuntimeError) as error:
        if not isinstance(error, OSError) and not is_out_of_memory(error):
            raise
        drop_output()
        print(f"error: {'out of memory' if is_out_of_memory(error) else error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(status or 0)


def imported() -> None:
    """Collect garbage from now on, where the start of the command has put it off, and only in what is made from now on.

    Looking through what the imports make, again and again as it grows, would take a sixth of the time of the start.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def take_imports(arguments: Sequence[str]) -> list[str]:
    """Import the modules named by `--import my_losses`, and return the other arguments.

    Only the user can ask for an import, by typing it: no configuration file or run folder can.

    Raises:
        ConfigError: no module is named, or one cannot be imported.
    """
    others, remaining = [], iter(arguments)
    for argument in remaining:
        option, separator, modules = argument.partition("=")
        if option != _IMPORT:
            others.append(argument)
            continue
        modules = modules if separator else next(remaining, "")
        if not modules:
            raise ConfigError(f"{_IMPORT}: expected a module name, got none")
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does, but an installed command does not
        import_extensions(modules)
    return others


def forgiving_streams() -> None:
    """Escape what stdout cannot encode (in a title, for example), and ignore write errors on stderr.

    A stream that is closed from the start (`>&-`) takes everything and keeps nothing.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = _BestEffortStream(sys.stderr or io.StringIO())  # None after `2>&-`


class _BestEffortStream:
    """A stream for progress and messages that ignores write errors: a full disk or a closed pipe must not end a run."""

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
    """Print `text` at the end of a run; if stdout cannot be written to, say so on stderr instead of failing."""
    try:
        print(text, flush=True)
    except OSError as error:
        drop_output()
        print(f"the run has finished, but writing to stdout failed ({error.strerror})", file=sys.stderr)


def drop_output() -> None:
    """Redirect stdout to the null device after a write error; otherwise Python reports the error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def visible(text: object) -> str:
    """Escape control and direction characters, with which a name from outside could rewrite or reorder a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def text_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table: one line per row, left-aligned columns, floats with four decimals."""
    texts = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in [list(header), *texts]]
    return "\n".join(line.rstrip() for line in lines)
