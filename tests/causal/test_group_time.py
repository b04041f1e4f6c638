"""Group-time effects against diff-diff's on castle doctrine, by hand, and in simulated rollouts."""

import json
from pathlib import Path

import numpy as np
import pytest
from panels import castle, staggered

from ncf.causal.group_time import group_time
from ncf.causal.imputation import imputation
from ncf.causal.panel import Panel
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "did_castle.json").read_text())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("control", ["never", "not_yet"])
def test_castle_doctrine_is_that_of_the_reference(control: str) -> None:
    expected = REFERENCE[f"castle_callaway_santanna_diff_diff_{control}_treated"]
    found = group_time(castle(), control=control)
    average = found.average()
    assert average.value == pytest.approx(expected["overall_att"], abs=1e-9)
    assert average.standard_error == pytest.approx(expected["se"], rel=1e-9)
    study = found.by_time(rng=rng())
    assert [str(time) for time in study.times] == list(expected["event_study"])
    for e, (value, error) in zip(study.estimates, expected["event_study"].values(), strict=True):
        assert e.value == pytest.approx(value, abs=1e-9)
        assert e.standard_error == pytest.approx(error, rel=1e-9)


def test_cells_by_hand() -> None:
    y = np.array([[1.0, 2, 5, 9], [0, 2, 4, 4], [3, 3, 3, 8], [0, 1, 2, 3], [1, 1, 2, 2]])
    first = np.array([2, 2, 3, 4, 4])
    panel = Panel(y, np.arange(4) >= first[:, None], np.ones(y.shape), np.arange(5), np.arange(4))
    never, not_yet = ({(int(g), int(t)): v for g, t, v in zip(f.cohort, f.period, f.values, strict=True)}
                      for f in (group_time(panel), group_time(panel, control="not_yet")))  # fmt: skip
    assert never[2, 3] == pytest.approx(((9 - 2) + (4 - 2)) / 2 - ((3 - 1) + (2 - 1)) / 2)
    assert never[3, 3] == pytest.approx((8 - 3) - ((3 - 2) + (2 - 2)) / 2)
    assert never[3, 1] == pytest.approx((3 - 3) - ((1 - 0) + (1 - 1)) / 2)  # before: from the period before
    assert not_yet[2, 2] == pytest.approx(((5 - 2) + (4 - 2)) / 2 - ((3 - 3) + (2 - 1) + (2 - 1)) / 3)
    assert not_yet[2, 3] == never[2, 3]  # by then the other cohort is treated
    assert group_time(panel).average().value == pytest.approx((2 * never[2, 2] + 2 * never[2, 3] + never[3, 3]) / 5)


def test_averages_by_cohort_and_period_weigh_cells_by_size() -> None:
    panel, _ = staggered(rng(1), first=(3, 3, 5, 8))
    found = group_time(panel)
    cells = {(int(g), int(t)): v for g, t, v in zip(found.cohort, found.period, found.values, strict=True)}
    cohorts = found.by_cohort(rng=rng())
    assert cohorts.times.tolist() == [3, 5]
    assert cohorts.estimates[1].value == pytest.approx(np.mean([cells[5, t] for t in (5, 6, 7)]))
    periods = found.by_period(rng=rng())
    assert periods.times.tolist() == [3, 4, 5, 6, 7]
    assert periods.estimates[3].value == pytest.approx((2 * cells[3, 6] + cells[5, 6]) / 3)


@pytest.mark.parametrize("runs", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["never", "not_yet", "imputation"])
def test_growing_effects_are_found_without_bias_and_covered(method: str, runs: int) -> None:
    values, covered, truth = [], 0, 0.0
    draws = rng(2)
    for _ in range(runs):
        panel, true = staggered(draws, units=120, first=(3, 5, 8), growth=0.5)
        e = imputation(panel) if method == "imputation" else group_time(panel, control=method).average()
        truth = true[panel.treated].mean()
        values.append(e.value)
        covered += e.low <= truth <= e.high
    assert abs(np.mean(values) - truth) < 3 * np.std(values) / np.sqrt(runs)
    assert covered / runs == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / runs) + 0.01)  # 120 units


def test_units_treated_from_the_start_are_left_out() -> None:
    panel, _ = staggered(rng(3), units=60, first=(3, 8))
    more = Panel(
        np.vstack([panel.outcome, rng(4).normal(size=(20, 8))]), np.vstack([panel.treated, np.ones((20, 8), bool)]),
        np.ones((80, 8)), np.arange(80), panel.periods,
    )  # fmt: skip
    alone, together = group_time(panel).average(), group_time(more).average()
    assert together.value == pytest.approx(alone.value, abs=1e-12)
    assert together.standard_error == pytest.approx(alone.standard_error, rel=1e-9)
    with pytest.raises(StatisticsError, match="untreated observations of every unit, found none of 60"):
        imputation(more)


def test_a_constant_and_the_order_of_units_change_nothing() -> None:
    panel, _ = staggered(rng(5))
    order = rng(6).permutation(len(panel.units))
    other = Panel(panel.outcome[order] + 9, panel.treated[order], panel.weights[order], panel.units[order],
                  panel.periods)  # fmt: skip
    for make in (lambda p: group_time(p).average(), imputation):
        assert make(other).value == pytest.approx(make(panel).value, abs=1e-10)
        assert make(other).standard_error == pytest.approx(make(panel).standard_error, rel=1e-9)


def test_what_cannot_be_estimated_is_refused() -> None:
    panel, _ = staggered(rng(7), units=12, first=(3, 5))
    with pytest.raises(StatisticsError, match="control=not_yet needs none"):
        group_time(panel)
    assert group_time(panel, control="not_yet").average().n == 12
    with pytest.raises(StatisticsError, match="controls in some treated period"):
        group_time(panel.starting(np.full(12, 3)), control="not_yet")
    with pytest.raises(StatisticsError, match="later than the first period"):
        group_time(panel.starting(np.resize([0, 8], 12)))
    with pytest.raises(StatisticsError, match="without weights"):
        group_time(Panel(panel.outcome, panel.treated, panel.weights + np.arange(8), panel.units, panel.periods))
    with pytest.raises(StatisticsError, match="control"):
        group_time(panel, control="all")
    with pytest.raises(StatisticsError, match="untreated observations of every period, found none of 5"):
        imputation(panel)
