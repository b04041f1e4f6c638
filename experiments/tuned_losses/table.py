"""The committed table of finished runs: a row a run, appended as the run ends, by any number of processes.

It is a folder with a file a block, so that no file grows large. A run whose id is in the table is not made again, on
whatever machine. A line that a killed process left unfinished is cut off before the next one is written.
"""

import csv
import fcntl
import io
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from experiments.tuned_losses.design import Unit
from ncf.core.outside import read_text
from ncf.errors import DataError


@dataclass(frozen=True)
class Row:
    """A finished run.

    Attributes:
        block, draw, arm: of the repetition that it belongs to.
        stage: "trial" or "refit".
        number: of the trial or refit within the repetition.
        epochs: at most so many were allowed: of its rung, or of refits.
        run: id of the run's settings.
        seed: of the run.
        trained: epochs that it trained.
        best_epoch: the one that validation chose; 0 if the run failed.
        valid_ndcg, valid_hit: at that epoch; 0 if the run failed.
        test_ndcg, test_hit: likewise; None for a trial, and for a refit that never learned: not read.
        seconds: of CPU, of this rung alone.
        registration, commit: first digits of the registration's SHA-256 and of the commit of the code.
    """

    block: int
    draw: int
    arm: str
    stage: str
    number: int
    epochs: int
    run: str
    seed: int
    trained: int
    best_epoch: int
    valid_ndcg: float
    valid_hit: float
    test_ndcg: float | None
    test_hit: float | None
    seconds: float
    registration: str
    commit: str

    @property
    def lane(self) -> int:
        """Number of block and draw."""
        return Unit(self.block, self.draw, self.arm).lane


_KINDS: dict[str, Any] = {field.name: field.type for field in fields(Row)}
HEADER = ",".join(_KINDS) + "\n"


def read(folder: Path) -> list[Row]:
    """Return the finished runs; none if there is no folder.

    Raises DataError, naming file and line, for a row that is none, or is there twice. It shows no values: nobody is to
    see them before the end.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with a file a block")
    return [row for path in sorted(folder.glob("block-*.csv")) for row in _read(path)]


def _read(path: Path) -> list[Row]:
    text = read_text(path, DataError)
    lines = text[: text.rfind("\n") + 1].splitlines()
    if lines and f"{lines[0]}\n" != HEADER:
        raise DataError(f"{path} line 1: expected {HEADER.strip()}")
    rows = [_row(path, number, values) for number, values in enumerate(csv.reader(lines[1:]), 2)]
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(rows, 2):
        run = (row.draw, row.arm, row.stage, row.number, row.epochs)
        if wrong := _wrong(row, path) or ("a run once, found it again" if run in seen else ""):
            raise DataError(f"{path} line {number}: expected {wrong}")
        seen.add(run)
    return rows


def _row(path: Path, number: int, values: list[str]) -> Row:
    try:
        return Row(**{key: _value(kind, text) for (key, kind), text in zip(_KINDS.items(), values, strict=True)})
    except ValueError:
        raise DataError(f"{path} line {number}: expected a value for each of {', '.join(_KINDS)}") from None


def _wrong(row: Row, path: Path) -> str:
    """What a row should have and has not; "" if it is as it should be."""
    values = (row.valid_ndcg, row.valid_hit, row.test_ndcg, row.test_hit)
    if f"block-{row.block:02d}.csv" != path.name:
        return "a row of the block in the file's name"
    if row.stage not in ("trial", "refit"):
        return "a stage of trial, refit"
    if not all(value is None or 0 <= value <= 1 for value in values):  # nan is not
        return "metrics in [0, 1]"
    if (row.test_ndcg is None) != (row.test_hit is None) or (row.stage == "trial" and row.test_ndcg is not None):
        return "test metrics of a refit alone, both or none"
    if not 0 <= row.seconds < 1e9 or min(row.draw, row.number, row.epochs, row.trained, row.best_epoch) < 0:
        return "counts and seconds that are not negative"
    return ""


def _value(kind: Any, text: str) -> Any:
    if kind == float | None:
        return float(text) if text else None
    return kind(text)


def append(folder: Path, row: Row) -> None:
    """Append a row to the file of its block, durably."""
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(["" if v is None else v for v in asdict(row).values()])
    with (folder / f"block-{row.block:02d}.csv").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        whole = _end_of_last_line(file)
        file.truncate(whole)
        file.write(out.getvalue().encode() if whole else f"{HEADER}{out.getvalue()}".encode())
        file.flush()
        os.fsync(file.fileno())


def _end_of_last_line(file: Any) -> int:
    file.seek(0)
    return int(file.read().rfind(b"\n")) + 1
