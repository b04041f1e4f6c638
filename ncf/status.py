"""`python -m ncf.status [folder]`: how far the sweeps in a folder are, read from the disk alone."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ncf.errors import DataError, NcfError
from ncf.files import write_text
from ncf.runs import Account, account

PLAN = ".sweep.json"
SWEEPS = Path("outputs/sweeps")

_TERMINAL_SECONDS, _LOG_SECONDS = 2.0, 60.0  # between two progress lines


def write_plan(sweep: Path, name: str, ratios: Mapping[str, int]) -> None:
    """Note in the folder `sweep` which runs the experiment `name` is to make: run -> negatives a positive."""
    write_text(sweep / f"{name}{PLAN}", json.dumps({"runs": dict(ratios)}, indent=1) + "\n")


def read_plan(sweep: Path) -> dict[str, int]:
    """Every run planned in the folder `sweep`: run -> negatives a positive. Raises DataError for a broken plan."""
    runs: dict[str, int] = {}
    for path in sorted(sweep.glob(f"*{PLAN}")):
        try:
            runs |= json.loads(path.read_text())["runs"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: expected the plan of a sweep, found none ({error!r})") from None
    return runs


class Survey:
    """The planned runs of a sweep, looked at again and again; a finished one is read once.

    Args:
        sweep: its folder, with the plan in it.
        ratios: run -> negatives a positive.
    """

    def __init__(self, sweep: Path, ratios: Mapping[str, int]) -> None:
        self._sweep, self._ratios = sweep, dict(ratios)
        self._done: dict[str, Account] = {}
        self._started = max(path.stat().st_mtime for path in sweep.glob(f"*{PLAN}"))  # every start writes its plan

    def look(self) -> list[Account]:
        """The account of every run, in the planned order."""
        accounts = [self._done.get(name) or account(self._sweep / name) for name in self._ratios]
        self._done = {a.name: a for a in accounts if a.state == "done"}
        return accounts

    def line(self, accounts: list[Account]) -> str:
        """Such as "212 of 600 done, 2 running, 1 failed, 3 h 05 min left"."""
        counts = Counter(a.state for a in accounts)
        stopped = [f"{counts['stopped']} stopped half-way"] if counts["stopped"] else []
        parts = [f"{counts['running']} running", f"{counts['failed']} failed", *stopped, *self._left(accounts)]
        return f"{counts['done']} of {len(accounts)} done, {', '.join(parts)}"

    def _left(self, accounts: list[Account]) -> list[str]:
        """Time left at the pace since the last start, once a run has ended; a run's rows grow as 1 + neg_ratio."""
        ends = {a.name: a.ended for a in accounts if a.ended is not None and a.ended > self._started}
        ahead = [a.name for a in accounts if a.state not in ("done", "failed")]
        if not ends or not ahead:
            return []
        until = time.time() if any(a.state == "running" for a in accounts) else max(ends.values())
        seconds_a_row = max(0.0, until - self._started) / self._rows(ends)
        return [f"{_duration(seconds_a_row * self._rows(ahead))} left"]

    def _rows(self, names: Iterable[str]) -> int:
        return sum(1 + self._ratios[name] for name in names)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress_line(survey: Survey) -> Iterator[None]:
    """One line on stderr that follows the sweep while the context lasts; a new line a minute if it is no terminal."""
    terminal, over = sys.stderr.isatty(), threading.Event()

    def show(end: str) -> None:
        start = "\r\033[K" if terminal else ""
        print(f"{start}sweep: {survey.line(survey.look())}", end=end, file=sys.stderr, flush=True)

    def follow() -> None:
        while not over.wait(_TERMINAL_SECONDS if terminal else _LOG_SECONDS):
            show("" if terminal else "\n")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        show("\n")


def details(accounts: list[Account]) -> list[str]:
    """A line for each run that failed, with its error, and for each that is under way."""
    failed = [f"failed   {a.name}: {a.error}" for a in accounts if a.state == "failed"]
    begun = [f"{a.state:<8} {a.name}: {a.epochs} epochs" for a in accounts if a.state in ("running", "stopped")]
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
        survey = Survey(sweep, read_plan(sweep))
        accounts = survey.look()
        print(f"{sweep}: {survey.line(accounts)}", *details(accounts), sep="\n  ")
        sound = sound and not any(a.state == "failed" for a in accounts)
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
