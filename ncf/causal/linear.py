"""Least squares and logistic regression, with what the errors of two-step estimators need of them.

Columns are centred and scaled first, and products are summed over blocks of rows that stay in the processor's cache.
A column that depends on those before it gets the coefficient 0.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit

from ncf.stats.checks import Array, StatisticsError

_BLOCK = 1 << 13  # rows
_DEPENDENT = 1e-10  # share of a column's variance that those before it must leave
_ROUNDING = 1e-14  # of the largest value: what subtraction may leave of nothing
_MOST_STEPS = 60
_PERFECT = 1e-7  # mean log-likelihood, but for its sign, of a fit that leaves no doubt


class Linear:
    """Least squares with an intercept; `fit` and `predict` as in scikit-learn.

    After `fit`, `inverse` is (Z'Z)⁻¹ of the standardised columns that `standardised` returns, (Q, Q).
    """

    def fit(self, x: Array, y: Array) -> "Linear":
        """x (N, P), y (N,)."""
        product = self._prepare(x)
        moment, shift = np.zeros(len(product)), y.mean()
        for rows in _blocks(len(x)):
            moment += self.standardised(x[rows]).T @ (y[rows] - shift)
        self.inverse = np.linalg.inv(product)
        self.beta = self.inverse @ moment
        self.beta[0] += shift
        return self

    def predict(self, x: Array) -> Array:
        """(N, P) -> (N,)."""
        slope = np.zeros(x.shape[1])
        slope[self.kept] = self.beta[1:] / self.scale
        return self.beta[0] - self.centre @ slope[self.kept] + x @ slope

    def standardised(self, x: Array) -> Array:
        """Return (N, Q): a column of ones and the columns in use, centred and scaled as those of the fit."""
        z = np.empty((len(x), len(self.kept) + 1))
        z[:, 0] = 1
        used = x if len(self.kept) == x.shape[1] else x[:, self.kept]
        np.subtract(used, self.centre, out=z[:, 1:])
        z[:, 1:] /= self.scale
        return z

    def _prepare(self, x: Array) -> Array:
        """Choose and scale the columns, and return Z'Z (Q, Q)."""
        self.kept, self.centre, self.scale, correlation = _independent(x)
        product = np.zeros((len(self.kept) + 1, len(self.kept) + 1))
        product[0, 0], product[1:, 1:] = len(x), len(x) * correlation
        return product


class Logistic(Linear):
    """Logistic regression by Newton's method, with an intercept and no penalty; `predict_proba` as in scikit-learn.

    After `fit`, `inverse` is the inverse of the information of the standardised columns, (Q, Q).

    Raises:
        StatisticsError: `fit` finds that the columns separate the classes, so that there is no maximum.
    """

    def fit(self, x: Array, y: Array) -> "Logistic":
        """x (N, P), y (N,) of 0 and 1."""
        self._prepare(x)
        share = y.mean()
        if not 0 < share < 1:
            raise StatisticsError("logistic regression: expected both 0 and 1, got one of them only")
        self.beta = np.zeros(len(self.kept) + 1)
        self.beta[0] = np.log(share / (1 - share))
        likelihood, information, slope = self._derivatives(x, y)
        for _ in range(_MOST_STEPS):
            try:
                self.inverse = np.linalg.inv(information)
            except np.linalg.LinAlgError:
                break
            step = self.inverse @ slope
            if not np.isfinite(step).all():
                break
            before, last = self.beta, likelihood
            for _ in range(_MOST_STEPS):
                self.beta = before + step
                likelihood, information, slope = self._derivatives(x, y)
                if likelihood >= last - 1e-10 * (1 + abs(last)):
                    break
                step = step / 2
            if likelihood > -_PERFECT * len(y):
                break
            if np.abs(step).max() < 1e-8 * (1 + np.abs(self.beta).max()):
                return self
        raise StatisticsError(
            "logistic regression: found no maximum; the confounders separate the arms, so that scores are 0 or 1: "
            "drop the column that gives the treatment away, or trim"
        )

    def predict_proba(self, x: Array) -> Array:
        """(N, P) -> (N, 2), the probabilities of 0 and of 1."""
        positive = expit(self.predict(x))
        return np.column_stack([1 - positive, positive])

    def _derivatives(self, x: Array, y: Array) -> tuple[float, Array, Array]:
        """Return the log-likelihood, the information (Q, Q) and the slope (Q,), at x (N, P) and y (N,)."""
        size = len(self.beta)
        information, slope, likelihood = np.zeros((size, size)), np.zeros(size), 0.0
        for rows in _blocks(len(x)):
            block = self.standardised(x[rows])
            eta = block @ self.beta
            p = expit(eta)
            likelihood += float(y[rows] @ eta - np.logaddexp(0, eta).sum())
            information += block.T @ (block * (p * (1 - p))[:, None])
            slope += block.T @ (y[rows] - p)
        return likelihood, information, slope


def refuse_dependent(x: Array, names: Sequence[str]) -> None:
    """Raise StatisticsError naming a column of x (N, P) that is constant or a combination of those before it."""
    kept, *_ = _independent(x)
    missing = [j for j in range(x.shape[1]) if j not in set(kept.tolist())]
    if not missing:
        return
    j = missing[0]
    if np.ptp(x[:, j]) == 0 or j == 0 or not len(before := kept[kept < j]):
        raise StatisticsError(f"{names[j]}: expected a confounder that varies, found {x[0, j]:g} in all rows; drop it")
    fit = Linear().fit(x[:, before], x[:, j])
    weights = np.abs(fit.beta[1:]) / (np.abs(fit.beta[1:]).max() or 1.0)
    others = ", ".join(names[before[fit.kept[i]]] for i in np.flatnonzero(weights > 1e-6))
    raise StatisticsError(
        f"{names[j]}: expected confounders of full rank, found a linear combination of {others}; drop one of them"
    )


def cleared(values: Array, size: Array | float) -> Array:
    """Return values with 0 for those that are a rounding error of differences of numbers of this size.

    What is explained exactly must not look like a small effect with a smaller error.
    """
    return np.where(np.abs(values) <= _ROUNDING * size, 0.0, values)


def largest(values: Array) -> float:
    """Return the largest of the sizes of values, of any shape."""
    return float(np.abs(values).max())


def _independent(x: Array) -> tuple[Array, Array, Array, Array]:
    """Return what is known of the columns of x (N, P) that do not depend on earlier ones.

    These are their positions, means and standard deviations (Q,), and their correlations (Q, Q).
    """
    n = max(len(x), 1)
    centre = x.sum(0) / n
    scale = np.sqrt(sum((((x[rows] - centre) ** 2).sum(0) for rows in _blocks(len(x))), np.zeros(x.shape[1])) / n)
    usable = np.flatnonzero(scale > 1e-13 * np.maximum(np.abs(centre), 1e-300))
    product = np.zeros((len(usable), len(usable)))
    for rows in _blocks(len(x)):
        z = (x[rows][:, usable] - centre[usable]) / scale[usable]
        product += z.T @ z
    correlation = product / n
    pivots = _pivots(correlation)
    kept = usable[pivots]
    return kept, centre[kept], scale[kept], correlation[np.ix_(pivots, pivots)]


def _pivots(correlation: Array) -> Array:
    """Return positions of the columns whose variance is not all explained by those before, by elimination."""
    left, kept = correlation.copy(), []
    for j in range(len(left)):
        if left[j, j] <= _DEPENDENT:
            continue
        kept.append(j)
        left -= np.outer(left[:, j], left[j]) / left[j, j]
    return np.array(kept, dtype=int)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))
