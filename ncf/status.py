"""`python -m ncf.status [folder]`: how far the sweeps in a folder are, read from the disk alone."""

from collections.abc import Sequence
from pathlib import Path

from ncf.core import command_line
from ncf.errors import DataError
from ncf.launch.progress import PLAN, SweepProgress, read_plan
from ncf.runs.state import RunStatus

SWEEPS = Path("outputs/sweeps")


def details(statuses: list[RunStatus]) -> list[str]:
    """A line for each run that failed, with its error, and for each that is under way."""
    failed = [f"failed   {a.name}: {a.error}" for a in statuses if a.state == "failed"]
    begun = [f"{a.state:<8} {a.name}: {a.epochs} epochs" for a in statuses if a.state in ("running", "stopped")]
    return failed + begun


def report(folder: Path) -> bool:
    """Print the sweeps in `folder`, or in the folders right below it; whether no run has failed.

    Raises:
        DataError: there is no sweep, or its plan is broken.
    """
    sweeps = sorted({path.parent for pattern in ("", "*/") for path in folder.glob(f"{pattern}*{PLAN}")})
    if not sweeps:
        raise DataError(f"{folder}: expected a sweep (a folder with *{PLAN}), found none")
    sound = True
    for sweep in sweeps:
        progress = SweepProgress(sweep, read_plan(sweep))
        statuses = progress.look()
        print(f"{sweep}: {progress.line(statuses)}", *details(statuses), sep="\n  ")
        sound = sound and not any(a.state == "failed" for a in statuses)
    return sound


def parser() -> command_line.Parser:
    """The options of the command."""
    options = command_line.Parser("ncf.status", __doc__)
    options.add_argument("folder", nargs="?", type=Path, default=SWEEPS, help=f"of a sweep, or of several ({SWEEPS})")
    return options


def main(arguments: Sequence[str]) -> int:
    """The command line: 1 if a run has failed. Raises NcfError for whatever the user can mend."""
    return 0 if report(parser().parse(arguments).folder) else 1


if __name__ == "__main__":
    command_line.run(main)
