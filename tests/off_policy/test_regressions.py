"""Ridge and logistic regression against closed forms, independent optimisation and repeated rows."""

import numpy as np
import pytest
from scipy import optimize

from ncf.errors import ConfigError, DataError
from ncf.off_policy.regressions import Cells, logistic, ridge


@pytest.fixture
def rows() -> Cells:
    stream = np.random.default_rng(0)
    x = np.column_stack([stream.normal(size=(200, 3)), np.ones(200)])
    y = (stream.random(200) < 1 / (1 + np.exp(-x @ [1.0, -2, 0.5, -1]))).astype(float)
    return Cells(x, np.ones(200), y)


def test_ridge_solves_its_normal_equations(rows: Cells) -> None:
    beta = ridge(rows, 0.7)
    x, y = rows.features, rows.total
    np.testing.assert_allclose(x.T @ (x @ beta - y) + 0.7 * np.array([1, 1, 1, 0]) * beta, 0, atol=1e-10)


@pytest.mark.parametrize("l2", [1e-3, 1.0, 100.0])
def test_logistic_is_the_optimum_that_another_optimiser_finds(rows: Cells, l2: float) -> None:
    def loss(beta: np.ndarray) -> float:
        logit = rows.features @ beta
        return float((np.logaddexp(0, logit) - rows.total * logit).sum() + l2 / 2 * (beta[:-1] @ beta[:-1]))

    beta = logistic(rows, l2)
    other = optimize.minimize(loss, np.zeros(4), method="BFGS", tol=1e-10)
    np.testing.assert_allclose(beta, other.x, atol=1e-5)
    assert loss(beta) <= other.fun + 1e-9


@pytest.mark.parametrize("fit", [ridge, logistic])
def test_equal_rows_may_be_counted(rows: Cells, fit) -> None:  # type: ignore[no-untyped-def]
    twice = Cells(np.repeat(rows.features, 2, axis=0), np.ones(400), np.repeat(rows.total, 2))
    np.testing.assert_allclose(
        fit(Cells(rows.features, 2 * rows.count, 2 * rows.total), 1.0), fit(twice, 1.0), rtol=1e-9
    )


@pytest.mark.parametrize("y", [np.zeros(50), np.ones(50), np.arange(50) >= 25])
def test_separable_rewards_have_a_finite_optimum(y: np.ndarray) -> None:
    x = np.column_stack([np.arange(50) - 24.5, np.ones(50)])
    beta = logistic(Cells(x, np.ones(50), y.astype(float)), 1.0)
    assert np.isfinite(beta).all()


def test_settings_and_rewards_out_of_range(rows: Cells) -> None:
    for fit in (ridge, logistic):
        with pytest.raises(ConfigError, match="l2: expected a number above 0"):
            fit(rows, 0)
    with pytest.raises(DataError, match="rewards from 0 to 1"):
        logistic(Cells(rows.features, rows.count, rows.total * 3), 1.0)


@pytest.mark.parametrize("fit", [ridge, logistic])
def test_a_constant_added_to_a_feature_changes_no_prediction(rows: Cells, fit) -> None:  # type: ignore[no-untyped-def]
    """Seconds since 1970 next to indicators: not centred, they left ridge regression to rounding."""
    shift = np.array([1.7e9, 0, -1e6, 0])
    there = fit(Cells(rows.features + shift, rows.count, rows.total), 1.0)
    here = fit(Cells(rows.features, rows.count, rows.total), 1.0)
    np.testing.assert_allclose(there[:-1], here[:-1], rtol=1e-6)
    np.testing.assert_allclose((rows.features + shift) @ there, rows.features @ here, atol=1e-5)


@pytest.mark.parametrize("fit", [ridge, logistic])
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_a_feature_are_no_matter_but_for_the_penalty(rows: Cells, fit, unit: float) -> None:  # type: ignore[no-untyped-def]
    """With next to no penalty, another unit divides the coefficient."""
    other = fit(Cells(rows.features * [unit, 1, 1, 1], rows.count, rows.total), 1e-30)
    np.testing.assert_allclose(other * [unit, 1, 1, 1], fit(rows, 1e-30), rtol=1e-6)


@pytest.mark.parametrize("fit", [ridge, logistic])
def test_features_that_cannot_be_told_apart_are_one_line(rows: Cells, fit) -> None:  # type: ignore[no-untyped-def]
    alike = np.column_stack([rows.features[:, :1], rows.features])
    for features, l2 in ((alike, 1e-300), (rows.features * [1e200, 1, 1, 1], 1.0)):
        with pytest.raises(DataError, match=r"reward_model=\w+: features are too large, or"), np.errstate(all="ignore"):
            fit(Cells(features, rows.count, rows.total), l2)
