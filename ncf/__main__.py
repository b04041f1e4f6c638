"""`python -m ncf`, and `ncf` once installed: list the commands, or run one: `ncf train loss=focal`."""

import ast
import difflib
import runpy
import sys
from pathlib import Path
from typing import NoReturn

import ncf

_PACKAGE = Path(__file__).parent
_NO_COMMANDS = ("__init__", "__main__", "errors")


def commands() -> dict[str, str]:
    """Map the name of each command to what it does, the first line of its docstring."""
    files = {path.stem: path for path in _PACKAGE.glob("*.py") if path.stem not in _NO_COMMANDS}
    files |= {path.parent.name: path for path in _PACKAGE.glob("*/__main__.py")}
    return {name: _summary(path) for name, path in sorted(files.items())}


def _summary(path: Path) -> str:
    """Return what a module's docstring says after the command line on its first line, up to a semicolon or full stop.

    Nothing is imported.
    """
    line = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
    return line.partition(": ")[2].partition(";")[0].rstrip(".")


def main() -> NoReturn:
    """Run the command that the first argument names, as `python -m ncf.<name>` does; list all if there is none."""
    name, *arguments = sys.argv[1:] or ["--help"]
    known = commands()
    if name in ("-h", "--help"):
        width = max(map(len, known))
        lines = [f"  {command:<{width}}  {summary}" for command, summary in known.items()]
        print("\n".join(["usage: ncf <command> [arguments]; ncf <command> --help shows its options", "", *lines]))
        sys.exit(0)
    if name == "--version":
        print(f"ncf {ncf.__version__}")
        sys.exit(0)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"error: expected a command ({', '.join(known)}), got {name!r}{hint}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"ncf {name}", *arguments]
    runpy.run_module(f"ncf.{name}", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
