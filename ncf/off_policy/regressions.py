"""Ridge and logistic regression on cells: rounds with equal features, of which only a count and a sum matter."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit

from ncf.errors import ConfigError, DataError

_MOST_STEPS, _SMALL = 100, 1e-10
_ALIKE = 1e-13  # share of a feature's variance that the others leave, below which rounding decides


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
    """Return the coefficients (F,) that minimise sum (r - x b)² + l2 |b|². Raises as `logistic`, for any rewards."""
    penalty = _penalty(cells, l2)
    cells, means = _centred(cells)
    gram = (cells.features * cells.count[:, None]).T @ cells.features + np.diag(penalty)
    return _moved(_solved(gram, cells.features.T @ cells.total, "ridge"), means)


def logistic(cells: Cells, l2: float) -> np.ndarray:
    """Return the coefficients (F,) that minimise the log loss plus l2/2 |b|², by Newton's method with halved steps.

    With l2 = 1 these are the defaults of scikit-learn's LogisticRegression. Rewards may be anything in [0, 1]; where
    all are 0, or all 1, there are no effects and the chance is (0.5 or n + 0.5) / (n + 1).

    Raises:
        ConfigError: l2 is not positive.
        DataError: a mean reward is not in [0, 1], features cannot be told apart, or the steps do not settle.
    """
    penalty = _penalty(cells, l2)
    if ((cells.total < 0) | (cells.total > cells.count)).any():
        raise DataError("reward_model=logistic: expected rewards from 0 to 1; reward_model=ridge takes any")
    cells, means = _centred(cells)
    beta, loss = _start(cells), np.inf
    if cells.total.sum() in (0, cells.count.sum()):  # one outcome alone: the intercept has no optimum
        return beta
    for _ in range(_MOST_STEPS):
        chance = expit(cells.features @ beta)
        slope = cells.features.T @ (cells.count * chance - cells.total) + penalty * beta
        curve = (cells.features * (cells.count * chance * (1 - chance))[:, None]).T @ cells.features
        curve[-1, -1] += 1e-12  # where all chances are 0 or 1, the intercept has no curvature left
        step = _solved(curve + np.diag(penalty), slope, "logistic")
        beta, loss = _downhill(cells, penalty, beta, step, loss)
        if np.abs(step).max() < _SMALL * max(1.0, float(np.abs(beta).max())):
            return _moved(beta, means)
    raise DataError(f"reward_model=logistic: no optimum in {_MOST_STEPS} steps; a higher l2 helps")


def _centred(cells: Cells) -> tuple[Cells, np.ndarray]:
    """Return the cells with features less their means, and the means (F,), 0 of the intercept.

    The intercept takes up any shift, so the fit is the same; but times in seconds since 1970 differ from a constant by
    so little that rounding would decide.
    """
    means = cells.count @ cells.features / cells.count.sum()
    means[-1] = 0
    return Cells(cells.features - means, cells.count, cells.total), means


def _moved(beta: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the coefficients (F,) of features that are not centred."""
    beta = beta.copy()
    beta[-1] -= beta @ means
    return beta


def _solved(matrix: np.ndarray, right: np.ndarray, name: str) -> np.ndarray:
    """Return x (F,) of matrix x = right, whatever the units of the features. Raises DataError if it is singular."""
    scale = 1 / np.sqrt(matrix.diagonal())
    try:
        factor = linalg.cho_factor(matrix * scale[:, None] * scale)
    except (ValueError, linalg.LinAlgError):
        factor = None
    if factor is None or factor[0].diagonal().min() ** 2 < _ALIKE:
        raise DataError(
            f"reward_model={name}: features are too large, or too nearly combinations of others; a higher l2, or "
            "features of other units, help"
        )
    return np.asarray(linalg.cho_solve(factor, right * scale) * scale)


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
