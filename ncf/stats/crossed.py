"""Means over seeds and users at once: how far they would move with other seeds and other users.

A table of differences (seeds, users) varies with the seed (training noise), with the user (a sample of users) and with
both together. Its mean squares give the two parts of the variance of its mean. Each part is known as well as it has
seeds or users, so each gets its own quantile of t: the squared half-widths add up. Simulated with 2 to 30 seeds,
such intervals never cover less than they say, and at most 0.01 more from 10 seeds on. (With Satterthwaite's degrees of
freedom for the sum, a test at 0.05 rejects in 0.06 to 0.12 of studies with 2 or 3 seeds that matter.)
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from ncf.stats.checks import Array, StatisticsError, aligned, fraction, table

_SMALLEST_P = 1e-300


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and users.

    Attributes:
        value: the mean.
        of_seeds: the part of its variance that more seeds would make smaller.
        of_users: the part that more users would.
        seeds: S.
        users: U.
    """

    value: float
    of_seeds: float
    of_users: float
    seeds: int
    users: int

    @property
    def error(self) -> float:
        """The standard error, over other seeds and other users."""
        return float(np.sqrt(self.of_seeds + self.of_users))

    @property
    def direction(self) -> int:
        """1, -1 or 0: the sign of the mean."""
        return int(np.sign(self.value))

    @property
    def p(self) -> float:
        """Two-sided p of a mean of 0 in the population of seeds and users: 1 minus the level whose interval ends at 0.

        1 if the mean is 0 itself, 0 if there is no error.
        """
        if self.value == 0 or self.error == 0:
            return float(self.value == 0)
        reach = np.log(_SMALLEST_P), 0.0
        beyond = [self._half(np.exp(at)) - abs(self.value) for at in reach]
        if beyond[0] <= 0:
            return _SMALLEST_P
        root = optimize.brentq(lambda at: self._half(np.exp(at)) - abs(self.value), *reach, xtol=1e-10)
        return float(np.exp(root))

    def ends(self, level: float) -> tuple[float, float]:
        """Return the interval of this nominal coverage. Raises StatisticsError unless it is in (0, 1)."""
        half = self._half(1 - fraction(level, "level"))
        return self.value - half, self.value + half

    def _half(self, alpha: float) -> float:
        """Half the width at 1 - alpha; at most 1e300, where scipy 1.17 has -inf for some far quantiles of t."""
        parts = ((self.of_seeds, self.seeds), (self.of_users, self.users))
        wide = [np.sqrt(own) * abs(stats.t.isf(alpha / 2, count - 1)) for own, count in parts if own > 0]
        return min(float(np.hypot.reduce(wide)), 1e300) if wide else 0.0


def crossed_mean(differences: Array) -> Mean:
    """Return the mean of (seeds, users) with the standard error of two crossed random effects.

    With mean squares of seeds, users and what is left, the variance of the mean is MS seeds / (S U), which counts what
    seeds and users do together, plus (MS users - MS rest) / (S U), if that is positive.

    Raises StatisticsError unless there are at least 2 seeds and 2 users, all finite.
    """
    d = table(differences, "seeds and users")
    if d.ndim != 2 or min(d.shape) < 2:
        raise StatisticsError(f"seeds and users: expected shape (seeds, users), each >= 2, got {d.shape}")
    (s, u), mean = d.shape, float(d.mean())
    rows, columns = d.mean(1) - mean, d.mean(0) - mean
    left = d - mean - rows[:, None] - columns
    seeds, users = u * float(rows @ rows) / (s - 1), s * float(columns @ columns) / (u - 1)
    rest = float((left * left).sum()) / ((s - 1) * (u - 1))
    of_seeds, of_users = seeds / (s * u), max(users - rest, 0.0) / (s * u)
    if of_seeds + of_users <= 1e-24 * mean * mean:  # rounding
        of_seeds = of_users = 0.0
    return Mean(mean, of_seeds, of_users, s, u)


def seeds_and_users(treatment: Array, baseline: Array) -> Mean:
    """Return the mean of treatment - baseline over users, with an error that counts the noise of the seeds as well.

    For a method without seeds against one with several: a test over users alone takes the few seeds that were run for
    the method itself, and finds differences between them too. What it cannot do: it says nothing about other data sets
    or settings, and with 2 or 3 seeds it finds only what is large against their noise.

    Args:
        treatment: a metric per user, (users,) of a method without seeds or (seeds, users); pandas objects by label.
        baseline: likewise; if both have seeds, row by row of the same seed. At least one has.

    Raises:
        StatisticsError: neither has seeds, shapes that do not fit, labels that differ, fewer than 2 seeds or users, or
            values that are not finite.
    """
    treatment, baseline = aligned(treatment, baseline, "seeds and users")
    t, b = table(treatment, "treatment"), table(baseline, "baseline")
    fits = t.shape == b.shape if t.ndim == b.ndim == 2 else {t.ndim, b.ndim} == {1, 2} and t.shape[-1] == b.shape[-1]
    if not fits:
        raise StatisticsError(
            f"seeds and users: expected (seeds, users) against the same or (users,), got {t.shape} and {b.shape}"
        )
    return crossed_mean(t - b)
