"""A rollout from Python: estimates side by side, and what is warned of."""

import numpy as np
import pytest
from panels import castle_frame, staggered

from ncf.causal.panel import Panel
from ncf.causal.rollout import rollout
from ncf.stats.checks import StatisticsError


def test_from_python_a_frame_gives_the_same() -> None:
    found = rollout(castle_frame(), "sid", "year", "post", "l_homicide", draws=99)
    assert found.results["twfe"].value == pytest.approx(0.0693984, abs=1e-7)
    assert list(found.table["estimator"]) == ["twfe", "group_time", "imputation"]
    assert found.randomisation is not None
    assert found.randomisation.p > 0.05


def test_one_treated_unit_is_warned_of() -> None:
    panel, _ = staggered(np.random.default_rng(0), units=20, first=(8,))
    found = rollout(panel.starting(np.where(np.arange(20) == 3, 4, 8)), draws=99)
    assert any("one treated unit" in note for note in found.warnings)
    assert found.randomisation is not None
    assert found.randomisation.exact


def test_placebos_go_as_far_back_as_periods_allow() -> None:
    panel, _ = staggered(np.random.default_rng(0), units=20, first=(2, 8))
    assert list(rollout(panel, draws=99).placebos) == [1]
    assert list(rollout(castle_frame(), "sid", "year", "post", "l_homicide", draws=99).placebos) == [1, 2, 3]


def test_holes_leave_what_they_allow_and_say_so() -> None:
    panel, _ = staggered(np.random.default_rng(0), units=30)
    weights = panel.weights.copy()
    weights[0, 0] = 0
    holed = Panel(panel.outcome * weights, panel.treated & (weights > 0), weights, panel.units, panel.periods)
    found = rollout(holed, draws=99)
    assert list(found.results) == ["twfe", "imputation"]
    assert found.decomposition is found.randomisation is found.groups is None
    assert any("1 of 240 observations are missing" in note for note in found.warnings)


def test_units_treated_from_the_start_and_weights_on_the_treated_are_told() -> None:
    panel, _ = staggered(np.random.default_rng(0), units=30, first=(0, 4, 8))
    found = rollout(panel, draws=99, estimators=["twfe", "group_time"])
    assert any("10 units were treated from the start" in note for note in found.warnings)
    assert any("against others that are treated already" in note for note in found.warnings)
    assert found.overview["always_treated"] == 10


def built(first: list[int], periods: int, noise: float = 1.0) -> Panel:
    """Units with effects of their own, treated from `first` on, in a trend."""
    rng = np.random.default_rng(7)
    after = np.arange(periods) >= np.array(first)[:, None]
    outcome = rng.normal(size=(len(first), 1)) + 0.1 * np.arange(periods) + noise * rng.normal(size=after.shape)
    return Panel(outcome, after, np.ones(after.shape), np.arange(len(first)), np.arange(periods))


def test_where_everybody_is_treated_in_the_end_estimates_stay_without_the_event_study_that_has_no_value() -> None:
    found = rollout(built([3] * 20 + [5] * 20 + [6] * 20, 8), control="not_yet", estimators=["twfe", "group_time"],
                    draws=99)  # fmt: skip
    assert list(found.results) == ["twfe", "group_time"]
    assert list(found.studies) == ["group_time"]
    assert any("twfe: its event study is left out" in note for note in found.warnings)


@pytest.mark.parametrize("estimators", [["twfe"], ["group_time"], ["imputation"]])
def test_one_unit_to_be_held_against_is_warned_of(estimators: list[str]) -> None:
    warnings = rollout(built([3] * 40 + [8], 8), estimators=estimators, draws=99).warnings
    assert any("judge by the randomisation p" in note for note in warnings)
    enough = rollout(built([3] * 40 + [8] * 40, 8), estimators=estimators, draws=99).warnings
    assert not any("randomisation" in note or "too small" in note for note in enough)


def test_few_units_are_warned_of_by_imputation_alone() -> None:
    warnings = rollout(built([3] + [8] * 5, 8), estimators=["imputation"], draws=99).warnings
    assert any("1 of 1 cohorts have fewer than 5 units" in note for note in warnings)
    assert any("6 units: with fewer than 20" in note for note in warnings)


@pytest.mark.parametrize("constant", [False, True])
def test_what_units_and_periods_explain_exactly_has_no_effect(constant: bool) -> None:
    exact = built([3] * 20 + [5] * 20 + [8] * 20, 8, noise=0.0)
    if constant:
        exact = Panel(np.full_like(exact.outcome, 0.1), exact.treated, exact.weights, exact.units, exact.periods)
    found = rollout(exact, draws=99)
    assert [(e.value, e.standard_error, e.p()) for e in found.results.values()] == [(0, 0, 1)] * 3
    assert found.randomisation is not None
    assert (found.randomisation.observed, found.randomisation.p) == (0, 1)


def test_two_units_leave_no_error_and_that_is_said() -> None:
    found = rollout(built([3, 8], 8), draws=99)
    assert all(e.standard_error == 0 != e.value for e in found.results.values())
    assert sum("its error is 0" in note for note in found.warnings) == 3
    assert found.randomisation is not None
    assert found.randomisation.p == 1


def test_without_units_never_treated_the_rest_is_still_found() -> None:
    panel, _ = staggered(np.random.default_rng(1), first=(3, 5, 7))
    found = rollout(panel, estimators=["twfe", "group_time"], control="not_yet", draws=99)
    assert list(found.results) == ["twfe", "group_time"]
    assert list(found.studies) == ["group_time"]
    assert any("twfe: its event study is left out" in note for note in found.warnings)
    with pytest.raises(StatisticsError, match="found none of 7; leave out every such period"):
        rollout(panel, estimators=["imputation"], draws=99)
