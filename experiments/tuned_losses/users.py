"""How far a block's contrast moves with its users: measured in the pilot, for what more draws cannot save."""

import csv
import io
from collections.abc import Iterator

import numpy as np

from experiments.tuned_losses import table
from experiments.tuned_losses.design import Design, Unit
from experiments.tuned_losses.procedure import Repetition
from experiments.tuned_losses.runner import PILOT, pilot
from ncf.core.compose import compose, configuration
from ncf.core.files import write_text
from ncf.runs.plan import plan_run
from ncf.stats.checks import Array

USERS = PILOT / "users.csv"
HEADER = ("block", "draw", "contrast", "users", "mean", "error")


def measure(design: Design, lanes: int = 3) -> None:
    """Repeat the refits of the first `lanes` blocks of the pilot, and write each contrast's standard error over users.

    Both are relative to the mean of the baseline.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(HEADER)
    with configuration():
        for row in _rows(design, lanes):
            rows.writerow(row)
            write_text(USERS, out.getvalue())


def _rows(design: Design, lanes: int) -> Iterator[tuple[object, ...]]:
    todo, finished = pilot(design), table.read(PILOT)
    data = plan_run(compose(design.settings)).data()
    for block in range(design.pilot.first_block, design.pilot.first_block + lanes):
        values: dict[str, Array] = {}
        for arm in design.arms:
            unit = Unit(block, 0, arm)
            made = Repetition(design, unit, data, todo.rungs, todo.refits, finished, lambda row: None, lambda: False)
            values[arm] = np.mean(list(made.per_user()), axis=0)
        for contrast in design.contrasts:
            difference, level = values[contrast.treatment] - values[contrast.baseline], values[contrast.baseline].mean()
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            yield block, 0, contrast.name, len(difference), f"{difference.mean() / level:.6f}", f"{error / level:.6f}"
