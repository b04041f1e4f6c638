"""Balance of confounders between the arms, before adjustment and after, on the sample that an estimate uses."""

import numpy as np
import pandas as pd

from ncf.causal.units import Units
from ncf.stats.checks import Array, StatisticsError, one_of

LIMIT = 0.1
"""|standardised mean difference| up to which a confounder counts as balanced (Austin 2009)."""


def balance(units: Units, weights: Array, scale: str = "pooled") -> pd.DataFrame:
    """Return a row for each confounder.

    The standard deviation that differences are divided by is that of the unadjusted arms, before and after.

    Args:
        units: N units, all of them.
        weights: (N,), those of the estimate, 0 for units that it leaves out; negative ones are allowed.
        scale: "pooled", the root of the mean of both arms' variances, or "treated".

    Returns:
        Columns confounder, treated_before, untreated_before, smd_before, ratio_before, and the same _after: means,
        standardised mean difference, and ratio of variances (treated over untreated; none without variance).

    Raises:
        StatisticsError: another scale, or an arm whose weights sum to no positive number.
    """
    one_of(scale, "scale", ["pooled", "treated"])
    before, after = (_moments(units, w) for w in (np.ones(len(units)), np.asarray(weights, dtype=np.float64)))
    (_, treated), (_, untreated) = before
    size = np.sqrt((treated + untreated) / 2 if scale == "pooled" else treated)
    columns: dict[str, object] = {"confounder": list(units.names)}
    for when, ((mean, variance), (other, other_variance)) in (("before", before), ("after", after)):
        columns |= {
            f"treated_{when}": mean, f"untreated_{when}": other, f"smd_{when}": _over(_apart(mean, other), size),
            f"ratio_{when}": np.where(variance > 0, _over(variance, other_variance), np.nan),
        }  # fmt: skip
    return pd.DataFrame(columns)


def unbalanced(table: pd.DataFrame) -> list[str]:
    """Return the confounders whose |standardised mean difference| exceeds 0.1 after adjustment, or has no value.

    It has none where the arms differ in what does not vary within them: nothing is less balanced.
    """
    return table.loc[~(table["smd_after"].abs() <= LIMIT), "confounder"].tolist()


def _moments(units: Units, weights: Array) -> list[tuple[Array, Array]]:
    """Return means and variances (P,) of the treated and of the untreated; with equal weights the usual ones."""
    found = []
    for arm in (1, 0):
        own = units.treatment == arm
        w, x = weights[own], units.confounders[own]
        if not w.sum() > 0:
            raise StatisticsError("balance: expected weights that sum to a positive number in each arm")
        w = w / w.sum()
        mean = w @ x
        lost = 1 - w @ w
        variance = w @ (x - mean) ** 2 / lost if lost > 1e-12 else np.zeros(x.shape[1])
        found.append((mean, np.where(variance > (1e-13 * mean) ** 2, variance, 0.0)))  # not a rounding error
    return found


def _apart(mean: Array, other: Array) -> Array:
    """Return the difference of means (P,), 0 where it is a rounding error."""
    difference = mean - other
    return np.where(np.abs(difference) > 1e-13 * np.maximum(np.abs(mean), np.abs(other)), difference, 0.0)


def _over(numerator: Array, denominator: Array) -> Array:
    """Return the quotient; 0 / 0 is 0 for differences of what is equal, and x / 0 has no value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.where(numerator == 0, 0.0, np.nan))
