"""Means over seeds and users at once: how far they would move with other seeds and other users.

A table of differences (seeds, users) varies with the seed (training noise), with the user (a sample of users) and with
both together. Its mean squares give the variance of its mean without bias; where few seeds stand behind them,
Satterthwaite's degrees of freedom (1946) and quantiles of t say so.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, aligned, fraction, table


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and users.

    Attributes:
        value: the mean.
        error: its standard error, over other seeds and other users.
        degrees: of freedom of the error; infinite if the error is 0.
        seeds: S.
        users: U.
    """

    value: float
    error: float
    degrees: float
    seeds: int
    users: int

    @property
    def p(self) -> float:
        """Two-sided p of a mean of 0 in the population of seeds and users; 1 if the mean is 0 itself."""
        if self.value == 0:
            return 1.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.degrees)) if self.error else 0.0

    @property
    def direction(self) -> int:
        """1, -1 or 0: the sign of the mean."""
        return int(np.sign(self.value))

    def ends(self, level: float) -> tuple[float, float]:
        """Return the interval of this nominal coverage. Raises StatisticsError unless it is in (0, 1)."""
        half = stats.t.isf((1 - fraction(level, "level")) / 2, self.degrees) * self.error
        return float(self.value - half), float(self.value + half)


def crossed_mean(differences: Array) -> Mean:
    """Return the mean of (seeds, users) with the standard error of two crossed random effects.

    With mean squares of seeds, users and what is left, the variance of the mean is estimated without bias by (MS seeds
    + MS users - MS rest) / (S U). It is taken to be no less than either of the two alone would give, so it is a little
    too large where seeds hardly matter: there, 3 to 5 seeds cover 0.97 to 0.98 of the time instead of 0.95.

    Raises StatisticsError unless there are at least 2 seeds and 2 users, all finite.
    """
    d = table(differences, "seeds and users")
    if d.ndim != 2 or min(d.shape) < 2:
        raise StatisticsError(f"seeds and users: expected shape (seeds, users), each >= 2, got {d.shape}")
    (s, u), mean = d.shape, float(d.mean())
    rows, columns = d.mean(1) - mean, d.mean(0) - mean
    left = d - mean - rows[:, None] - columns
    of_seeds, of_users = u * float(rows @ rows) / (s - 1), s * float(columns @ columns) / (u - 1)
    of_rest = float((left * left).sum()) / ((s - 1) * (u - 1))
    total = max(of_seeds + of_users - of_rest, of_seeds, of_users)
    if total <= 1e-24 * mean * mean:
        return Mean(mean, 0.0, np.inf, s, u)
    uncertain = of_seeds**2 / (s - 1) + of_users**2 / (u - 1) + of_rest**2 / ((s - 1) * (u - 1))
    return Mean(mean, float(np.sqrt(total / (s * u))), total**2 / uncertain, s, u)


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
