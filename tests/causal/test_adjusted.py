"""Standardisation and AIPW: references, double robustness, identities."""

import numpy as np
import pytest
from lalonde import SIMPLE, lalonde, reference
from observed import drawn, truth

from ncf.causal.adjusted import aipw, implied_weights, standardise
from ncf.causal.propensity import given, scores, trim
from ncf.causal.units import read_units, units
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(7, 800)


def test_lalondes_regressions_with_stacked_errors() -> None:
    everyone = read_units(lalonde(), "treat", "re78", SIMPLE)
    part, gone = everyone.take(trim(scores(everyone).values, 0.1, 0.9)).varying()
    assert gone == ("black", "hisp")
    expected = reference("lalonde_statsmodels_treatment")["lalonde_trimmed_0.1_0.9"]
    for key, found in {
        "ra_ATE": standardise(part), "ra_ATT": standardise(part, estimand="ATT"), "aipw_ATE": aipw(part, scores(part)),
    }.items():  # fmt: skip
        assert found.value == pytest.approx(expected[key]["effect"], rel=1e-6)
        assert found.standard_error == pytest.approx(expected[key]["se_gmm"], rel=1e-4)


def test_lins_regression_is_standardisation() -> None:
    experiment = read_units(lalonde("experiment"), "treat", "re78", SIMPLE)
    expected = reference("lalonde")["experiment"]["lin_interacted"]["ate"]
    assert standardise(experiment).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC"])
@pytest.mark.parametrize("method", ["standardise", "aipw"])
def test_influence_is_the_derivative_by_a_units_weight(estimand: str, method: str) -> None:
    def run(some: object) -> object:
        if method == "standardise":
            return standardise(some, estimand=estimand)  # type: ignore[arg-type]
        return aipw(some, scores(some), estimand=estimand)  # type: ignore[arg-type]

    found = run(UNITS)
    for unit in (0, 17, 200):
        rows = np.r_[np.repeat(np.arange(len(UNITS)), 60), unit]
        moved = run(UNITS.take(rows)).value - found.value  # type: ignore[attr-defined]
        assert moved * len(rows) == pytest.approx(found.influence[unit], rel=0.01, abs=0.01)  # type: ignore[attr-defined]


def test_one_wrong_model_is_forgiven_and_two_are_not() -> None:
    """Without the first confounder the outcome model is wrong; with a constant the scores are."""
    many, true = drawn(8, 60_000)
    blind = units(many.treatment, many.outcome, many.confounders[:, 1:])
    constant = given(np.full(len(many), many.treatment.mean()))
    for estimand in ("ATE", "ATT"):
        right = truth(estimand)
        assert abs(aipw(blind, given(true), estimand=estimand).value - right) < 0.06
        assert abs(aipw(many, constant, estimand=estimand).value - right) < 0.06
        assert abs(aipw(blind, constant, estimand=estimand).value - right) > 0.3
        assert abs(standardise(blind, estimand=estimand).value - right) > 0.3


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC"])
def test_implied_weights_give_the_estimate_and_balance(estimand: str) -> None:
    w = implied_weights(UNITS, estimand)
    sign = 2 * UNITS.treatment - 1
    assert float((w * sign) @ UNITS.outcome) == pytest.approx(standardise(UNITS, estimand=estimand).value, rel=1e-10)
    one, zero = (w[UNITS.treatment == arm] for arm in (1, 0))
    assert (one.sum(), zero.sum()) == pytest.approx((1, 1))
    np.testing.assert_allclose(
        one @ UNITS.confounders[UNITS.treatment == 1], zero @ UNITS.confounders[UNITS.treatment == 0], atol=1e-12
    )


def test_constants_and_swaps() -> None:
    shifted = units(UNITS.treatment, UNITS.outcome - 1e4, UNITS.confounders)
    swapped = units(1 - UNITS.treatment, UNITS.outcome, UNITS.confounders)
    for run in (lambda u: standardise(u), lambda u: aipw(u, scores(u))):
        base = run(UNITS)
        assert run(shifted).value == pytest.approx(base.value, abs=1e-8)
        assert run(shifted).standard_error == pytest.approx(base.standard_error, rel=1e-8)
        assert run(swapped).value == pytest.approx(-base.value, rel=1e-9)


def test_only_targets_of_their_own() -> None:
    with pytest.raises(StatisticsError, match="estimand: expected one of ATE, ATT, ATC, got 'ATO'"):
        standardise(UNITS, estimand="ATO")
    assert aipw(UNITS, given(TRUE)).value != aipw(UNITS, scores(UNITS)).value
