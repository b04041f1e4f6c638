"""What commands share: options, errors as one line with exit status 2, streams that may be gone, tables."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from ncf.core import command_line
from ncf.core.command_line import Parser, take_imports, text_table, visible
from ncf.core.files import atomic
from ncf.core.registry import IMPORTS
from ncf.errors import ConfigError, DataError


def parser() -> Parser:
    subject = Parser("ncf.toy", "First line.\n\nMore.")
    subject.add_argument("--top", type=int, default=3)
    subject.add_overrides("as for training")
    return subject


def test_the_module_and_the_first_line_of_its_docstring_describe_a_command() -> None:
    assert (parser().prog, parser().description) == ("python -m ncf.toy", "First line.")
    assert Parser("ncf.toy", None).description == ""


@pytest.mark.parametrize("arguments", [["top=5", "seed=1"], ["--top", "5", "seed=1"], ["seed=1", "--top=5"]])
def test_an_option_is_spelt_with_or_without_dashes_and_the_rest_are_overrides(arguments: list[str]) -> None:
    options = parser().parse(arguments)
    assert (options.top, options.overrides, options.config_dir) == (5, ["seed=1"], None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["top=many"], "top: expected a whole number, got 'many'"), (["--bottom", "1"], "--bottom")],
)
def test_a_bad_option_is_a_configuration_error_that_names_it(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parser().parse(arguments)
    assert complaint in str(caught.value)
    assert str(caught.value).endswith("(--help shows the options)")


class Full(io.StringIO):
    """A stream behind which the disk is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_WRONLY)


@dataclass(frozen=True)
class Streams:
    """A file that stdout goes to, with a descriptor of its own so that a command may redirect it, and stderr."""

    path: Path
    err: io.StringIO

    def out(self) -> str:
        sys.stdout.flush()
        return self.path.read_text()


@contextmanager
def streams(folder: Path, **replaced: object) -> Iterator[Streams]:
    """stdout and stderr that a command may do with as it likes while the context lasts."""
    path, err = folder / "stdout", io.StringIO()
    with path.open("w", encoding="ascii") as file, pytest.MonkeyPatch.context() as patch:
        for name, stream in ({"stdout": file, "stderr": err} | replaced).items():
            patch.setattr(sys, name, stream)
        yield Streams(path, err)


def ended(command: Callable[[Sequence[str]], None], arguments: Sequence[str] = ()) -> object:
    """The exit status of `run`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["toy", *arguments])
        with pytest.raises(SystemExit) as caught:
            command_line.run(command)
    return caught.value.code


def failing(error: BaseException) -> Callable[[Sequence[str]], NoReturn]:
    """A command that prints a line and then raises `error`."""

    def command(arguments: Sequence[str]) -> NoReturn:
        print("first", flush=True)
        raise error

    return command


def test_a_command_gets_the_arguments_and_ends_with_status_0(tmp_path: Path) -> None:
    with streams(tmp_path) as found:
        assert ended(lambda arguments: print(*arguments), ["a=1", "b"]) == 0
        assert found.out() == "a=1 b\n"


@pytest.mark.parametrize("error", [ConfigError("seed: expected more"), DataError("line 3: expected less")])
def test_an_error_that_the_user_can_mend_is_one_line_and_status_2(tmp_path: Path, error: Exception) -> None:
    with streams(tmp_path) as found:
        assert ended(failing(error)) == 2
        assert found.err.getvalue() == f"error: {error}\n"


def test_ctrl_c_is_one_line_and_status_130(tmp_path: Path) -> None:
    with streams(tmp_path) as found:
        assert ended(failing(KeyboardInterrupt())) == 130
        assert found.err.getvalue() == "interrupted\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_a_lack_of_memory_is_one_line_and_status_1(tmp_path: Path, error: Exception) -> None:
    with streams(tmp_path) as found:
        assert ended(failing(error)) == 1
        assert found.err.getvalue() == "error: out of memory\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_no_half_written_file(tmp_path: Path, number: int) -> None:
    def command(arguments: Sequence[str]) -> None:
        with atomic(tmp_path / "output") as file:
            file.write(b"half")
            os.kill(os.getpid(), number)

    with streams(tmp_path):
        assert ended(command) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["stdout"]


def test_another_error_is_not_hidden(tmp_path: Path) -> None:
    with streams(tmp_path), pytest.raises(ZeroDivisionError):
        command_line.run(failing(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BrokenPipeError(), 0, ""),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
    ],
)
def test_a_reader_that_is_gone_is_no_failure_and_a_full_disk_is(
    tmp_path: Path, error: OSError, status: int, said: str
) -> None:
    with streams(tmp_path) as found:
        assert ended(failing(error)) == status
        print("nothing more goes out")
        assert (found.out(), found.err.getvalue()) == ("first\n", said)


def test_a_full_disk_takes_nothing_from_a_run_that_is_finished(tmp_path: Path) -> None:
    with streams(tmp_path) as found:
        command_line.say("done")
        assert found.out() == "done\n"
    with streams(tmp_path, stdout=Full()) as found:
        command_line.say("done")
        assert found.err.getvalue() == (
            "the run has finished, but writing to stdout failed (No space left on device)\n"
        )


def test_what_stdout_cannot_encode_is_escaped(tmp_path: Path) -> None:
    with streams(tmp_path) as found:
        command_line.forgiving_streams()
        print("Élan 実験")
        assert found.out() == "\\xc9lan \\u5b9f\\u9a13\n"


@pytest.mark.parametrize("stderr", [Full(), None])  # None: `2>&-`
def test_what_stderr_cannot_take_is_dropped(tmp_path: Path, stderr: object) -> None:
    with streams(tmp_path, stderr=stderr):
        command_line.forgiving_streams()
        print("progress", file=sys.stderr, flush=True)
        assert not sys.stderr.isatty()  # whatever else is asked of it is the stream's own


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, which is not on the path."""
    monkeypatch.delenv(IMPORTS, raising=False)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "toy_losses", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy_losses.py").write_text("")
    return "toy_losses"


