"""Double ML: doubleml's values on fixed folds, identities, invariances."""

import numpy as np
import pytest
from lalonde import SIMPLE, lalonde, reference
from observed import drawn
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from ncf.causal.double import Predicted, clipped, interactive, partially_linear, predict
from ncf.causal.propensity import scores, trim
from ncf.causal.units import Units, read_units, units
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(9, 700)


def sample(name: str) -> Units:
    """LaLonde's rows as the references have them."""
    everyone = read_units(lalonde("experiment" if name == "experiment" else "observational"), "treat", "re78", SIMPLE)
    if name != "trimmed":
        return everyone
    return everyone.take(trim(scores(everyone).values, 0.1, 0.9)).varying()[0]


def given_folds(n: int) -> np.ndarray:
    """The folds of the references."""
    return np.random.default_rng(0).permutation(n) % 5


@pytest.mark.parametrize("name", ["trimmed", "experiment", pytest.param("all_rows", marks=pytest.mark.slow)])
def test_doublemls_values_for_linear_learners(name: str) -> None:
    expected = reference("lalonde_packages")[f"doubleml_{name}"]
    part = sample(name)
    apart = clipped(predict(part, fold=given_folds(len(part))), 0.01)
    for key, found in {
        "PLR": partially_linear(part, predict(part, fold=given_folds(len(part)), interactive=False)),
        "IRM_ATE": interactive(part, apart),
        "IRM_ATTE": interactive(part, apart, estimand="ATT"),
    }.items():
        assert found.value == pytest.approx(expected[f"{key}|linear+logit"]["coef"], rel=1e-6)
        assert found.standard_error == pytest.approx(expected[f"{key}|linear+logit"]["se"], rel=1e-6)
        assert (found.low, found.high) == pytest.approx(expected[f"{key}|linear+logit"]["ci95"], rel=1e-5)


@pytest.mark.slow
def test_a_boosted_partially_linear_effect_is_near_doublemls() -> None:
    """The reference's settings of the trees are unknown, so its own error is the measure."""
    expected = reference("lalonde_packages")["doubleml_trimmed"]["PLR|gbm+gbm"]
    part = sample("trimmed")
    found = partially_linear(part, predict(
        part, outcome_model=GradientBoostingRegressor(random_state=0), fold=given_folds(len(part)), interactive=False,
        score_model=GradientBoostingClassifier(random_state=0),
    ))  # fmt: skip
    assert abs(found.value - expected["coef"]) < 0.1 * expected["se"]
    assert found.standard_error == pytest.approx(expected["se"], rel=0.1)


def test_the_error_is_not_the_one_with_an_extra_root_of_n() -> None:
    by_hand = reference("lalonde_packages")["plr_by_hand_trimmed_linear"]
    part = sample("trimmed")
    found = partially_linear(part, predict(part, fold=given_folds(len(part)), interactive=False))
    assert found.standard_error == pytest.approx(by_hand["se_robust (right)"], rel=1e-6)
    assert found.standard_error > 20 * by_hand["se_original_formula (wrong: extra 1/n)"]


def test_robinsons_regression_of_residuals_by_hand() -> None:
    predicted = Predicted(TRUE, outcome=UNITS.confounders[:, 0])
    v, y = UNITS.treatment - TRUE, UNITS.outcome - UNITS.confounders[:, 0]
    found = partially_linear(UNITS, predicted)
    assert found.value == pytest.approx(np.linalg.lstsq(v[:, None], y, rcond=None)[0][0], rel=1e-12)
    e = y - found.value * v
    assert found.standard_error == pytest.approx(np.sqrt((v**2 * e**2).sum()) / (v**2).sum(), rel=1e-12)


def test_the_order_of_units_a_constant_and_swapped_arms() -> None:
    order = np.random.default_rng(1).permutation(len(UNITS))
    shifted = units(UNITS.treatment, UNITS.outcome + 50, UNITS.confounders)
    swapped = units(1 - UNITS.treatment, UNITS.outcome, UNITS.confounders)
    for run in (
        lambda u: partially_linear(u, predict(u, interactive=False)),
        lambda u: interactive(u, predict(u)),
    ):
        base = run(UNITS)
        for other, sign in ((UNITS.take(order), 1), (shifted, 1), (swapped, -1)):
            assert run(other).value == pytest.approx(sign * base.value, rel=1e-7)
            assert run(other).standard_error == pytest.approx(base.standard_error, rel=1e-7)
        np.testing.assert_allclose(run(UNITS.take(order)).influence, base.influence[order], atol=1e-7)
    one, two = (
        interactive(UNITS, predict(UNITS), estimand="ATT"),
        interactive(swapped, predict(swapped), estimand="ATC"),
    )
    assert one.value == pytest.approx(-two.value, rel=1e-7)


def test_more_divisions_into_folds_depend_less_on_the_seed() -> None:
    part = sample("trimmed")
    spread = {
        repeats: np.std([interactive(part, predict(part, seed=seed, repeats=repeats)).value for seed in range(6)])
        for repeats in (1, 10)
    }
    assert spread[10] < 0.7 * spread[1]
    one = [predict(part, seed=3, repeats=1), predict(part, seed=3, repeats=2)]
    assert one[0].treated is not None
    assert one[1].treated is not None
    assert not np.allclose(one[0].treated, one[1].treated)


def test_errors_by_cluster() -> None:
    doubled = units(*(np.repeat(a, 4, axis=0) for a in (UNITS.treatment, UNITS.outcome, UNITS.confounders)),
                    clusters=np.repeat(np.arange(len(UNITS)), 4))  # fmt: skip
    alone = units(doubled.treatment, doubled.outcome, doubled.confounders)
    whole = interactive(UNITS, predict(UNITS)).standard_error
    assert interactive(doubled, predict(doubled)).standard_error == pytest.approx(whole, rel=0.05)
    assert interactive(alone, predict(alone)).standard_error == pytest.approx(whole / 2, rel=0.05)


def test_refusals() -> None:
    predicted = predict(UNITS, interactive=False)
    with pytest.raises(StatisticsError, match="predictions of the outcome in each arm"):
        interactive(UNITS, predicted)
    with pytest.raises(StatisticsError, match="predictions of the outcome, got none"):
        partially_linear(UNITS, predict(UNITS))
    with pytest.raises(StatisticsError, match="that confounders do not determine"):
        partially_linear(UNITS, Predicted(UNITS.treatment, outcome=TRUE))
    with pytest.raises(StatisticsError, match=r"between 0 and 1, got 1"):
        interactive(UNITS, Predicted(np.ones(700), treated=TRUE, untreated=TRUE))
    with pytest.raises(StatisticsError, match=r"clip: expected a number in \[0, 0.5\)"):
        clipped(predicted, 0.5)
    with pytest.raises(StatisticsError, match="one for each of 700 units"):
        predict(UNITS, fold=np.zeros(3))
    assert clipped(Predicted(np.array([0.0, 0.5, 1.0])), 0.01).score.tolist() == [0.01, 0.5, 0.99]
