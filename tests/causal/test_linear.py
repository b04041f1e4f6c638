"""Least squares and logistic regression against numpy and statsmodels, and the columns that are refused."""

import numpy as np
import pytest
import statsmodels.api as sm
from lalonde import MIXTAPE, lalonde

from ncf.causal.linear import Linear, Logistic, refuse_dependent
from ncf.stats.checks import StatisticsError

RNG = np.random.default_rng(1)
X = RNG.normal([0, 1e6, 3], [1, 2, 1e-3], (20_000, 3))
Y = 5 + X @ [1, -2, 30] + RNG.normal(size=len(X))


def test_least_squares_is_numpys_at_any_scale() -> None:
    shifted = X - [0, 1e6, 0]
    expected = np.linalg.lstsq(np.column_stack([np.ones(len(X)), shifted]), Y, rcond=None)[0]
    np.testing.assert_allclose(Linear().fit(X, Y).predict(X), expected[0] + shifted @ expected[1:], rtol=1e-10)


def test_the_coefficients_influence_is_that_of_the_sandwich() -> None:
    fit = Linear().fit(X, Y)
    z = fit.standardised(X)
    influence = (z * (Y - fit.predict(X))[:, None]) @ fit.inverse
    slope = influence[:, 1:] / fit.scale
    expected = sm.OLS(Y, sm.add_constant(X - [0, 1e6, 0])).fit(cov_type="HC0").bse[1:]
    np.testing.assert_allclose(np.sqrt((slope**2).sum(0)), expected, rtol=1e-6)


def test_a_column_that_depends_on_others_gets_no_weight() -> None:
    doubled = np.column_stack([X[:, 0], 2 * X[:, 0] - 1, np.ones(len(X)), X[:, 2]])
    np.testing.assert_allclose(
        Linear().fit(doubled, Y).predict(doubled), Linear().fit(X[:, [0, 2]], Y).predict(X[:, [0, 2]]), rtol=1e-10
    )


def test_the_logistic_maximum_is_that_of_statsmodels() -> None:
    frame = lalonde()
    x, d = frame[MIXTAPE].to_numpy(), frame["treat"].to_numpy()
    expected = sm.Logit(d, sm.add_constant(x)).fit(disp=0, maxiter=200)
    fit = Logistic().fit(x, d)
    np.testing.assert_allclose(fit.predict_proba(x)[:, 1], expected.predict(), rtol=1e-9)
    e = fit.predict_proba(x)[:, 1]
    slope = fit.standardised(x).T @ (d - e)
    assert np.abs(slope).max() < 1e-7


def test_separated_classes_have_no_maximum() -> None:
    x = RNG.normal(size=(200, 2))
    with pytest.raises(StatisticsError, match="separate the arms"):
        Logistic().fit(x, (x[:, 0] > 0) * 1.0)
    category = (x[:, 1] > 1) * 1.0  # everyone in it is treated
    with pytest.raises(StatisticsError, match="separate the arms"):
        Logistic().fit(np.column_stack([x[:, 0], category]), np.maximum(category, RNG.random(200) < 0.5))
    with pytest.raises(StatisticsError, match="one of them only"):
        Logistic().fit(x, np.ones(200))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (lambda x: [x[:, 0], np.full(len(x), 4.0)], "b: expected a confounder that varies, found 4 in all rows"),
        (lambda x: [x[:, 0], 3 - 2 * x[:, 0]], "b: .* a linear combination of a; drop"),
        (lambda x: [x[:, 0], x[:, 2], x[:, 0] - x[:, 2], x[:, 1]], "c: .* a linear combination of a, b; drop"),
        (lambda x: [np.full(len(x), 0.0), x[:, 0]], "a: expected a confounder that varies"),
    ],
)
def test_a_dependent_column_is_named(columns: object, message: str) -> None:
    x = np.column_stack(columns(X))  # type: ignore[operator]
    with pytest.raises(StatisticsError, match=message):
        refuse_dependent(x, list("abcd"))


def test_columns_that_nearly_depend_are_kept() -> None:
    x = np.column_stack([X[:, 0], X[:, 0] + 1e-3 * RNG.normal(size=len(X))])
    refuse_dependent(x, ["a", "b"])
    age = np.linspace(17, 55, 500)
    refuse_dependent(np.column_stack([age, age**2, age**3]), ["age", "agesq", "agecube"])
