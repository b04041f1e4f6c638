"""`python -m ncf` and the installed `ncf`: every command is listed and run, and nothing is imported before."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ncf
from ncf import __main__ as entrance

PACKAGE = Path(ncf.__file__).parent


def ended(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ncf", *arguments])
        with pytest.raises(SystemExit) as caught:
            entrance.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_all_are_listed_with_what_they_do(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "errors"}
    assert {line.split()[0] for line in lines} == modules | {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    assert all(len(line.split()) > 3 for line in lines)


VERBS = {"analyse", "ask", "draw", "estimate", "prepare", "show", "simulate", "train", "tune", "write"}


@pytest.mark.parametrize(("name", "summary"), entrance.commands().items())
def test_a_summary_is_one_imperative_phrase_and_no_command_line(name: str, summary: str) -> None:
    first, *others = summary.split()
    assert first in VERBS, "a command that is added may add its verb"
    assert others
    assert not set("`;:<>") & set(summary)
    assert not summary.endswith(".")
    assert f"ncf.{name}" not in summary


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"ncf {ncf.__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"), [("trian", "; did you mean train?"), ("zzz", ""), ("loss=focal", ""), ("errors", ""), ("..", "")]
)
def test_what_is_no_command_is_one_line(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(name) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: expected a command (abtest, beyond, ")
    assert said.endswith(f"got {name!r}{hint}\n")


def test_a_command_gets_its_arguments_and_its_status_is_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the script does that installing makes."""
    assert ended("status", str(tmp_path)) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: expected a sweep")


def test_listing_imports_nothing_heavy() -> None:
    script = "import sys; import ncf.__main__ as m; m.commands(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize("name", ["compare", "report.__main__"])
@pytest.mark.parametrize("given", [["--help"], ["--mistyped=1"]])
def test_help_and_a_mistyped_option_wait_for_no_heavy_import(name: str, given: list[str]) -> None:
    script = (
        f"import sys, contextlib, io; from ncf.errors import ConfigError; from ncf.{name} import main\n"
        f"with contextlib.suppress(SystemExit, ConfigError), contextlib.redirect_stdout(io.StringIO()): main({given})\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'scipy', 'matplotlib', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("argv", "status"), [(["-m"], 130), (["script.py"], -2)])
def test_ctrl_c_while_a_command_is_imported_is_one_line_and_elsewhere_pythons_own(argv: list[str], status: int) -> None:
    script = f"import sys; sys.argv = {argv}; import ncf; raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert (done.stderr == "interrupted\n") == (status == 130)


@pytest.mark.parametrize(
    ("typed", "argv", "started"),
    [
        (["python", "-u", "-m", "ncf.train", "seed=1"], "-m", True),
        (["python", "-m", "ncf", "train"], "-m", True),
        (["python", "-m", "ncf.train"], "train.py", False),  # its own frame has begun
        (["python", "-m", "pytest"], "-m", False),  # it imports ncf, but has no frame of ours
        (["python", "-m", "ncfx.train"], "-m", False),
        (["python", "ncf.py"], "ncf.py", False),
    ],
)
def test_only_a_command_of_ncf_puts_garbage_off(
    typed: list[str], argv: str, started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", typed)
    monkeypatch.setattr(sys, "argv", [argv])
    assert ncf._is_started() == started


@pytest.mark.parametrize("name", entrance.commands())
def test_every_command_has_the_frame_that_collects_garbage(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    text = (path if path.exists() else PACKAGE / name / "__main__.py").read_text()
    assert re.search(r'if __name__ == "__main__":\n    (command_line\.|hydra_app\.)?run\(main\b', text)


@pytest.mark.parametrize("command", [["ncf.status"], ["ncf", "status"]])
def test_a_command_that_has_begun_collects_garbage_but_not_in_its_imports(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text("import gc; print(gc.isenabled(), gc.get_freeze_count() > 1000)")
    line = [sys.executable, "-m", *command, "--import", "seen", "--help"]
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        line, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "True True"
