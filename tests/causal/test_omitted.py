"""Omitted-variable bounds: exact in a linear world, brute force, Cinelli and Hazlett's robustness value."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from observed import drawn

from ncf.causal.analysis import effect
from ncf.causal.double import Predicted, interactive, partially_linear, predict
from ncf.causal.omitted import Omitted, benchmarks, omitted
from ncf.causal.units import units
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(11, 3000)


def linear(interact: bool = False) -> Omitted:
    """What rests on cross-fitted predictions of UNITS."""
    predicted = predict(UNITS, interactive=interact)
    if interact:
        return omitted(UNITS, predicted, interactive(UNITS, predicted), "ATE")
    return omitted(UNITS, predicted, partially_linear(UNITS, predicted))


def test_the_bound_is_the_bias_of_a_variable_that_was_left_out() -> None:
    """Leave a variable out of a linear regression: the bias is the bound at its own shares, with its own rho."""
    rng = np.random.default_rng(0)
    n = 5000
    x, a = rng.normal(size=(2, n))
    d = ((0.5 * x + 0.8 * a + rng.normal(size=n)) > 0) * 1.0
    y = d + x + 0.7 * a + rng.normal(size=n)
    some = units(d, y, x)
    const = np.ones(n)
    short, long = sm.OLS(y, np.column_stack([d, const, x])).fit(), sm.OLS(y, np.column_stack([d, const, x, a])).fit()
    d_short, d_long = sm.OLS(d, np.column_stack([const, x])).fit(), sm.OLS(d, np.column_stack([const, x, a])).fit()
    outcome = 1 - long.ssr / short.ssr
    treatment = 1 - d_long.ssr / d_short.ssr
    predicted = Predicted(d - d_short.resid, outcome=sm.OLS(y, np.column_stack([const, x])).fit().predict())
    resting = omitted(some, predicted, partially_linear(some, predicted))
    assert resting.effect.value == pytest.approx(short.params[0], rel=1e-9)
    assert resting.bias(outcome, treatment) == pytest.approx(abs(short.params[0] - long.params[0]), rel=1e-9)
    lowest, _ = resting.bounds(outcome, treatment)
    assert lowest.value == pytest.approx(long.params[0], rel=1e-9)


def test_the_robustness_value_is_cinelli_and_hazletts() -> None:
    """Their f² / 2 (sqrt(1 + 4 / f²) - 1) with f the t-value over the root of the degrees of freedom."""
    x, d, y = UNITS.confounders, UNITS.treatment, UNITS.outcome
    other = sm.add_constant(x)
    long = sm.OLS(y, np.column_stack([d, other])).fit()
    predicted = Predicted(sm.OLS(d, other).fit().predict(), outcome=sm.OLS(y, other).fit().predict())
    resting = omitted(UNITS, predicted, partially_linear(UNITS, predicted))
    f2 = long.tvalues[0] ** 2 / long.df_resid
    assert resting.robustness() == pytest.approx((np.sqrt(f2**2 + 4 * f2) - f2) / 2, rel=1e-9)


@pytest.mark.parametrize("interact", [False, True])
def test_at_the_robustness_value_nothing_is_left(interact: bool) -> None:
    resting = linear(interact)
    value = resting.robustness()
    lowest, highest = resting.bounds(value, value)
    assert lowest.value == pytest.approx(0, abs=1e-9)
    assert highest.value == pytest.approx(2 * resting.effect.value, rel=1e-9)
    limit = resting.robustness(0.975)
    assert 0 < limit < value
    assert resting.bounds(limit, limit)[0].ends(0.95)[0] == pytest.approx(0, abs=1e-6)
    assert resting.bounds(0, 0.5)[0].value == resting.effect.value
    assert resting.bounds(0, 0.5)[0].standard_error == pytest.approx(resting.effect.standard_error)


@pytest.mark.parametrize("interact", [False, True])
def test_the_scales_influence_is_its_derivative_by_a_units_weight(interact: bool) -> None:
    """With predictions held, and the effect's own influence taken out, which is orthogonal to them."""
    predicted = predict(UNITS, interactive=interact)

    def scale(rows: np.ndarray) -> tuple[float, np.ndarray]:
        some = UNITS.take(rows)
        part = Predicted(*(None if v is None else v[rows] for v in vars(predicted).values()))  # type: ignore[arg-type]
        effect = interactive(some, part) if interact else partially_linear(some, part)
        found = omitted(some, part, effect, "ATE" if interact else None)
        return found.scale, found.influence

    rows = np.arange(len(UNITS))
    base, influence = scale(rows)
    for unit in (1, 50, 999):
        more = np.r_[np.repeat(rows, 20), unit]
        assert (scale(more)[0] - base) * len(more) == pytest.approx(influence[unit], rel=0.02, abs=0.02)


def test_a_constant_moves_nothing_and_a_factor_scales() -> None:
    base = linear()
    shifted = units(UNITS.treatment, 3 * UNITS.outcome + 8, UNITS.confounders)
    predicted = predict(shifted, interactive=False)
    other = omitted(shifted, predicted, partially_linear(shifted, predicted))
    assert other.robustness() == pytest.approx(base.robustness(), rel=1e-6)
    assert other.bias(0.1, 0.2) == pytest.approx(3 * base.bias(0.1, 0.2), rel=1e-6)


def test_benchmarks_are_partial_shares() -> None:
    found = benchmarks(UNITS).set_index("confounder")
    x, d, y = UNITS.confounders, UNITS.treatment, UNITS.outcome
    t = sm.OLS(y, sm.add_constant(np.column_stack([x, d]))).fit().tvalues[1]
    assert found.loc["x1", "outcome"] == pytest.approx(t**2 / (t**2 + len(y) - 4), rel=1e-9)
    t = sm.OLS(d, sm.add_constant(x)).fit().tvalues[2]
    assert found.loc["x2", "treatment"] == pytest.approx(t**2 / (t**2 + len(y) - 3), rel=1e-9)


def test_refusals() -> None:
    resting = linear()
    for arguments in ((-0.1, 0.2), (0.2, 1.0), (1.2, 0.1), (0.1, 0.1, 2)):
        with pytest.raises(StatisticsError):
            resting.bias(*arguments)
    with pytest.raises(StatisticsError, match="influence values of these units"):
        omitted(UNITS.take(np.arange(100)), Predicted(TRUE), resting.effect)


@pytest.mark.parametrize("form", ["partially_linear", "interactive"])
def test_without_any_omitted_confounder_the_bound_has_the_error_by_cluster_of_the_effect(form: str) -> None:
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(30), 20)
    x, shared = rng.normal(size=600), rng.normal(size=30)[cluster]
    d = (rng.random(600) < 1 / (1 + np.exp(-shared))).astype(float)
    found = effect(units(d, x + d + 2 * shared + rng.normal(size=600), x, clusters=cluster), estimator="dml", form=form)
    result = found.results[0]
    assert result.omitted is not None
    for bound in result.omitted.bounds(0, 0):
        assert bound.standard_error == pytest.approx(result.estimate.standard_error)
        assert (bound.low, bound.high) == pytest.approx((result.estimate.low, result.estimate.high))
    alone = replace(result.omitted, clusters=None).bounds(0, 0)[0]
    assert alone.standard_error < 0.8 * result.estimate.standard_error
