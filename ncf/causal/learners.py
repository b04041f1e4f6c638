"""Learners of outcomes and of treatments, and predictions of each unit by learners that have not seen it.

A learner has `fit(x, y)` and `predict(x)`, as in scikit-learn; one of the treatment has `predict_proba(x)`, whose
second column is the probability of 1. Some can be named; those but the first of each kind need scikit-learn.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ncf.causal.linear import Linear, Logistic
from ncf.causal.units import Units
from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError
from ncf.stats.checks import Array, StatisticsError, whole

Learner = Any
"""An object with `fit` and `predict`, or `predict_proba`."""

Named = dict[str, tuple[str, dict[str, Any]]]

_FORESTS = {"n_estimators": 500, "min_samples_leaf": 5, "n_jobs": 1}
OUTCOME: Named = {
    "linear": ("", {}),
    "forest": ("RandomForestRegressor", _FORESTS),
    "boosting": ("GradientBoostingRegressor", {}),
}
TREATMENT: Named = {
    "logistic": ("", {}),
    "forest": ("RandomForestClassifier", _FORESTS),
    "boosting": ("GradientBoostingClassifier", {}),
}


def outcome_learner(learner: Learner | str, seed: int = 0) -> Learner:
    """Return a learner of outcomes: itself, or the one of this name. Raises ConfigError for another name."""
    found = _named(learner, OUTCOME, Linear, "outcome_model", seed)
    if not hasattr(found, "fit") or not hasattr(found, "predict"):
        raise ConfigError(f"outcome_model: expected fit and predict, got {type(found).__name__}")
    return found


def treatment_learner(learner: Learner | str, seed: int = 0) -> Learner:
    """Return a learner of the treatment: itself, or the one of this name.

    Raises ConfigError for another name, and for a learner of labels without probabilities.
    """
    found = _named(learner, TREATMENT, Logistic, "score_model", seed)
    if not hasattr(found, "predict_proba"):
        raise ConfigError(
            f"score_model: expected a classifier with predict_proba, got {type(found).__name__}; labels in place of "
            "probabilities bias every estimator"
        )
    return found


def _named(
    learner: Learner | str,
    known: dict[str, tuple[str, dict[str, Any]]],
    own: Callable[[], Learner],
    key: str,
    seed: int,
) -> Learner:
    if not isinstance(learner, str):
        return learner
    if learner not in known:
        raise ConfigError(f"{key}: expected one of {', '.join(known)}, got {learner!r}")
    name, settings = known[learner]
    if not name:
        return own()
    try:
        from sklearn import ensemble
    except ImportError:
        raise ConfigError(
            f"{key}={learner}: scikit-learn is not installed; pip install 'ncf[causal]' brings it"
        ) from None
    return getattr(ensemble, name)(random_state=seed, **settings)


def probabilities(fitted: Learner, x: Array) -> Array:
    """Return P(treated) (N,) of a fitted learner. Raises StatisticsError for what is no probability."""
    both = np.asarray(fitted.predict_proba(x), dtype=np.float64)
    if both.ndim != 2 or both.shape[1] != 2:
        raise StatisticsError(f"score_model: expected probabilities of 0 and of 1 ({len(x)}, 2), got {both.shape}")
    one = both[:, 1]
    if not np.isfinite(one).all() or one.min() < 0 or one.max() > 1:
        raise StatisticsError("score_model: expected probabilities in [0, 1], got others")
    return one


def folds(units: Units, count: int, seed: int = 0, repeat: int = 0) -> Array:
    """Return the fold (N,) of each unit, 0 to `count` - 1: clusters stay together, else each arm is divided evenly.

    The fold of a unit depends on the ranks of its confounders and the seed, neither on the order of units nor on what
    confounders are measured in; units of an arm with the same confounders are told apart by the rank of their outcomes.

    Raises StatisticsError unless each fold can have units of both arms.
    """
    whole(count, "folds", 2, len(units))
    salt = numpy_generator(seed, f"folds/{repeat}").integers(1 << 62, size=2, dtype=np.uint64)
    if units.clusters is not None:
        codes, names = pd.factorize(units.clusters)
        if len(names) < count:
            raise StatisticsError(f"folds: expected at most {len(names)}, the number of clusters, got {count}")
        hashes = pd.util.hash_array(np.asarray(names, dtype=object).astype(str)) ^ salt[0]
        rank = np.argsort(np.argsort(_mixed(hashes, salt[1])))
        found = rank[codes] % count
    else:
        key = _keys(units.confounders, salt[1])
        found = np.empty(len(units), int)
        for arm in (0, 1):
            members = np.flatnonzero(units.treatment == arm)
            order = members[np.lexsort((units.outcome[members], key[members] ^ salt[0]))]
            found[order] = np.arange(len(order)) % count
    smallest = min(int(np.bincount(found[units.treatment == arm], minlength=count).min()) for arm in (0, 1))
    if smallest < 1:
        raise StatisticsError(f"folds: expected both arms in each of {count} folds, got one without; use fewer folds")
    return found


def _keys(x: Array, salt: np.uint64) -> Array:
    """Return a number (N,) for each row of x (N, P), scattered, by the ranks of its values; equal for equal rows.

    Columns are taken in until all rows differ.
    """
    key = np.zeros(len(x), np.uint64)
    for column in x.T:
        key = _mixed(key ^ np.unique(column, return_inverse=True)[1].astype(np.uint64), salt)
        if len(np.unique(key)) == len(x):
            break
    return key


def _mixed(values: Array, salt: np.uint64) -> Array:
    """Return the values (N,) uint64, scattered (the finaliser of splitmix64)."""
    z = values + salt
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def cross_predicted(
    learner: Learner, x: Array, y: Array, fold: Array, among: Array | None = None, *, probability: bool = False
) -> Array:
    """Return the prediction (N,) of each unit by a learner fitted to the other folds.

    Args:
        learner: copied for each fold.
        x: (N, P).
        y: (N,).
        fold: (N,).
        among: (N,) bool, the units to fit to; None: all.
        probability: whether to predict the probability of 1.

    Raises StatisticsError if the learner is fitted to one arm only, or returns labels in place of probabilities.
    """
    predicted = np.empty(len(y))
    for one in np.unique(fold):
        out = fold == one
        rows = ~out if among is None else ~out & among
        fitted = copy.deepcopy(learner).fit(x[rows], y[rows])
        predicted[out] = probabilities(fitted, x[out]) if probability else np.asarray(fitted.predict(x[out])).ravel()
    if probability and np.isin(predicted, (0.0, 1.0)).all():
        raise StatisticsError("score_model: expected probabilities, got only 0 and 1: labels bias every estimator")
    if not np.isfinite(predicted).all():
        raise StatisticsError("outcome_model: expected finite predictions, got others")
    return predicted
