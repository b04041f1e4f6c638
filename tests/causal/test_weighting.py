"""Weighting: LaLonde's reference values, identities, and errors that account for the estimated score."""

import numpy as np
import pytest
from lalonde import SPECIFICATIONS, lalonde, reference
from observed import drawn

from ncf.causal.propensity import given, scores, trim
from ncf.causal.units import read_units, units
from ncf.causal.weighting import checked_weights, ipw, weighted, weights
from ncf.stats.checks import StatisticsError
from ncf.stats.estimate import effective_size

UNITS, TRUE = drawn(6, 800)


@pytest.mark.parametrize(("name", "columns"), SPECIFICATIONS)
def test_lalondes_weighting(name: str, columns: list[str]) -> None:
    everyone = read_units(lalonde(), "treat", "re78", columns)
    own = scores(everyone).values
    for bounds, expected in reference("lalonde")["weighting"][name].items():
        low, high = map(float, bounds.split("[")[1].strip("]").split(","))
        kept = trim(own, low, high)
        part, known = everyone.take(kept), given(own[kept])
        ate, att, ato = (ipw(part, known, estimand=e) for e in ("ATE", "ATT", "ATO"))
        stable = weights(part.treatment, known.values, stabilised=True)
        close = {
            "n_treated": part.treatment.sum(), "n_control": (1 - part.treatment).sum(),
            "ate_horvitz_thompson": ipw(part, known, normalised=False).value, "ate_hajek": ate.value,
            "ate_stabilised_hajek (equal to hajek)": weighted(part, stable).value,
            "se_hajek_HC0_ps_known": ate.standard_error, "ess_unstabilised": ate.effective_n,
            "ess_stabilised": effective_size(stable), "ess_treated_arm": ate.details["effective_treated"],
            "ess_control_arm": ate.details["effective_untreated"],
            "max_weight_unstabilised": ate.details["largest_weight"], "max_weight_stabilised": stable.max(),
            "att_hajek": att.value, "se_att_HC0_ps_known": att.standard_error,
            "ess_att_controls": att.details["effective_untreated"], "overlap_ato": ato.value,
            "se_ato": ato.standard_error,
        }  # fmt: skip
        assert set(close) == set(expected)
        for key, value in close.items():
            assert value == pytest.approx(expected[key], rel=1e-6), (bounds, key)


def test_stacked_errors_are_those_of_statsmodels() -> None:
    everyone = read_units(lalonde(), "treat", "re78", SPECIFICATIONS[0][1])
    part, _ = everyone.take(trim(scores(everyone).values, 0.1, 0.9)).varying()
    expected = reference("lalonde_statsmodels_treatment")["lalonde_trimmed_0.1_0.9"]
    for estimand in ("ATE", "ATT"):
        found = ipw(part, scores(part), estimand=estimand)
        assert found.value == pytest.approx(expected[f"ipw_{estimand}"]["effect"], rel=1e-6)
        assert found.standard_error == pytest.approx(expected[f"ipw_{estimand}"]["se_gmm"], rel=1e-4)


def test_stabilising_changes_sizes_of_weights_and_no_normalised_estimate() -> None:
    plain, stable = (weights(UNITS.treatment, TRUE, stabilised=s) for s in (False, True))
    assert plain.max() > stable.max()
    assert effective_size(plain) != pytest.approx(effective_size(stable), rel=1e-3)
    assert weighted(UNITS, plain).value == pytest.approx(weighted(UNITS, stable).value, rel=1e-12)
    assert weighted(UNITS, plain).standard_error == pytest.approx(weighted(UNITS, stable).standard_error, rel=1e-12)
    for arm in (0, 1):
        own = UNITS.treatment == arm
        assert effective_size(plain[own]) == pytest.approx(effective_size(stable[own]), rel=1e-12)


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC", "ATO"])
@pytest.mark.parametrize("normalised", [True, False])
def test_influence_is_the_derivative_by_a_units_weight(estimand: str, normalised: bool) -> None:
    """Count one unit more often, everything estimated anew: the change of the estimate is its influence."""
    if estimand == "ATO" and not normalised:
        with pytest.raises(StatisticsError, match="ATO: expected normalised weights"):
            ipw(UNITS, given(TRUE), estimand="ATO", normalised=False)
        return
    found = ipw(UNITS, scores(UNITS), estimand=estimand, normalised=normalised)
    many = 60  # copies of all, so that one more of a unit is a small step
    assert found.influence is not None
    for unit in (0, 17, 200):
        rows = np.r_[np.repeat(np.arange(len(UNITS)), many), unit]
        more = UNITS.take(rows)
        moved = ipw(more, scores(more), estimand=estimand, normalised=normalised).value - found.value
        assert moved * len(rows) == pytest.approx(found.influence[unit], rel=0.01, abs=0.01)


def test_a_constant_moves_no_hajek_estimate_and_does_move_horvitz_thompson() -> None:
    shifted = units(UNITS.treatment, UNITS.outcome + 100, UNITS.confounders)
    known = given(TRUE)
    for estimand in ("ATE", "ATT", "ATO"):
        before, after = ipw(UNITS, known, estimand=estimand), ipw(shifted, known, estimand=estimand)
        assert after.value == pytest.approx(before.value, rel=1e-10)
        assert after.standard_error == pytest.approx(before.standard_error, rel=1e-10)
    assert abs(ipw(shifted, known, normalised=False).value - ipw(UNITS, known, normalised=False).value) > 0.5


def test_swapped_arms_flip_the_sign() -> None:
    other = units(1 - UNITS.treatment, UNITS.outcome, UNITS.confounders)
    for estimand, mirrored in (("ATE", "ATE"), ("ATT", "ATC"), ("ATC", "ATT"), ("ATO", "ATO")):
        one, two = ipw(UNITS, scores(UNITS), estimand=estimand), ipw(other, scores(other), estimand=mirrored)
        assert one.value == pytest.approx(-two.value, rel=1e-9)
        assert one.standard_error == pytest.approx(two.standard_error, rel=1e-9)


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan])
def test_weights_that_are_negative_or_infinite_are_refused(bad: float) -> None:
    with pytest.raises(StatisticsError, match=r"finite, none negative, got .* at position 2"):
        checked_weights(np.array([1, 1, bad, 1]))
    with pytest.raises(StatisticsError, match="weights"):
        weights(np.array([1, 0.0]), np.array([1e-320, 0.5]))


def test_given_weights_are_checked_against_the_arms() -> None:
    with pytest.raises(StatisticsError, match="expected 800, one for each unit, got 3"):
        weighted(UNITS, np.ones(3))
    with pytest.raises(StatisticsError, match="above 0 in both arms"):
        weighted(UNITS, UNITS.treatment)
