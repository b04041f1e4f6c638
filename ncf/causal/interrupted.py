"""Interrupted time series: one series before and after a change, without controls."""

from dataclasses import dataclass

import numpy as np

from ncf.causal.linear import cleared, largest
from ncf.stats.checks import Array, StatisticsError, fraction, sample, whole
from ncf.stats.estimate import Estimate, estimate


@dataclass(frozen=True, eq=False)
class Interrupted:
    """What a change did to a series.

    Attributes:
        level: the jump at the change.
        slope: the change of slope after it, a period.
        before: the slope before it.
        lags: autocovariances that the errors take into account.
    """

    level: Estimate
    slope: Estimate
    before: Estimate
    lags: int


def interrupted(outcome: Array, change: int, *, lags: int | None = None, level: float = 0.95) -> Interrupted:
    """Return the jump and the change of slope of a series (T,) at position `change`, its first treated period.

    Least squares on 1, t, after and after x t, with t counted from the change, so that the jump is at the change and
    not extrapolated to the beginning (Wagner et al. 2002). Errors withstand autocorrelation (Newey and West 1987,
    Bartlett weights, times T / (T - 4)). It takes the old trend to go on: whatever else happened at the change counts
    as effect. Of a short series with autocorrelation, intervals cover less than they say.

    Args:
        outcome: (T,), equally spaced.
        change: position of the first treated period, with 3 periods before it and after its beginning at least.
        lags: autocovariances in the errors; None: 4 (T / 100)^(2/9), rounded up (Newey and West 1994).
        level: nominal coverage of the intervals.

    Raises StatisticsError for a series that is too short on a side, or settings out of range.
    """
    y, level = sample(outcome, 6, "outcome"), fraction(level, "level")
    length = len(y)
    change = whole(change, "change", 0)
    if change < 3 or length - change < 3:
        raise StatisticsError(
            f"change: expected 3 periods or more before and after, got {change} and {length - change}"
        )
    lags = int(np.ceil(4 * (length / 100) ** (2 / 9))) if lags is None else whole(lags, "lags", 0, length - 1)
    t = np.arange(length) - change
    after = (t >= 0).astype(float)
    x = np.stack([np.ones(length), t, after, after * t], 1)
    inverse = np.linalg.inv(x.T @ x)
    values = inverse @ (x.T @ y)
    pull = x * cleared(y - x @ values, largest(y))[:, None] @ inverse * length
    errors = np.sqrt(np.diag(_long_run(pull, lags)) / length**2 * length / (length - 4))
    names = {2: "level", 3: "slope", 1: "slope before"}
    found = {
        name: _scaled(float(cleared(values[at], largest(y))), pull[:, at], float(errors[at]), name, level, length - 4)
        for at, name in names.items()
    }
    return Interrupted(found["level"], found["slope"], found["slope before"], lags)


def _long_run(pull: Array, lags: int) -> Array:
    """Return the sum of autocovariances (K, K) of contributions (T, K), with Bartlett weights."""
    total = pull.T @ pull
    for lag in range(1, lags + 1):
        cross = pull[lag:].T @ pull[:-lag]
        total = total + (1 - lag / (lags + 1)) * (cross + cross.T)
    return np.asarray(total)


def _scaled(value: float, pull: Array, error: float, name: str, level: float, degrees: int) -> Estimate:
    """Return the estimate whose contributions are scaled to the error that withstands autocorrelation."""
    own = float(np.sqrt(pull @ pull)) / len(pull)
    return estimate(value, pull * (error / own if own else 0.0), estimand=name, method="interrupted series",
                    level=level, lost=0, degrees=degrees)  # fmt: skip
