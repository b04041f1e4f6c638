"""`python -m ncf.status [folder]`: show the progress of the sweeps in a folder, read from the disk alone."""

from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.errors import DataError
from ncf.launch.progress import PLAN, SweepProgress, read_plan
from ncf.runs.state import RunStatus

SWEEPS = Path("outputs/sweeps")


def details(statuses: list[RunStatus]) -> list[str]:
    """Return a line per failed run, with its error, and per running or stopped one."""
    failed = [f"failed   {a.name}: {a.error}" for a in statuses if a.state == "failed"]
    begun = [f"{a.state:<8} {a.name}: {a.epochs} epochs" for a in statuses if a.state in ("running", "stopped")]
    return failed + begun


def report(folder: Path) -> bool:
    """Print the sweeps in `folder` or directly below it; return whether no run has failed.

    Raises:
        DataError: there is no sweep, or its plan file is damaged.
    """
    sweeps = sorted({path.parent for pattern in ("", "*/") for path in folder.glob(f"{pattern}*{PLAN}")})
    if not sweeps:
        raise DataError(f"{folder}: expected a sweep (a folder with *{PLAN}), found none")
    healthy = True
    for sweep in sweeps:
        progress = SweepProgress(sweep, read_plan(sweep))
        statuses = progress.look()
        print(f"{sweep}: {progress.line(statuses)}", *details(statuses), sep="\n  ")
        healthy = healthy and not any(a.state == "failed" for a in statuses)
    return healthy


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.status", __doc__)
    options.add_argument(
        "folder", nargs="?", type=Path, default=SWEEPS, help=f"folder of one or more sweeps ({SWEEPS})"
    )
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if a run has failed. Raises NcfError for errors that the user can fix."""
    return 0 if report(parser().parse(arguments).folder) else 1


if __name__ == "__main__":
    command_line.run(main)
