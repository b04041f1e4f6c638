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


def test_without_units_never_treated_the_rest_is_still_found() -> None:
    panel, _ = staggered(np.random.default_rng(1), first=(3, 5, 7))
    found = rollout(panel, estimators=["twfe", "group_time"], control="not_yet", draws=99)
    assert list(found.results) == ["twfe", "group_time"]
    assert list(found.studies) == ["group_time"]
    assert any("no event study of twfe" in note for note in found.warnings)
    with pytest.raises(StatisticsError, match="found none of 7; leave out every such period"):
        rollout(panel, estimators=["imputation"], draws=99)
