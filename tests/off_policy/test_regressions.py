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
