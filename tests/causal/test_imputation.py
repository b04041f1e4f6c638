"""Imputed effects against diff-diff on castle doctrine, and by hand; see also test_group_time.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from panels import castle, staggered

from ncf.causal.imputation import imputation
from ncf.causal.panel import Panel
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "did_castle.json").read_text())


def test_the_imputed_effect_is_that_of_the_reference() -> None:
    found, expected = imputation(castle()), REFERENCE["castle_imputation_diff_diff"]
    assert found.value == pytest.approx(expected["overall_att"], rel=1e-6)
    assert found.standard_error == pytest.approx(expected["se"], rel=1e-6)


def test_without_noise_every_effect_is_found_exactly() -> None:
    panel, true = staggered(np.random.default_rng(0), noise=0.0, growth=0.7)
    found = imputation(panel)
    assert found.value == pytest.approx(true[panel.treated].mean(), abs=1e-10)
    assert found.standard_error == pytest.approx(0, abs=1e-10)


def test_holes_are_imputed_around() -> None:
    panel, true = staggered(np.random.default_rng(1), noise=0.0)
    weights = (np.random.default_rng(2).random(true.shape) > 0.15).astype(float)
    seen = weights > 0
    cut = Panel(panel.outcome * seen, panel.treated & seen, weights, panel.units, panel.periods)
    assert imputation(cut).value == pytest.approx(true[cut.treated].mean(), abs=1e-9)


def test_weights_weigh_treated_observations() -> None:
    panel, _ = staggered(np.random.default_rng(3), first=(3, 8), growth=1.0, noise=0.0)
    weights = np.ones_like(panel.weights)
    weights[:, 7] = 3.0
    own = Panel(panel.outcome, panel.treated, weights, panel.units, panel.periods)
    effects = np.array([1.0, 2, 3, 4, 5])
    assert imputation(own).value == pytest.approx(effects @ [1, 1, 1, 1, 3] / 7, abs=1e-9)


def test_a_unit_or_period_without_untreated_observations_is_named() -> None:
    panel, _ = staggered(np.random.default_rng(4), units=12, first=(3, 5))
    with pytest.raises(StatisticsError, match="untreated observations of every period, found none of 5"):
        imputation(panel)


def test_periods_that_no_untreated_unit_links_are_refused_and_not_guessed() -> None:
    seen = np.array([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1]], float)
    treated = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    outcome = np.array([[1, 1, 5, 5], [0, 0, 100, 100], [2, 2, 9, 0], [0, 0, 50, 51.0]])
    apart = Panel(outcome, treated, seen, np.array(["a", "b", "c", "d"]), np.arange(4))
    with pytest.raises(StatisticsError, match="link period 2 to the untreated periods of unit a"):
        imputation(apart)
    seen[1, 1] = 1  # b links them; least squares: periods 0, 0, 99.75, 100.25, since d rises by 1 and b by 0 in the end
    linked = Panel(outcome, treated, seen, apart.units, apart.periods)
    assert imputation(linked).value == pytest.approx((4 - 99.75 + 4 - 100.25 + 7 - 99.75) / 3)
