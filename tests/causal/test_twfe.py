"""Two-way fixed effects against pyfixest on castle doctrine, least squares on dummies, and simulated rollouts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from panels import castle, simulated, staggered

from ncf.causal.panel import Panel
from ncf.causal.twfe import event_study, placebo, twfe
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "did_castle.json").read_text())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("weighted", "key"), [(False, "unweighted_D"), (True, "weighted_popwt_D")])
def test_castle_doctrine_is_pyfixests(weighted: bool, key: str) -> None:
    found, expected = twfe(castle(weighted)), REFERENCE["castle_twfe"][key]
    assert found.value == pytest.approx(expected["att"], rel=1e-9)
    assert found.standard_error == pytest.approx(expected["se"], rel=1e-9)


def test_the_event_study_is_pyfixests() -> None:
    study = event_study(castle(), rng=rng())
    expected = REFERENCE["castle_twfe_event_study_ref-1"]
    assert [str(time) for time in study.times] == list(expected)
    for e, (value, error) in zip(study.estimates, expected.values(), strict=True):
        assert e.value == pytest.approx(value, abs=1e-9)
        assert e.standard_error == pytest.approx(error, rel=1e-9)
    assert all(low < e.low and e.high < high for e, (low, high) in zip(study.estimates, study.bands, strict=True))


def test_missing_observations_are_those_of_dummies() -> None:
    panel, _ = staggered(rng(1), units=12, first=(3, 5, 8))
    weights = (rng(2).random(panel.outcome.shape) > 0.2).astype(float)
    cut = Panel(panel.outcome * weights, panel.treated & (weights > 0), weights, panel.units, panel.periods)
    n, t = weights.shape
    x = np.hstack([np.repeat(np.eye(n), t, 0), np.tile(np.eye(t), (n, 1)), cut.treated.reshape(-1, 1)])
    seen = weights.ravel() > 0
    expected = np.linalg.lstsq(x[seen], cut.outcome.ravel()[seen], rcond=None)[0][-1]
    assert twfe(cut).value == pytest.approx(expected, abs=1e-10)


def test_two_groups_and_two_periods_are_a_difference_of_differences() -> None:
    y = np.array([[1.0, 4], [2, 6], [5, 6], [3, 3.5]])
    d = np.array([[0, 1], [0, 1], [0, 0], [0, 0]]) > 0
    found = twfe(Panel(y, d, np.ones((4, 2)), np.arange(4), np.arange(2)))
    assert found.value == pytest.approx(((4 + 6) - (1 + 2)) / 2 - ((6 + 3.5) - (5 + 3)) / 2)


def test_constants_and_unit_and_period_effects_change_nothing_and_order_neither() -> None:
    panel, _ = staggered(rng(3))
    n, t = panel.outcome.shape
    moved = panel.outcome + 7 + rng(4).normal(size=(n, 1)) + rng(5).normal(size=t)
    order = rng(6).permutation(n)
    for outcome, rows in ((moved, np.arange(n)), (panel.outcome, order)):
        other = Panel(outcome[rows], panel.treated[rows], panel.weights[rows], panel.units[rows], panel.periods)
        assert twfe(other).value == pytest.approx(twfe(panel).value, abs=1e-10)
        assert twfe(other).standard_error == pytest.approx(twfe(panel).standard_error, rel=1e-9)


@pytest.mark.parametrize("runs", [400, pytest.param(4000, marks=pytest.mark.slow)])
def test_clustered_errors_keep_their_level_where_errors_without_clusters_do_not(runs: int) -> None:
    rejected = naive = 0
    for panel in simulated(runs, 7, rho=0.8, effect=0.0):
        found = twfe(panel)
        rejected += found.p() <= 0.05
        naive += abs(found.value) > 1.96 * _error_without_clusters(panel, found.value)
    error = np.sqrt(0.05 * 0.95 / runs)
    assert rejected / runs == pytest.approx(0.05, abs=3 * error)
    assert naive / runs > 0.2


def _error_without_clusters(panel: Panel, value: float) -> float:
    def within(x: np.ndarray) -> np.ndarray:
        return x - x.mean(0) - x.mean(1, keepdims=True) + x.mean()

    d, y = within(panel.treated.astype(float)), within(panel.outcome)
    rest = y - value * d
    n, t = y.shape
    return float(np.sqrt((rest * rest).sum() / (n * t - n - t) / (d * d).sum()))


def test_two_way_effects_miss_the_truth_when_effects_grow_and_nobody_stays_untreated() -> None:
    runs, values, truths = 300, [], []
    draws = rng(8)
    for _ in range(runs):
        panel, true = staggered(draws, first=(2, 5), growth=1.0, effect=1.0)
        values.append(twfe(panel).value)
        truths.append(true[panel.treated].mean())
    values_, truth = np.array(values), truths[0]
    assert truth > 2
    assert values_.mean() < truth - 30 * values_.std() / np.sqrt(runs)  # all effects are positive and grow


def test_a_placebo_is_near_zero_where_groups_moved_alike_and_not_where_they_did_not() -> None:
    runs = 300
    alike = [placebo(panel, ahead=2).value for panel in simulated(runs, 10, rho=0.0, effect=1.0)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(runs)
    panel, _ = staggered(rng(11), noise=0.1)
    trend = (panel.first < 8)[:, None] * np.arange(8) * 0.5
    apart = Panel(panel.outcome + trend, panel.treated, panel.weights, panel.units, panel.periods)
    assert placebo(apart, ahead=2).p() < 1e-6


def test_a_placebo_uses_the_true_groups_and_no_treated_observation() -> None:
    panel, _ = staggered(rng(12), first=(4, 8), effect=1e6, noise=0.0)
    assert placebo(panel).value == pytest.approx(0, abs=1e-6)


def test_warnings_name_staggering_and_few_treated_units() -> None:
    assert any("different times" in note for note in twfe(castle()).warnings)
    panel, _ = staggered(rng(1), units=30, first=(8,))
    one = panel.starting(np.where(np.arange(30) == 4, 3, 8))
    assert any("one treated unit" in note for note in twfe(one).warnings)


def small() -> Panel:
    return staggered(rng(1), units=10, periods=4, first=(2, 4))[0]


def ending() -> Panel:
    panel = small()
    treated = panel.treated.copy()
    treated[0] = [True, False, False, True]
    return Panel(panel.outcome, treated, panel.weights, panel.units, panel.periods)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: twfe(small().starting(np.full(10, 2))),
            "begin in some units while others are untreated; a column that is the same in all",
        ),
        (lambda: event_study(ending(), rng=rng()), "stays on, but it ends for 0"),
        (lambda: placebo(ending()), "stays on, .* estimators=twfe alone"),
        (lambda: event_study(small(), reference=-9, rng=rng()), "reference"),
        (lambda: placebo(small(), ahead=2), "more than 2 periods"),
        (lambda: event_study(small(), draws=5, rng=rng()), "draws"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()