@pytest.mark.parametrize("spelling", [["--import=toy_losses"], ["--import", "toy_losses"]])
def test_imports_that_are_typed_are_made_and_taken_out(extension: str, spelling: list[str]) -> None:
    assert take_imports(["a=1", *spelling, "b"]) == ["a=1", "b"]
    assert extension in sys.modules


@pytest.mark.parametrize("arguments", [["--import"], ["--import="], ["a=1", "--import", ""]])
def test_an_import_of_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^--import: expected a module name, got none$"):
        take_imports(arguments)


def test_no_other_argument_imports_anything(extension: str) -> None:
    arguments = ["import=toy_losses", "+import=toy_losses", "loss=toy_losses", "--imports=toy_losses"]
    assert take_imports(arguments) == arguments
    assert extension not in sys.modules


def test_columns_of_a_table_are_as_wide_as_their_widest_cell() -> None:
    rows = [("neumf", 0.5, 10), ("a", 1 / 3, None)]
    assert text_table(["model", "ndcg@10", "n"], rows) == (
        "model  ndcg@10  n\n"
        "neumf  0.5000   10\n"
        "a      0.3333   None"
    )  # fmt: skip


def test_a_table_without_rows_is_its_header() -> None:
    assert text_table(["model", "n"], []) == "model  n"


def test_characters_that_move_the_cursor_or_turn_the_direction_are_shown_escaped() -> None:
    assert visible("a\x1b[2Jb\r\n\u202e\u2028\udcff") == r"a\x1b[2Jb\r\n\u202e\u2028\udcff"
    assert visible("Amélie (2001) γ × α 東京") == "Amélie (2001) γ × α 東京"


@pytest.mark.parametrize("argument", ["top=", "--top="])
def test_an_option_without_a_value_is_refused_by_its_name(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"^top: expected a value, got none$"):
        parser().parse([argument])


def test_a_mistyped_key_is_named_before_what_is_missing() -> None:
    options = Parser("ncf.some", "Some.")
    options.add_argument("--run", required=True)
    options.add_argument("--user")
    with pytest.raises(ConfigError, match=r"^usr: unknown option, expected one of run, user \(did you mean user\?\)$"):
        options.parse(["usr=3"])
    assert options.parse(["--run", "a=b", "--us=c=d"]).run == "a=b"  # a value, and an abbreviation
    options.add_argument("paths", nargs="*")
    assert options.parse(["run=x", "a=b"]).paths == ["a=b"]
