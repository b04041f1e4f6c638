"""The runs of a sweep that a report lacks, wholly or in part: failed, stopped, still running, or of damaged ranks.

An arm that loses its bad seeds this way looks better than it is, so a report says of each why it is not there.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ncf.core.command_line import visible
from ncf.errors import DataError
from ncf.runs.artifacts import RANKS, RESULT
from ncf.runs.ranks_file import read_ranks
from ncf.runs.state import FAILURE, LOCK, failure, state

COLUMNS = ["run", "state", "reason"]
_MOST_NAMED = 5
_LONGEST = 200  # characters of a reason
_DAMAGED = "ranks"
_SAID = {  # state -> what is said of one run, and of several
    "failed": ("failed", "failed"),
    "stopped": ("stopped before its end", "stopped before their end"),
    "running": ("is still running", "are still running"),
    _DAMAGED: (f"has a damaged {RANKS} (its metrics are those of its {RESULT})",
               f"have a damaged {RANKS} (their metrics are those of their {RESULT})"),
}  # fmt: skip
_CONSEQUENCE = (
    "Runs without a result are in no table, figure or test; an arm that has lost its bad seeds looks better than it is"
)


def unfinished(sweeps: Iterable[Path]) -> pd.DataFrame:
    """Return a row for each run directly below `sweeps` without a result: `COLUMNS`, the state as `ncf.runs.state`."""
    folders = [path for sweep in sweeps if not (sweep / RESULT).exists() for path in sorted(sweep.glob("*/"))]
    states = {folder: _state(folder) for folder in dict.fromkeys(folders)}
    return pd.DataFrame(
        [(folder.name, own, _reason(folder, own)) for folder, own in states.items() if own in _SAID], columns=COLUMNS
    )


def damaged_ranks(finished: Sequence[Path]) -> pd.DataFrame:
    """Return a row for each finished run whose `ranks.csv` cannot be read: `COLUMNS`."""
    rows = []
    for folder in tqdm(finished, desc="ranks", unit=" runs", delay=2, leave=False):
        try:
            if (folder / RANKS).exists():
                read_ranks(folder, "test")
        except DataError as error:
            rows.append((folder.name, _DAMAGED, _short(str(error).removeprefix(f"{folder}/"))))
    return pd.DataFrame(rows, columns=COLUMNS)


def notes(table: pd.DataFrame, finished: int) -> list[str]:
    """Return a sentence a state, "1 of 15 runs failed: mf-2: TrainingError: ...", and what follows for the report.

    Args:
        table: rows of `unfinished` and `damaged_ranks`.
        finished: number of finished runs.
    """
    if table.empty:
        return []
    total, found = finished + int((table["state"] != _DAMAGED).sum()), []
    for name, (one, several) in _SAID.items():
        own = table[table["state"] == name]
        if len(own):
            runs = "; ".join(_named(*row) for row in own[COLUMNS].head(_MOST_NAMED).itertuples(index=False))
            more = f"; and {len(own) - _MOST_NAMED} more" if len(own) > _MOST_NAMED else ""
            found.append(f"{len(own)} of {total} runs {one if len(own) == 1 else several}: {runs}{more}")
    return [*found, _CONSEQUENCE] if total > finished else found


def _state(folder: Path) -> str | None:
    """Return the state of a run without a result; None of a folder that is no run, or has a result."""
    if (folder / RESULT).exists():
        return None
    if (folder / LOCK).exists():
        return state(folder)
    return "failed" if (folder / FAILURE).exists() else None  # copied without hidden files


def _reason(folder: Path, own: str | None) -> str:
    return _short(failure(folder)) if own == "failed" else f"no {RESULT}"


def _short(text: str) -> str:
    first = next(iter(visible(text.strip().splitlines()[0]).splitlines()), "") if text.strip() else "no reason"
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 3]}..."


def _named(run: str, own: str, reason: str) -> str:
    return visible(f"{run}: {reason}" if own in ("failed", _DAMAGED) else run)
