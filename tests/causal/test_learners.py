"""Learners, and folds that depend on what units are, not on where they stand."""

import sys

import numpy as np
import pytest
from observed import drawn
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from ncf.causal import learners
from ncf.causal.learners import OUTCOME, TREATMENT, cross_predicted, folds, outcome_learner, treatment_learner
from ncf.causal.linear import Linear, Logistic
from ncf.causal.units import units
from ncf.errors import ConfigError
from ncf.stats.checks import StatisticsError

UNITS, _ = drawn(1, 503)


class Labels:
    """A classifier whose probabilities are labels."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Labels":
        self.model = Logistic().fit(x, y)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.round(self.model.predict_proba(x))


def test_predictions_are_of_learners_that_have_not_seen_the_unit() -> None:
    fold = np.arange(503) % 4
    found = cross_predicted(Linear(), UNITS.confounders, UNITS.outcome, fold)
    x, y = UNITS.confounders, UNITS.outcome
    for one in range(4):
        out = fold == one
        np.testing.assert_allclose(found[out], LinearRegression().fit(x[~out], y[~out]).predict(x[out]), rtol=1e-10)


def test_own_learners_are_scikit_learns() -> None:
    fold = np.arange(503) % 3
    x, d = UNITS.confounders, UNITS.treatment
    own = cross_predicted(Logistic(), x, d, fold, probability=True)
    theirs = cross_predicted(LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000), x, d, fold, probability=True)
    np.testing.assert_allclose(own, theirs, rtol=1e-4)


@pytest.mark.parametrize("name", [*OUTCOME, *TREATMENT])
def test_named_learners_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(learners._FORESTS, "n_estimators", 10)
    x, y, d = UNITS.confounders, UNITS.outcome, UNITS.treatment
    if name in OUTCOME:
        assert np.corrcoef(outcome_learner(name).fit(x, y).predict(x), y)[0, 1] > 0.5
    if name in TREATMENT:
        assert treatment_learner(name).fit(x, d).predict_proba(x).shape == (503, 2)


def test_labels_are_refused_in_place_of_probabilities() -> None:
    with pytest.raises(ConfigError, match="expected a classifier with predict_proba, got RidgeClassifier"):
        treatment_learner(RidgeClassifier())
    with pytest.raises(StatisticsError, match="only 0 and 1: labels bias"):
        cross_predicted(Labels(), UNITS.confounders, UNITS.treatment, np.arange(503) % 2, probability=True)
    with pytest.raises(ConfigError, match="expected one of linear, forest, boosting, got 'nets'"):
        outcome_learner("nets")
    with pytest.raises(ConfigError, match="outcome_model: expected fit and predict, got object"):
        outcome_learner(object())


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert isinstance(outcome_learner("linear"), Linear)
    with pytest.raises(ConfigError, match=r"forest: scikit-learn is not installed; pip install 'ncf\[causal\]'"):
        treatment_learner("forest")


def test_folds_are_even_and_follow_the_units() -> None:
    fold = folds(UNITS, 5, seed=3)
    for arm in (0, 1):
        counts = np.bincount(fold[UNITS.treatment == arm], minlength=5)
        assert np.ptp(counts) <= 1
    order = np.random.default_rng(0).permutation(503)
    np.testing.assert_array_equal(folds(UNITS.take(order), 5, seed=3), fold[order])
    cents = units(UNITS.treatment, UNITS.outcome, 100 * UNITS.confounders + 3)
    np.testing.assert_array_equal(folds(cents, 5, seed=3), fold)
    coarse = units(UNITS.treatment, UNITS.outcome, np.round(UNITS.confounders, 1))
    np.testing.assert_array_equal(folds(coarse.take(order), 5), folds(coarse, 5)[order])
    assert (folds(UNITS, 5, seed=4) != fold).mean() > 0.5
    assert abs(np.corrcoef(fold, UNITS.confounders[:, 0])[0, 1]) < 0.15


def test_clusters_stay_in_one_fold() -> None:
    clusters = np.array([f"c{i}" for i in np.arange(503) % 40])
    found = folds(units(UNITS.treatment, UNITS.outcome, UNITS.confounders, clusters=clusters), 4)
    for cluster in np.unique(clusters):
        assert len(np.unique(found[clusters == cluster])) == 1
    with pytest.raises(StatisticsError, match="at most 3, the number of clusters"):
        folds(units(UNITS.treatment, UNITS.outcome, UNITS.confounders, clusters=np.arange(503) % 3), 4)


def test_each_fold_needs_both_arms() -> None:
    few = UNITS.take(np.r_[np.flatnonzero(UNITS.treated)[:3], np.flatnonzero(~UNITS.treated)])
    with pytest.raises(StatisticsError, match="expected both arms in each of 5 folds"):
        folds(few, 5)
