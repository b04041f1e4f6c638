"""Randomisation inference: against enumeration, and its level."""

import itertools

import numpy as np
import pytest
from panels import castle, staggered

from ncf.causal.panel import Panel
from ncf.causal.randomisation import randomisation
from ncf.causal.twfe import twfe
from ncf.stats.checks import StatisticsError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_all_arrangements_are_those_of_enumeration() -> None:
    panel, _ = staggered(rng(1), units=6, periods=5, first=(2, 3, 5))
    found = randomisation(panel, rng=rng())
    assert (found.exact, found.arrangements) == (True, 90)  # 6! / (2! 2! 2!)
    arrangements = set(itertools.permutations(panel.first.tolist()))
    effects = [twfe(panel.starting(np.array(first))).value for first in arrangements]
    np.testing.assert_allclose(np.sort(found.effects), np.sort(effects), atol=1e-9)
    assert found.observed == pytest.approx(twfe(panel).value, abs=1e-12)
    assert found.p == pytest.approx(np.mean(np.abs(effects) >= abs(found.observed) - 1e-9))


def test_drawn_arrangements_agree_with_all_of_them() -> None:
    panel, _ = staggered(rng(2), units=10, periods=4, first=(2, 4), effect=0.5)
    exact = randomisation(panel, draws=999, rng=rng())
    drawn = randomisation(panel, draws=200, rng=rng())
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p * (1 - exact.p) / 200) + 1 / 201)


def test_p_is_never_zero_and_one_treated_unit_of_n_reaches_one_in_n() -> None:
    panel, _ = staggered(rng(3), units=20, periods=6, first=(6,), noise=0.1)
    first = np.where(np.arange(20) == 7, 3, 6)
    treated = panel.starting(first)
    moved = Panel(panel.outcome + 50 * treated.treated, treated.treated, panel.weights, panel.units, panel.periods)
    assert randomisation(moved, rng=rng()).p == pytest.approx(1 / 20)
    assert randomisation(moved, draws=19, rng=rng()).p == pytest.approx(1 / 20)
    assert randomisation(castle(), draws=99, rng=rng()).p >= 1 / 100


@pytest.mark.parametrize("runs", [500, pytest.param(4000, marks=pytest.mark.slow)])
def test_it_keeps_its_level_whatever_the_noise(runs: int) -> None:
    draws, p = rng(4), []
    for _ in range(runs):
        panel, _ = staggered(draws, units=12, periods=5, first=(2, 5), effect=0.0, noise=0.0)
        noise = np.cumsum(draws.standard_cauchy(panel.outcome.shape), 1)
        heavy = Panel(panel.outcome + noise, panel.treated, panel.weights, panel.units, panel.periods)
        p.append(randomisation(heavy, rng=rng()).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / runs) + 2 / 924)


def test_what_cannot_be_dealt_out_is_refused() -> None:
    panel, _ = staggered(rng(5), units=6, first=(3, 8))
    with pytest.raises(StatisticsError, match="found one for all"):
        randomisation(panel.starting(np.full(6, 3)), rng=rng())
    with pytest.raises(StatisticsError, match="draws"):
        randomisation(panel, draws=3, rng=rng())
    holes = panel.weights.copy()
    holes[0, 0] = 0
    with pytest.raises(StatisticsError, match="balanced"):
        randomisation(Panel(panel.outcome, panel.treated, holes, panel.units, panel.periods), rng=rng())
