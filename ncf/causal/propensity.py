"""Propensity scores: the probability of treatment given the confounders, overlap of the arms, and trimming."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ncf.causal.learners import Learner, cross_predicted, folds, probabilities, treatment_learner
from ncf.causal.linear import Logistic
from ncf.causal.units import Units
from ncf.stats.checks import Array, StatisticsError, sample
from ncf.stats.estimate import effective_size

LEAST_SIZE, LEAST_SHARE = 30, 0.1
"""Of an arm's effective sample size, and of its share of the arm."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Propensity scores of N units.

    Attributes:
        values: (N,), in (0, 1).
        design: (N, Q), columns of the logistic regression that they come from; None for other learners and for scores
            that are given: errors then take them as known.
        inverse: (Q, Q), inverse of its information.
    """

    values: Array
    design: Array | None = None
    inverse: Array | None = None

    def influence(self, gradient: Array, treatment: Array) -> Array:
        """Return what estimating the scores adds to the influence (N,) of an estimate with this gradient.

        Args:
            gradient: (N,), derivative of the estimate by each unit's linear predictor.
            treatment: (N,).
        """
        if self.design is None or self.inverse is None:
            return np.zeros(len(treatment))
        direction = self.inverse @ (self.design.T @ gradient)
        return len(treatment) * (self.design @ direction) * (treatment - self.values)


def scores(units: Units, learner: Learner | str = "logistic", *, count: int = 1, seed: int = 0) -> Scores:
    """Return propensity scores by logistic regression, or by any classifier with `predict_proba`.

    Args:
        units: N units.
        learner: "logistic", "forest", "boosting", or an object as in scikit-learn.
        count: folds; with 1 the scores are those of a fit to all units.
        seed: of the folds and of named learners.

    Raises:
        ConfigError: the learner is unknown or has no probabilities.
        StatisticsError: a score is 0 or 1, or the confounders separate the arms.
    """
    model = treatment_learner(learner, seed)
    if count > 1:
        fold = folds(units, count, seed)
        return given(cross_predicted(model, units.confounders, units.treatment, fold, probability=True))
    fitted = model.fit(units.confounders, units.treatment)
    values = given(probabilities(fitted, units.confounders)).values
    if isinstance(fitted, Logistic):
        return Scores(values, fitted.standardised(units.confounders), fitted.inverse)
    return Scores(values)


def given(values: Any) -> Scores:
    """Return scores (N,) that are known. Raises StatisticsError for one outside (0, 1)."""
    found = sample(values, 2, "scores")
    if (bad := ~((found > 0) & (found < 1))).any():
        where = int(np.flatnonzero(bad)[0])
        raise StatisticsError(
            f"scores: expected probabilities between 0 and 1, got {found[where]:g} at position {where} "
            f"({int(bad.sum()):,} such); {_advice(found[bad])}"
        )
    return Scores(found)


def _advice(bad: Array) -> str:
    if ((bad < 0) | (bad > 1)).any():
        return "a propensity score is the probability of treatment, not its logit or a rank"
    return "these units are never, or always, treated; leave them out, or use a smoother model (logistic)"


def trim(values: Array, low: float, high: float) -> Array:
    """Return the mask (N,) of scores in [low, high]. Raises StatisticsError unless 0 <= low < high <= 1."""
    if not 0 <= low < high <= 1:
        raise StatisticsError(f"trim: expected 0 <= low < high <= 1, got {low:g} and {high:g}")
    return (values >= low) & (values <= high)


def best_trim(values: Array) -> tuple[float, float]:
    """Return the bounds (a, 1 - a) that minimise the variance bound of the ATE (Crump et al. 2009, eq. 7).

    `a` is the smallest with 1 / (a (1 - a)) <= 2 E[1 / (e (1 - e)) | 1 / (e (1 - e)) <= 1 / (a (1 - a))].
    """
    inverse = np.sort(1 / (values * (1 - values)))
    means = np.cumsum(inverse) / np.arange(1, len(inverse) + 1)
    if inverse[-1] <= 2 * means[-1]:
        return 0.0, 1.0
    bound = 2 * means[np.flatnonzero(inverse <= 2 * means)[-1]]
    low = 0.5 - np.sqrt(max(0.25 - 1 / bound, 0.0))
    return float(low), float(1 - low)


def overlap(treatment: Array, values: Array, bins: int = 20) -> pd.DataFrame:
    """Return how the scores of each arm are spread: bins of equal width with columns low, high, treated, untreated."""
    edges = np.linspace(0, 1, bins + 1)
    counts = [np.histogram(values[treatment == arm], edges)[0] for arm in (1, 0)]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "treated": counts[0], "untreated": counts[1]})


def support(treatment: Array, values: Array) -> dict[str, float]:
    """Return the range of the scores of each arm, and the share of units outside the range that the arms share."""
    ends = {}
    for arm, name in ((1, "treated"), (0, "untreated")):
        own = values[treatment == arm]
        ends[f"score_low_{name}"], ends[f"score_high_{name}"] = float(own.min()), float(own.max())
    low = max(ends["score_low_treated"], ends["score_low_untreated"])
    high = min(ends["score_high_treated"], ends["score_high_untreated"])
    return ends | {"share_off_support": float(((values < low) | (values > high)).mean())}


def arm_sizes(treatment: Array, weights: Array) -> tuple[float, float]:
    """Return the effective sample sizes of the treated and the untreated under weights (N,)."""
    return effective_size(weights[treatment == 1]), effective_size(weights[treatment == 0])


def no_overlap(treatment: Array, weights: Array, estimand: str) -> str | None:
    """Return why the arms do not overlap enough, None if they do.

    An arm's effective sample size must be 30 at least, and a tenth of its units; of the treated, for an ATT, and of the
    untreated, for an ATC: the arm that stands in for them may hold any number of units unlike them. An ATO asks for 30
    alone, since it is of where the arms overlap.
    """
    treated = int((treatment == 1).sum())
    counts = {"treated": treated, "untreated": len(treatment) - treated}
    of = {"ATT": counts["treated"], "ATC": counts["untreated"], "ATO": 0}.get(estimand, len(treatment))
    for (arm, n), size in zip(counts.items(), arm_sizes(treatment, weights), strict=True):
        if size < LEAST_SIZE or size < LEAST_SHARE * min(n, of):
            return (
                f"no overlap for the {estimand}: {n:,} {arm} units tell as much as {size:.1f}; expected at least "
                f"{max(LEAST_SIZE, LEAST_SHARE * min(n, of)):,.0f}"
            )
    return None
