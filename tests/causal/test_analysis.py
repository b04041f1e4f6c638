"""The whole analysis: what it refuses, what it warns of, and what changes nothing."""

import numpy as np
import pandas as pd
import pytest
from lalonde import SIMPLE, lalonde
from observed import drawn
from sklearn.linear_model import LinearRegression, LogisticRegression

from ncf.causal import Rule, Units, effect, units
from ncf.errors import ConfigError, NcfError
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(12, 900)
FRAME = pd.DataFrame({
    "t": UNITS.treatment, "y": UNITS.outcome, "a": UNITS.confounders[:, 0], "b": UNITS.confounders[:, 1], "e": TRUE,
    "g": np.arange(900) % 12,
})  # fmt: skip
COLUMNS = ("t", "y", ["a", "b"])


def test_every_estimator_side_by_side() -> None:
    found = effect(FRAME, *COLUMNS, estimator="all")
    assert found.table["estimator"].tolist() == ["naive", "standardise", "ipw", "match", "aipw", "dml"]
    for one in found.estimates:
        assert abs(one.value - 2) < 4 * one.standard_error
        assert one.influence is not None
        assert len(one.influence) == 900
    assert abs(found.naive.value - 2) > 4 * found.naive.standard_error
    assert found.warnings == ()
    assert (found.balance["smd_after"].abs() < 0.1).all()
    assert set(found.sensitivity.columns) >= {"e_value", "e_value_limit", "robustness", "robustness_limit", "gamma"}


def test_from_arrays_frames_and_known_scores() -> None:
    one = effect(UNITS, estimator="ipw").estimates[0]
    assert effect(FRAME, *COLUMNS, estimator="ipw").estimates[0].value == one.value
    known = effect(FRAME, *COLUMNS, estimator=["ipw", "dml", "aipw"], score="e", form="interactive")
    np.testing.assert_array_equal(known.scores.values, TRUE)
    assert known.estimates[1].value == known.estimates[2].value != one.value
    assert known.warnings == ()


def test_lalonde_is_refused_or_overridden_or_trimmed() -> None:
    arguments = (lalonde(), "treat", "re78", SIMPLE)
    with pytest.raises(StatisticsError, match=r"ipw: no overlap for the ATE: 185 treated units tell as much as 14\.8"):
        effect(*arguments, estimator="ipw")
    forced = effect(*arguments, estimator="ipw", overlap="warn")
    assert forced.estimates[0].value == pytest.approx(-6456.3008, rel=1e-6)
    assert "no overlap" in forced.warnings[0]
    found = effect(*arguments, estimator=["ipw", "standardise"], trim=(0.1, 0.9))
    assert [e.value for e in found.estimates] == pytest.approx([1640.42488, 2102.19349], rel=1e-6)
    assert found.warnings[0] == "trimming to scores in [0.1, 0.9] kept 504 of 16,177 units"
    assert found.warnings[1].startswith("black, hisp: the same in all units that trimming kept")
    assert "ipw: |standardised mean difference| above 0.1 after adjustment: age, marr" in found.warnings
    kept = effect(*arguments, estimator="ipw", trim=(0.1, 0.9), refit=False)
    assert kept.estimates[0].value == pytest.approx(1713.75165, rel=1e-6)
    att = effect(*arguments, estimator="ipw", estimand="ATT")
    assert att.estimates[0].value == pytest.approx(1180.40782, rel=1e-6)
    best = effect(*arguments, estimator="ipw", trim="best")
    assert 0.05 < best.all_scores[best.kept].min() < 0.12
    with pytest.raises(StatisticsError, match="trim: expected units of both arms"):
        effect(*arguments, trim=(0.6, 0.9))
    with pytest.raises(StatisticsError, match="trim: expected one of best"):
        effect(*arguments, trim="worst")


