"""`python -m ncf.status [folder]`: how far the sweeps in a folder are, read from the disk alone."""

import sys
from pathlib import Path

from ncf.errors import DataError, NcfError
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


def main(arguments: list[str]) -> int:
    """Exit status 0, 1 if a run has failed, 2 for bad input."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(f"usage: python -m ncf.status [folder]    default: {SWEEPS}", file=sys.stderr)
        return 2
    try:
        return 0 if report(Path(*arguments) if arguments else SWEEPS) else 1
    except NcfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
