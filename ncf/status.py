"""`python -m ncf.status [folder]`: show the progress of the sweeps in a folder, read from the disk alone."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ncf.core import command_line
from ncf.core.command_line import visible
from ncf.errors import DataError
from ncf.launch.progress import PLAN, SweepProgress, read_plan
from ncf.runs.state import RunStatus, run_status

SWEEPS = Path("outputs/sweeps")
_LONGEST = 500  # characters of an error


def details(statuses: list[RunStatus]) -> list[str]:
    """Return a line per failed run, with its error, and per running or stopped one."""
    failed = [f"failed   {a.name}: {_shortened(a.error or '')}" for a in statuses if a.state == "failed"]
    begun = [
        f"{a.state:<8} {a.name}: {a.epochs} {a.unit}{'' if a.epochs == 1 else 's'}"
        for a in statuses
        if a.state in ("running", "stopped")
    ]
    return list(map(visible, failed + begun))


def _shortened(error: str) -> str:
    return error if len(error) <= _LONGEST else f"{error[:_LONGEST]}..."


def report(folder: Path) -> bool:
    """Print the sweeps in `folder` or directly below it; return whether no run has failed.

    Raises:
        DataError: there is no sweep, or its plan file is damaged.
    """
    try:
        found = [_looked_at(sweep) for sweep in _sweeps(folder)]
    except OSError as error:
        reason = f"expected a folder that can be read ({error.strerror or error})"
        raise DataError(f"{error.filename or folder}: {reason}") from None
    for sweep, line, statuses in found:
        print(f"{visible(sweep)}: {line}", *details(statuses), sep="\n  ")
    return not any(a.state == "failed" for _, _, statuses in found for a in statuses)


def _sweeps(folder: Path) -> list[Path]:
    sweeps = sorted({path.parent for pattern in ("", "*/") for path in folder.glob(f"{pattern}*{PLAN}")})
    if not sweeps:
        raise DataError(f"{folder}: expected a sweep (a folder with *{PLAN}), found none")
    return sweeps


def _looked_at(sweep: Path) -> tuple[Path, str, list[RunStatus]]:
    """Return the sweep, its line of progress, and the status of each run."""
    plan = read_plan(sweep)
    statuses = [run_status(sweep / name) for name in tqdm(plan, unit=" runs", delay=2, leave=False)]
    return sweep, SweepProgress(sweep, plan).line(statuses), statuses


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