def same(one: Units, other: Units, sign: int = 1, **settings: object) -> None:
    """Assert equal estimates, errors, E-values and robustness values of every estimator."""
    first, second = (effect(some, estimator="all", repeats=2, **settings) for some in (one, other))
    for a, b in zip(first.estimates, second.estimates, strict=True):
        assert b.value == pytest.approx(sign * a.value, rel=1e-6), a.method
        assert b.standard_error == pytest.approx(a.standard_error, rel=1e-6), a.method
    columns = ["e_value", "e_value_limit", "robustness", "robustness_limit"]
    np.testing.assert_allclose(first.sensitivity[columns], second.sensitivity[columns], rtol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("estimand", ["ATE", "ATT"])
def test_a_constant_added_to_the_outcome_moves_nothing(binary: bool, estimand: str) -> None:
    y = (UNITS.outcome > 1.5) * 1.0 if binary else UNITS.outcome
    one, other = (units(UNITS.treatment, y + c, UNITS.confounders) for c in (0, 1000))
    same(one, other, estimand=estimand)


def test_the_order_of_units_is_irrelevant() -> None:
    same(UNITS, UNITS.take(np.random.default_rng(2).permutation(900)))


def test_swapped_arms_flip_the_sign() -> None:
    same(UNITS, units(1 - UNITS.treatment, UNITS.outcome, UNITS.confounders), -1)


def test_the_e_value_of_a_two_valued_outcome_is_that_of_the_risk_ratio() -> None:
    y = (UNITS.outcome > 1.5) * 1.0
    found = effect(units(UNITS.treatment, y, UNITS.confounders), estimator="ipw")
    w = found.results[0].weights
    risks = [np.average(y[UNITS.treatment == arm], weights=w[UNITS.treatment == arm]) for arm in (1, 0)]
    assert found.e_value(found.results[0]).ratio == pytest.approx(risks[0] / risks[1], rel=1e-9)
    assert risks[0] - risks[1] == pytest.approx(found.estimates[0].value, rel=1e-9)


def test_clusters_change_errors_and_few_of_them_are_said() -> None:
    found = effect(FRAME, *COLUMNS, cluster="g", estimator="all", folds=3)
    assert all(e.degrees == 11 for e in found.estimates)
    assert "12 clusters: with fewer than 20, errors by cluster are too small" in found.warnings


def test_warnings_of_matching() -> None:
    found = effect(FRAME, *COLUMNS, estimator="match", rule=Rule(caliper=1e-3, replace=False), overlap="warn")
    assert any("of the units whose effect is asked for have no match" in note for note in found.warnings)
    few = effect(lalonde(), "treat", "re78", SIMPLE, estimator="match", estimand="ATT")
    assert few.warnings == ("match: |standardised mean difference| above 0.1 after adjustment: age",)


def test_any_learner_will_do() -> None:
    found = effect(
        FRAME, *COLUMNS, estimator=["ipw", "aipw", "dml"], outcome_model=LinearRegression(),
        score_model=LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10), repeats=2,
    )  # fmt: skip
    own = effect(FRAME, *COLUMNS, estimator=["ipw", "aipw", "dml"], repeats=2)
    for theirs, ours in zip(found.estimates[1:], own.estimates[1:], strict=True):
        assert theirs.value == pytest.approx(ours.value, rel=1e-4)
        assert theirs.standard_error == pytest.approx(ours.standard_error, rel=1e-4)
    assert any("takes the scores as known" in note for note in found.warnings)


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="caliper: expected one of the settings"):
        effect(UNITS, caliper=3)
    for bad in ({"estimator": "ols"}, {"estimand": "LATE"}, {"level": 2}):
        with pytest.raises(NcfError):
            effect(UNITS, **bad)
    with pytest.raises(StatisticsError, match=r"scores: expected probabilities between 0 and 1, got 1"):
        effect(FRAME.assign(e=1.0), *COLUMNS, score="e", estimator="ipw")
    separated = units((UNITS.confounders[:, 0] > 0) * 1.0, UNITS.outcome, UNITS.confounders)
    with pytest.raises(StatisticsError, match="the confounders separate the arms, so that scores are 0 or 1"):
        effect(separated)


def test_an_outcome_that_confounders_explain_exactly_has_no_effect_and_one_that_varies_little_has_an_e_value() -> None:
    x = np.random.default_rng(1).normal(size=(400, 2))
    d = (np.random.default_rng(2).random(400) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    for outcome in (0.1 * x[:, 0] + 0.3, np.full(400, 0.1)):
        found = effect(units(d, outcome, x), estimator=["standardise", "aipw", "dml"], form="interactive")
        assert [(e.value, e.standard_error, e.p()) for e in found.estimates] == [(0, 0, 1)] * 3
    constant = effect(units(d, np.full(400, 0.1), x), estimator=["ipw", "match"])
    assert [(e.value, e.standard_error) for e in constant.estimates] == [(0, 0)] * 2
    steep = effect(units(d, 1000 * d + 1e-3 * x[:, 1], x), estimator="ipw")
    assert steep.sensitivity["e_value_limit"][0] > 1e80


def test_an_outcome_model_without_a_part_is_told() -> None:
    units, _ = drawn(3, 400)
    found = effect(units, estimator=["standardise", "aipw", "ipw"], folds=1, outcome_model="boosting")
    told = [note for note in found.warnings if "outcome_model has no part" in note]
    assert [note.split(":")[0] for note in told] == ["standardise", "aipw"]
    assert not any("outcome_model" in note for note in effect(units, estimator="standardise").warnings)
