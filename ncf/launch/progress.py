"""The progress of a sweep, read from its folder alone, and the line that shows it."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ncf.core.files import write_text
from ncf.core.outside import MEGABYTE, read_json
from ncf.core.periodic import every
from ncf.errors import DataError
from ncf.runs.state import RunStatus, run_status

PLAN = ".sweep.json"
_LARGEST_PLAN = 16 * MEGABYTE

_TERMINAL_SECONDS, _LOG_SECONDS = 2.0, 60.0  # between two progress lines


def write_plan(sweep: Path, name: str, ratios: Mapping[str, int]) -> None:
    """Write the plan file of the experiment `name` to the folder `sweep`; `ratios`: run -> negatives per positive."""
    write_text(sweep / f"{name}{PLAN}", json.dumps({"runs": dict(ratios)}, indent=1) + "\n")


def read_plan(sweep: Path) -> dict[str, int]:
    """Return the planned runs of the folder `sweep`: run -> negatives per positive. Raises DataError for a bad plan."""
    runs: dict[str, int] = {}
    for path in sorted(sweep.glob(f"*{PLAN}")):
        try:
            plan = read_json(path, DataError, _LARGEST_PLAN)
        except (DataError, FileNotFoundError) as error:  # found by glob, so a link to nothing
            reason = str(error).removeprefix(f"{path}: ")
            raise DataError(f"{path}: cannot be read as the plan file of a sweep ({reason})") from None
        own = plan.get("runs") if isinstance(plan, dict) else None
        if not isinstance(own, dict) or not all(_planned(name, ratio) for name, ratio in own.items()):
            raise DataError(f"{path}: cannot be read as the plan file of a sweep (it maps no runs to ratios)")
        runs |= own
    return runs


def _planned(name: str, ratio: object) -> bool:
    """Return whether a plan may say this: the name of a folder in the sweep's, and negatives per positive."""
    plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return plain and isinstance(ratio, int) and 0 < ratio < 2**31


class SweepProgress:
    """Polls the planned runs of a sweep; once a run is done, its folder is not read again.

    Args:
        sweep: the sweep's folder, with its plan files.
        ratios: run -> negatives per positive.
    """

    def __init__(self, sweep: Path, ratios: Mapping[str, int]) -> None:
        self._sweep, self._ratios = sweep, dict(ratios)
        self._done: dict[str, RunStatus] = {}
        self._started = max(path.stat().st_mtime for path in sweep.glob(f"*{PLAN}"))  # every start writes a plan file

    def look(self) -> list[RunStatus]:
        """Return the status of every run, in the planned order."""
        statuses = [self._done.get(name) or run_status(self._sweep / name) for name in self._ratios]
        self._done = {a.name: a for a in statuses if a.state == "done"}
        return statuses

    def line(self, statuses: list[RunStatus]) -> str:
        """Format as "212 of 600 done, 2 running, 1 failed, 3 h 05 min left"."""
        counts = Counter(a.state for a in statuses)
        stopped = [f"{counts['stopped']} stopped half-way"] if counts["stopped"] else []
        parts = [f"{counts['running']} running", f"{counts['failed']} failed", *stopped, *self._left(statuses)]
        return f"{counts['done']} of {len(statuses)} done, {', '.join(parts)}"

    def _left(self, statuses: list[RunStatus]) -> list[str]:
        """Estimate the time left from the pace since the last start; a run's cost is proportional to 1 + neg_ratio."""
        ends = {a.name: a.ended for a in statuses if a.ended is not None and a.ended > self._started}
        ahead = [a.name for a in statuses if a.state not in ("done", "failed")]
        if not ends or not ahead:
            return []
        until = time.time() if any(a.state == "running" for a in statuses) else max(ends.values())
        seconds_a_row = max(0.0, until - self._started) / self._rows(ends)
        return [f"{duration(seconds_a_row * self._rows(ahead))} left"]

    def _rows(self, names: Iterable[str]) -> int:
        return sum(1 + self._ratios[name] for name in names)


def duration(seconds: float) -> str:
    """Format as "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress_line(progress: SweepProgress) -> Iterator[None]:
    """Show the progress on stderr during the context: a line that updates, or a line per minute if not a terminal."""
    terminal = sys.stderr.isatty()

    def show(end: str) -> None:
        start = "\r\033[K" if terminal else ""
        print(f"{start}sweep: {progress.line(progress.look())}", end=end, file=sys.stderr, flush=True)

    try:
        with every(_TERMINAL_SECONDS if terminal else _LOG_SECONDS, lambda: show("" if terminal else "\n")):
            yield
    finally:
        show("\n")
