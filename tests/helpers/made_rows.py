"""Rows of the study of tuned losses as if it had been run: values are drawn, with a given effect of focal loss."""

from collections.abc import Iterator

import numpy as np

from experiments.tuned_losses.design import Design, Unit
from experiments.tuned_losses.table import Row


def made_rows(design: Design, effect: float = 0.0, spread: float = 0.04, blocks: int | None = None) -> list[Row]:
    """Return all rows of the first `blocks` blocks; an arm's own part on a block has standard deviation `spread`."""
    rng = np.random.default_rng(0)
    units = [unit for unit in design.units if unit.block < (design.blocks if blocks is None else blocks)]
    return [row for unit in units for row in _rows(design, unit, effect, spread, rng)]


def _rows(design: Design, unit: Unit, effect: float, spread: float, rng: np.random.Generator) -> Iterator[Row]:
    value = 0.06 * (1 + effect * (unit.arm == "focal")) * (1 + spread * np.sqrt(design.draws) * rng.normal())
    common, rest = (unit.block, unit.draw, unit.arm), (1.0, "s", "c")
    for rung in design.rungs:
        for trial in range(rung.configurations):
            valid = round(float(value * (0.8 + 0.01 * trial + rung.epochs / 1000)), 7)
            name, seed = f"{unit.name}-{trial}-{rung.epochs}", design.trial_seed(unit, trial)
            yield Row(*common, "trial", trial, rung.epochs, name, seed, rung.epochs, 1, valid, 0.1, None, None, *rest)
    for number in range(design.refits.runs):
        test = round(float(value * (1 + 0.05 * rng.normal())), 7)
        name, seed = f"{unit.name}-{number}", design.refit_seed(unit, number)
        yield Row(*common, "refit", number, 60, name, seed, 20, 10, 0.06, 0.1, test, 2 * test, *rest)
