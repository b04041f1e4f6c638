"""Ridge and logistic regression on cells: rounds with equal features, of which only a count and a sum matter."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit

from ncf.errors import ConfigError, DataError

_MOST_STEPS, _SMALL = 100, 1e-10


@dataclass(frozen=True, eq=False)
class Cells:
    """Rounds with equal features.

    Attributes:
        features: (C, F) float64, the last column all ones: the intercept, which is not penalised.
        count: (C,) sum of the rounds' weights.
        total: (C,) weighted sum of their rewards.
    """

    features: np.ndarray
    count: np.ndarray
    total: np.ndarray


def ridge(cells: Cells, l2: float) -> np.ndarray:
    """Return the coefficients (F,) that minimise sum (r - x b)² + l2 |b|². Raises ConfigError unless l2 is positive."""
    penalty = _penalty(cells, l2)
    gram = (cells.features * cells.count[:, None]).T @ cells.features + np.diag(penalty)
    return np.asarray(linalg.solve(gram, cells.features.T @ cells.total, assume_a="pos"))


def logistic(cells: Cells, l2: float) -> np.ndarray:
    """Return the coefficients (F,) that minimise the log loss plus l2/2 |b|², by Newton's method with halved steps.

    With l2 = 1 these are the defaults of scikit-learn's LogisticRegression. Rewards may be anything in [0, 1]; where
    all are 0, or all 1, there are no effects and the chance is (0.5 or n + 0.5) / (n + 1).

    Raises:
        ConfigError: l2 is not positive.
        DataError: a mean reward is not in [0, 1], or the steps do not settle.
    """
    penalty = _penalty(cells, l2)
    if ((cells.total < 0) | (cells.total > cells.count)).any():
        raise DataError("reward_model=logistic: expected rewards from 0 to 1; reward_model=ridge takes any")
    beta, loss = _start(cells), np.inf
    if cells.total.sum() in (0, cells.count.sum()):  # one outcome alone: the intercept has no optimum
        return beta
    for _ in range(_MOST_STEPS):
        chance = expit(cells.features @ beta)
        slope = cells.features.T @ (cells.count * chance - cells.total) + penalty * beta
        curve = (cells.features * (cells.count * chance * (1 - chance))[:, None]).T @ cells.features
        step = linalg.solve(curve + np.diag(penalty + 1e-12), slope, assume_a="pos")
        beta, loss = _downhill(cells, penalty, beta, step, loss)
        if np.abs(step).max() < _SMALL * max(1.0, float(np.abs(beta).max())):
            return beta
    raise DataError(f"reward_model=logistic: no optimum in {_MOST_STEPS} steps; a higher l2 helps")


def _start(cells: Cells) -> np.ndarray:
    """Return no effects, and the intercept of the mean reward with half a round more of either outcome."""
    beta = np.zeros(cells.features.shape[1])
    mean = (cells.total.sum() + 0.5) / (cells.count.sum() + 1)
    beta[-1] = np.log(mean / (1 - mean))
    return beta


def _downhill(
    cells: Cells, penalty: np.ndarray, beta: np.ndarray, step: np.ndarray, loss: float
) -> tuple[np.ndarray, float]:
    """Return beta - step, halved until the loss does not rise, and its loss."""
    for _ in range(30):
        proposed = beta - step
        logit = cells.features @ proposed
        new = float((cells.count * np.logaddexp(0, logit) - cells.total * logit).sum() + penalty @ proposed**2 / 2)
        if new <= loss + 1e-9 * abs(loss):
            return proposed, new
        step = step / 2
    return beta, loss


def _penalty(cells: Cells, l2: float) -> np.ndarray:
    if not 0 < l2 < np.inf:
        raise ConfigError(f"l2: expected a number above 0, got {l2}")
    penalty = np.full(cells.features.shape[1], float(l2))
    penalty[-1] = 0
    return penalty
