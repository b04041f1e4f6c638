"""Panels from frames, and effects of units and periods against least squares on dummies."""

import numpy as np
import pandas as pd
import pytest

from ncf.causal.panel import Panel, TwoWay, panel
from ncf.errors import DataError
from ncf.stats.checks import StatisticsError

COLUMNS = {"unit": "u", "time": "t", "treated": "d", "outcome": "y"}
FRAME = pd.DataFrame({
    "u": ["a", "a", "a", "b", "b", "c", "c", "c"], "t": [3, 1, 2, 1, 2, 1, 2, 3], "d": [1, 0, 1, 0, 0, 0, 0, 1],
    "y": [5.0, 1, 2, 3, 4, 6, 7, 8],
})  # fmt: skip


def dummies(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Residuals of weighted least squares on dummies of units and periods."""
    n, t = weights.shape
    x = np.hstack([np.repeat(np.eye(n), t, 0), np.tile(np.eye(t), (n, 1))])
    root = np.sqrt(weights).ravel()
    found = np.linalg.lstsq(x * root[:, None], values.ravel() * root, rcond=None)[0]
    return values - (x @ found).reshape(n, t)


def test_rows_in_any_order_become_units_by_periods() -> None:
    found = panel(FRAME, **COLUMNS)
    assert found.units.tolist() == ["a", "b", "c"]
    assert found.periods.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.outcome, [[1, 2, 5], [3, 4, 0], [6, 7, 8]])
    np.testing.assert_array_equal(found.observed, [[1, 1, 1], [1, 1, 0], [1, 1, 1]])
    assert found.first.tolist() == [1, 3, 2]
    assert (found.balanced, found.absorbing) == (False, True)
    shuffled = panel(FRAME.sample(frac=1, random_state=0), **COLUMNS)
    assert sorted(shuffled.units) == ["a", "b", "c"]


def test_dates_are_periods_too() -> None:
    dated = FRAME.assign(t=pd.to_datetime("2026-01-01") + pd.to_timedelta(FRAME["t"], "D"))
    np.testing.assert_array_equal(panel(dated, **COLUMNS).outcome, panel(FRAME, **COLUMNS).outcome)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_units_and_periods_leave_is_what_dummies_leave(missing: float, weighted: bool) -> None:
    rng = np.random.default_rng(4)
    weights = rng.exponential(size=(9, 6)) if weighted else np.ones((9, 6))
    weights[rng.random((9, 6)) < missing] = 0
    values = rng.normal(size=(9, 6, 2))
    found = TwoWay(weights).residuals(values)
    for k in range(2):
        np.testing.assert_allclose(found[..., k], dummies(weights, values[..., k]), atol=1e-10)


def test_the_dual_gives_sums_of_effects_as_sums_of_values() -> None:
    rng = np.random.default_rng(5)
    weights = rng.exponential(size=(7, 5)) * (rng.random((7, 5)) > 0.2)
    two_way, values = TwoWay(weights), rng.normal(size=(7, 5))
    units, periods = two_way.effects(values)
    a = rng.normal(size=7)
    c = rng.normal(size=5)
    c += (a.sum() - c.sum()) / 5  # what does not depend on where the level of the effects is put
    assert (two_way.dual(a, c) * values).sum() == pytest.approx(a @ units + c @ periods, abs=1e-10)


def test_keeping_observations_drops_empty_units_and_periods() -> None:
    found = panel(FRAME, **COLUMNS)
    kept = found.keeping(~found.treated)
    assert kept.periods.tolist() == [1, 2]
    np.testing.assert_array_equal(kept.observed, [[1, 0], [1, 1], [1, 1]])
    assert found.keeping(np.arange(3)[:, None] == 1).units.tolist() == ["b"]


def test_starting_elsewhere_treats_from_there() -> None:
    found: Panel = panel(FRAME, **COLUMNS).starting(np.array([0, 3, 1]))
    np.testing.assert_array_equal(found.treated, [[1, 1, 1], [0, 0, 0], [0, 1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d": 0}, "expected d of 0 and of 1, found 0"),
        ({"d": 1}, "expected d of 0 and of 1, found 1"),
        ({"d": 2}, "row 1: expected d as 0 or 1, found 2"),
        ({"y": "x"}, "row 1: expected y as a number"),
        ({"t": 1}, "two units and two periods"),
        ({"u": ["a", "a", "a", "a", "b", "c", "c", "c"]}, "row 4: expected each u once a t, found a in 1 again"),
        ({"w": -1.0}, "row 1: expected w above 0"),
    ],
)
def test_frames_that_are_no_panel_are_refused(change: dict[str, object], message: str) -> None:
    weights = "w" if "w" in change else None
    with pytest.raises(DataError, match=message):
        panel(FRAME.assign(**change), **COLUMNS, weights=weights)


def test_effects_need_observations_of_every_unit_and_period() -> None:
    for weights, what in ((np.array([[1.0, 1], [0, 0]]), "unit"), (np.array([[1.0, 0], [1, 0]]), "period")):
        with pytest.raises(StatisticsError, match=what):
            TwoWay(weights)


@pytest.mark.parametrize("names", [
    ["week 2", "week 9", "week 10"], ["12/01/2023", "01/01/2024", "02/01/2024"], ["Jan", "Feb", "Mar"],
    ["2024-8", "2024-9", "2024-10"], ["2024-01", "2024-02", "2024-Q3"],
])  # fmt: skip
def test_text_that_does_not_sort_by_time_is_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match="text sorts by its letters, not by time"):
        panel(FRAME.assign(t=[names[t - 1] for t in FRAME["t"]]), **COLUMNS)


@pytest.mark.parametrize("names", [
    ["2023-12-31", "2024-01-01", "2024-01-02"], ["2024-Q1", "2024-Q2", "2025-Q1"], ["2024W08", "2024W09", "2024W10"],
    ["2024-03-31T00:30:00+01:00", "2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+01:00"], ["2023", "2024", "2025"],
])  # fmt: skip
def test_text_that_sorts_by_time_is_a_period(names: list[str]) -> None:
    found = panel(FRAME.assign(t=[names[t - 1] for t in FRAME["t"]]), **COLUMNS)
    assert found.periods.tolist() == names


def test_ordered_categories_are_periods_in_their_order() -> None:
    names = pd.CategoricalDtype(["Jan", "Feb", "Mar"], ordered=True)
    found = panel(FRAME.assign(t=pd.Categorical.from_codes(FRAME["t"] - 1, dtype=names)), **COLUMNS)
    np.testing.assert_array_equal(found.outcome, panel(FRAME, **COLUMNS).outcome)
