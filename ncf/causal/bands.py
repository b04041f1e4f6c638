"""Simultaneous intervals: one critical value for many estimates that share units."""

import numpy as np

from ncf.stats.checks import Array, StatisticsError, fraction, table, whole

_AT_ONCE = 1 << 24  # numbers drawn at once


def sup_t(influence: Array, *, level: float = 0.95, draws: int = 999, rng: np.random.Generator) -> float:
    """Return the quantile of the largest |t| of K estimates: +- that many standard errors cover all of them together.

    Multiplier bootstrap (Mammen 1993 with Rademacher signs, as in Callaway and Sant'Anna 2021, algorithm 1): the
    influence of every unit is multiplied by a random sign, and the K sums are divided by their standard errors.

    Args:
        influence: (N, K), of N units on each estimate.
        level: nominal coverage of all of them together.
        draws: number of draws, 99 at least.
        rng: draws the signs.

    Raises StatisticsError for other shapes, estimates without any error, or settings out of range.
    """
    values = table(influence, "influence")
    level, draws = fraction(level, "level"), whole(draws, "draws", 99)
    if values.ndim != 2 or len(values) < 2:
        raise StatisticsError(f"influence: expected (units, estimates), got {values.shape}")
    values = values - values.mean(0)
    scale = np.sqrt((values * values).sum(0))
    kept = scale > 0
    if not kept.any():
        raise StatisticsError("influence: expected estimates with an error, found none")
    standard = values[:, kept] / scale[kept]
    step = max(1, _AT_ONCE // len(standard))
    largest = [
        np.abs((2.0 * rng.integers(0, 2, (min(step, draws - done), len(standard))) - 1) @ standard).max(1)
        for done in range(0, draws, step)
    ]
    return float(np.quantile(np.concatenate(largest), level, method="higher"))
