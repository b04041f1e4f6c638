"""The simulated chances: error rates at most as registered, power as the noncentral t says, spreads recovered."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.tuned_losses import planning
from experiments.tuned_losses.design import load
from experiments.tuned_losses.planning import Spread, measured, simulated

DESIGN = load()
SPREAD = Spread(0.06, 0.09, 10, 0.016, 0.05, 0.08)
OVERLAP = DESIGN.held_out_share / (1 + DESIGN.held_out_share)


@pytest.mark.parametrize("rest", [0.02, 0.05, 0.1])
def test_errors_are_at_most_alpha(rest: float) -> None:
    none = simulated(DESIGN, SPREAD, 0.0, rest, OVERLAP)
    assert none.any_error < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)
    worthwhile = simulated(DESIGN, SPREAD, DESIGN.smallest_effect, rest, OVERLAP)
    assert all(own["equivalent"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000) for own in worthwhile.chances)
    assert all(own["worse"] < 0.001 for own in worthwhile.chances)


def test_without_the_correction_of_the_variance_there_would_be_too_many() -> None:
    plain = DESIGN.model_copy(update={"held_out_share": 1e-9})
    assert simulated(plain, SPREAD, 0.0, 0.1, OVERLAP).any_error > 0.08


def test_power_lies_between_those_at_the_two_levels_of_holm() -> None:
    rest, effect = 0.05, 0.05
    found = simulated(DESIGN, SPREAD, effect, rest, OVERLAP).chances[0]["better"]
    variance = 2 * rest**2 * (1 - OVERLAP) * (1 / DESIGN.blocks + DESIGN.held_out_share)
    low, high = (
        stats.nct.sf(stats.t.isf(level / 2, DESIGN.blocks - 1), DESIGN.blocks - 1, effect / np.sqrt(variance))
        for level in (0.025, 0.05)
    )
    assert low - 0.01 < found < high + 0.01


def test_the_spread_of_a_pilot_is_recovered() -> None:
    rng = np.random.default_rng(2)
    index = pd.MultiIndex.from_product([range(400), [0]], names=["block", "draw"])
    values = 0.06 * (1 + 0.1 * rng.normal(size=(400, 1)) + 0.07 * rng.normal(size=(400, 3)))
    table = pd.DataFrame(values, index=index, columns=["bce", "alpha_bce", "focal"])
    refits = pd.DataFrame(
        [(b, 0, arm, 0.06 * (1 + 0.03 * rng.normal())) for b in range(400) for arm in table for _ in range(3)],
        columns=["block", "draw", "arm", "value"],
    )
    found = measured(table, refits, 0.02)
    assert (found.draw, found.refit, found.users) == pytest.approx((0.07, 0.03, 0.02 / np.sqrt(2)), rel=0.06)
    assert found.degrees == 798
    assert found.planned(4) == pytest.approx(np.sqrt(0.02**2 / 2 + found.limit**2 / 4))


def test_the_registered_design_has_its_power_at_the_upper_limit_of_the_pilot() -> None:
    spread = planning.pilot_spread(DESIGN)
    rest = spread.planned(DESIGN.draws)
    found = simulated(DESIGN, spread, DESIGN.smallest_effect, rest, OVERLAP)
    assert min(own["better"] for own in found.chances) >= DESIGN.power - 3 * found.error
    assert planning.core_hours(DESIGN) <= DESIGN.core_hours
