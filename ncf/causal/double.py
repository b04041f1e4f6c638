"""Double machine learning: effects from predictions of each unit by learners that have not seen it.

Any learner of outcomes and any classifier will do, if they converge fast enough: errors of the one are multiplied by
errors of the other (Chernozhukov et al. 2018).
"""

from dataclasses import dataclass

import numpy as np

from ncf.causal.adjusted import target
from ncf.causal.learners import Learner, cross_predicted, folds, outcome_learner, treatment_learner
from ncf.causal.linear import cleared, largest
from ncf.causal.propensity import given
from ncf.causal.units import Units
from ncf.causal.weighting import weights
from ncf.stats.checks import Array, StatisticsError, number, whole
from ncf.stats.estimate import Estimate, estimate


@dataclass(frozen=True, eq=False)
class Predicted:
    """Out-of-fold predictions of N units; each (N,).

    Attributes:
        score: of the treatment.
        outcome: of the outcome from the confounders alone; None if it is not needed.
        treated: of the outcome if treated; None if not needed.
        untreated: of the outcome if untreated; None if not needed.
    """

    score: Array
    outcome: Array | None = None
    treated: Array | None = None
    untreated: Array | None = None


def predict(
    units: Units,
    *,
    outcome_model: Learner | str = "linear",
    score_model: Learner | str = "logistic",
    fold: Array | int = 5,
    seed: int = 0,
    repeats: int = 1,
    interactive: bool = True,
) -> Predicted:
    """Return out-of-fold predictions, or their means over several divisions into folds.

    Small samples come out otherwise for other folds; the mean of many divisions hardly does, and still no unit is
    predicted by a learner that has seen it.

    Args:
        units: N units.
        outcome_model: "linear", "forest", "boosting", or an object with fit and predict.
        score_model: "logistic", "forest", "boosting", or an object with fit and predict_proba.
        fold: how many folds, or the fold (N,) of each unit.
        seed: of the folds and of named learners.
        repeats: how many divisions; 1 with the fold of each unit.
        interactive: whether outcomes are predicted in each arm, for `interactive`; else from the confounders alone, for
            `partially_linear`.

    Raises:
        ConfigError: a learner is unknown, or has no probabilities.
        StatisticsError: as `folds` and `cross_predicted`.
    """
    regressor, classifier = outcome_learner(outcome_model, seed), treatment_learner(score_model, seed)
    if isinstance(fold, int):
        divided = [folds(units, fold, seed, repeat) for repeat in range(whole(repeats, "repeats", 1))]
    else:
        divided = [np.asarray(fold)]
    if divided[0].shape != (len(units),):
        raise StatisticsError(f"folds: expected one for each of {len(units):,} units, got {divided[0].shape}")

    def mean(learner: Learner, y: Array, arm: int | None = None, probability: bool = False) -> Array:
        """Return the mean prediction (N,) over the divisions, by learners fitted to all units or to an arm."""
        among = None if arm is None else units.treatment == arm
        total = np.zeros(len(units))
        for one in divided:
            total += cross_predicted(learner, units.confounders, y, one, among, probability=probability)
        return total / len(divided)

    score = mean(classifier, units.treatment, probability=True)
    if not interactive:
        return Predicted(score, outcome=mean(regressor, units.outcome))
    treated, untreated = (mean(regressor, units.outcome, arm) for arm in (1, 0))
    return Predicted(score, treated=treated, untreated=untreated)


def clipped(predicted: Predicted, clip: float) -> Predicted:
    """Return the predictions with scores in [clip, 1 - clip]. Raises StatisticsError unless 0 <= clip < 0.5."""
    if not 0 <= number(clip, "clip") < 0.5:
        raise StatisticsError(f"clip: expected a number in [0, 0.5), got {clip:g}")
    score = np.clip(predicted.score, clip, 1 - clip)
    return Predicted(score, predicted.outcome, predicted.treated, predicted.untreated)


def partially_linear(units: Units, predicted: Predicted, *, level: float = 0.95) -> Estimate:
    """Return the effect in Y = effect × treatment + g(X) + noise, by residuals on residuals (Robinson 1988).

    If the effect varies with X, this is its mean weighted by the variance of the treatment given X (ATO), not the ATE.

    Raises StatisticsError without predictions of the outcome, or if the treatment has no residuals.
    """
    outcome, v = residuals(units, predicted)
    size = float(v @ v)
    if size <= 1e-12 * len(v):
        raise StatisticsError("double ML: expected a treatment that confounders do not determine, got no residuals")
    value = float(v @ outcome) / size
    influence = v * (outcome - value * v) * len(v) / size
    return _estimate(value, influence, units, "ATO (ATE if the effect is constant)", "DML (partially linear)", level)


def residuals(units: Units, predicted: Predicted) -> tuple[Array, Array]:
    """Return the residuals (N,) of outcome and treatment. Raises StatisticsError without predictions of the outcome."""
    if predicted.outcome is None:
        raise StatisticsError("partially linear: expected predictions of the outcome, got none")
    return cleared(units.outcome - predicted.outcome, largest(units.outcome)), units.treatment - predicted.score


def interactive(units: Units, predicted: Predicted, *, estimand: str = "ATE", level: float = 0.95) -> Estimate:
    """Return the mean effect from predictions in each arm, corrected by weighted residuals: cross-fitted AIPW.

    Raises StatisticsError for an estimand that is not ATE, ATT or ATC, without predictions in each arm, or for a score
    of 0 or 1.
    """
    among = target(units.treatment, estimand)
    effect, representer, residual = parts(units, predicted, estimand)
    share = among.mean()
    signal = among * effect / share + representer * residual
    value = float(signal.mean())
    influence = signal - among / share * value
    found = weights(units.treatment, predicted.score, estimand)
    result = _estimate(value, influence, units, estimand, "DML (interactive)", level)
    return result.noting(largest_weight=float(found.max()))


def parts(units: Units, predicted: Predicted, estimand: str) -> tuple[Array, Array, Array]:
    """Return predicted effect, Riesz representer and residual of the outcome, (N,) each. Raises as `interactive`."""
    if predicted.treated is None or predicted.untreated is None:
        raise StatisticsError("interactive: expected predictions of the outcome in each arm, got none")
    d = units.treatment
    among = target(d, estimand)
    found = weights(d, given(predicted.score).values, estimand)
    size = largest(units.outcome)
    residual = cleared(units.outcome - np.where(d == 1, predicted.treated, predicted.untreated), size)
    return cleared(predicted.treated - predicted.untreated, size), (2 * d - 1) * found / among.mean(), residual


def _estimate(value: float, influence: Array, units: Units, estimand: str, method: str, level: float) -> Estimate:
    return estimate(
        value, influence, estimand=estimand, method=method, level=level, clusters=units.clusters, lost=0,
        degrees=None if units.clusters is not None else float("inf"),
    )  # fmt: skip
