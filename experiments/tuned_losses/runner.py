"""Work through the repetitions: those that are not complete, block by block, each in one process at a time."""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.tuned_losses import table
from experiments.tuned_losses.design import HERE, REGISTRATION, Configuration, Design, Procedure, Rung, Unit
from experiments.tuned_losses.procedure import SHA_DIGITS, Repetition, Stopped, all_refitted
from experiments.tuned_losses.table import Row
from ncf.core.compose import compose, configuration
from ncf.core.signals import stop_flag
from ncf.errors import DataError
from ncf.launch.progress import duration
from ncf.runs.plan import plan_run
from ncf.runs.state import ClaimError, claim

RUNS, PILOT = HERE / "runs", HERE / "pilot"
LOCKS = HERE.parents[1] / "outputs" / "tuned_losses"
_LINE_SECONDS = 60.0  # between two progress lines, if they are not on a terminal


@dataclass(frozen=True)
class Work:
    """What to run: the repetitions of a study or of its pilot, and the folder of their rows.

    Attributes:
        reads_test: whether refits that learned are tested.
        given: units that tune nothing, and the configuration that each refits.
    """

    design: Procedure
    units: Sequence[Unit]
    rungs: Sequence[Rung]
    refits: int
    path: Path
    reads_test: bool = True
    given: Mapping[Unit, Configuration] = field(default_factory=dict)

    def complete(self, rows: Sequence[Row]) -> list[Unit]:
        """Return the repetitions that have their refits, or have used up those in reserve."""
        of: dict[Unit, list[Row]] = {unit: [] for unit in self.units}
        for row in rows:
            of.setdefault(Unit(row.block, row.draw, row.arm), []).append(row)
        return [unit for unit in self.units if self._refitted(unit, of[unit])]

    def _refitted(self, unit: Unit, rows: Sequence[Row]) -> bool:
        refits = [row for row in rows if row.stage == "refit"]
        if unit in self.given:
            return all_refitted(refits, 0.0, self.refits)
        last = [row.valid_ndcg for row in rows if (row.stage, row.epochs) == ("trial", self.rungs[-1].epochs)]
        return bool(last) and all_refitted(refits, self.design.refits.learned * max(last), self.refits)

    def make(self, unit: Unit, repetition: Repetition) -> None:
        """Make the runs of a unit that are missing. Raises Stopped."""
        if unit in self.given:
            repetition.refit(self.given[unit], 0.0)
        else:
            repetition.run()

    def whole_blocks(self, rows: Sequence[Row]) -> list[int]:
        """Return the blocks of which every repetition is complete."""
        done = set(self.complete(rows))
        return sorted({u.block for u in self.units} - {u.block for u in self.units if u not in done})


def study(design: Design, path: Path = RUNS) -> Work:
    """The registered repetitions."""
    return Work(design, design.units, design.rungs, design.refits.runs, path)


def registered(design: Design, path: Path = RUNS) -> list[Row]:
    """Return the finished runs of the study.

    Raises DataError as `table.read`, or for a row of another registration, or of a run that is not registered.
    """
    rows, units = table.read(path), set(design.units)
    for row in rows:
        where = f"{path}: {Unit(row.block, row.draw, row.arm).name}, {row.stage} {row.number}"
        if row.registration != design.sha256[:SHA_DIGITS]:
            raise DataError(
                f"{where}: made under another registration: its SHA-256 begins with {row.registration!r}, that of "
                f"{REGISTRATION.name} with {design.sha256[:SHA_DIGITS]}"
            )
        if Unit(row.block, row.draw, row.arm) not in units or row.seed != _seed(design, row):
            raise DataError(f"{where}: no registered run has {row.epochs} epochs and seed {row.seed}")
    return rows


def _seed(design: Design, row: Row) -> int | None:
    """The registered seed of a run; None if there is no such run."""
    unit = Unit(row.block, row.draw, row.arm)
    if row.stage == "refit":
        known = row.number < 2 * design.refits.runs and row.epochs == design.refits.epochs
        return design.refit_seed(unit, row.number) if known else None
    known = row.number < design.trials and row.epochs in {rung.epochs for rung in design.rungs}
    return design.trial_seed(unit, row.number) if known else None


def pilot(design: Design, path: Path = PILOT) -> Work:
    """Those before the registration."""
    own = design.pilot
    units = [
        Unit(own.first_block + n, draw, arm)
        for draw in range(own.draws)
        for n in range(own.blocks)
        for arm in design.arms
    ]
    return Work(design, units, own.rungs, own.refits, path)


def work(todo: Work) -> bool:
    """Run what is missing and not claimed by another process; return whether all is complete then.

    Stop signals end it between two steps; the run in hand is then lost, all others are in the table.
    """
    with configuration(), stop_flag() as stopped, contextlib.suppress(Stopped):
        data = plan_run(compose(todo.design.settings)).data()
        report, done = _reporter(todo), todo.complete(table.read(todo.path))
        for unit in todo.units:
            if stopped() or unit in done:
                continue
            with contextlib.suppress(ClaimError), claim(LOCKS / todo.path.stem / unit.name):
                finished = table.read(todo.path)
                done = todo.complete(finished)
                if unit in done:  # by another process, meanwhile
                    continue

                def append(row: Row) -> None:
                    table.append(todo.path, row)
                    report()

                own = (todo.design, unit, data, todo.rungs, todo.refits, finished, append, stopped)
                todo.make(unit, Repetition(*own, reads_test=todo.reads_test))
    rows = table.read(todo.path)
    print(line(todo, rows), file=sys.stderr)
    return len(todo.complete(rows)) == len(todo.units)


def line(todo: Work, rows: Sequence[Row], since: tuple[float, int] | None = None) -> str:
    """The progress: "7 of 30 blocks, 91 of 360 repetitions, 3570 runs, 2.3 core-hours, 3 h 05 min left".

    Args:
        since: when the pace began to be measured, and how many repetitions were complete then.
    """
    blocks, done = {unit.block for unit in todo.units}, len(todo.complete(rows))
    hours = sum(row.seconds for row in rows) / 3600
    text = (
        f"{len(todo.whole_blocks(rows))} of {len(blocks)} blocks, {done} of {len(todo.units)} repetitions, "
        f"{len(rows)} runs, {hours:.1f} core-hours"
    )
    if since and done > since[1]:
        left = (time.monotonic() - since[0]) / (done - since[1]) * (len(todo.units) - done)
        text += f", {duration(left)} left"
    return text


def _reporter(todo: Work) -> Callable[[], None]:
    """Return what shows the progress on stderr: a line that updates, or a line a minute if it is no terminal."""
    terminal, begun = sys.stderr.isatty(), (time.monotonic(), len(todo.complete(table.read(todo.path))))
    last = 0.0

    def show() -> None:
        nonlocal last
        if not terminal and time.monotonic() - last < _LINE_SECONDS:
            return
        last = time.monotonic()
        text = line(todo, table.read(todo.path), begun)
        print(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    return show
