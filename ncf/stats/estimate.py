"""One estimate of an effect, whatever made it: a value, its error, and what each unit contributed to it.

Every method (A/B tests, off-policy values, causal effects) returns an `Estimate`. Its `influence` values say how far
each unit pulls the estimate from its value: they have mean zero, and value + influence is a sample whose mean is the
estimate. Errors, cluster-robust errors, differences of two estimates on the same units and tests all follow from them
(Hampel 1974; for causal estimators, Tsiatis 2006).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from ncf.stats.checks import Array, StatisticsError, fraction, instance, number, sample, shown, whole
from ncf.stats.findings import FINDINGS, Finding, findings


@dataclass(frozen=True, eq=False)
class Estimate:
    """An effect with its interval.

    Attributes:
        value: the estimate, in the unit of the outcome.
        standard_error: of `value`; 0 where nothing varies.
        low: lower end of the interval.
        high: upper end.
        level: nominal coverage of [low, high].
        estimand: what is estimated: "ATE", "ATT", "policy value", "relative effect", ...
        method: how, as a table names it: "AIPW", "IPS", "Welch", ...
        n: number of units.
        effective_n: the number of equally weighted units that would tell as much; n where all count alike.
        degrees: degrees of freedom of the t distribution behind interval and p; infinite for the normal.
        influence: (N,) float64, mean zero; None for a method without them, such as an exact test.
        warnings: what a reader has to know, one sentence each.
        details: further numbers by name, such as "largest_weight".
    """

    value: float
    standard_error: float
    low: float
    high: float
    level: float
    estimand: str
    method: str
    n: int
    effective_n: float
    degrees: float = float("inf")
    influence: Array | None = field(default=None, repr=False)  # one number a unit would bury the estimate
    warnings: tuple[str, ...] = ()
    details: dict[str, float] = field(default_factory=dict)

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided p-value of the effect `null`; 1 or 0 where there is no error.

        Raises StatisticsError unless `null` is a finite number.
        """
        away = abs(self.value - number(null, "null"))
        if self.standard_error == 0:
            return float(away == 0)
        return float(2 * stats.t.sf(away / self.standard_error, self.degrees))

    def p_equivalent(self, region: tuple[float, float]) -> float:
        """Return the p-value of two one-sided tests that the effect lies within `region` (Schuirmann 1987).

        Raises StatisticsError unless the region is two finite numbers, the lower first.
        """
        low, high = _region(region)
        if self.standard_error == 0:
            return float(not low < self.value < high)
        nearest = min(self.value - low, high - self.value)
        return float(stats.t.sf(nearest / self.standard_error, self.degrees))

    def finding(self, region: tuple[float, float], alpha: float = 0.05) -> Finding:
        """Return "better", "worse", "equivalent" or "undecided": a higher value is better.

        Raises StatisticsError for a region that is none, or an alpha outside (0, 1).
        """
        alone, _ = findings(
            np.array([np.sign(self.value)]), np.array([self.p()]), np.array([self.p_equivalent(region)]), alpha
        )
        return FINDINGS[int(alone[0])]

    def ends(self, level: float) -> tuple[float, float]:
        """Return the interval of another nominal coverage. Raises StatisticsError unless it is in (0, 1)."""
        half = float(stats.t.isf((1 - fraction(level, "level")) / 2, self.degrees)) * self.standard_error
        return self.value - half, self.value + half

    def noting(self, *warnings: str, **details: float) -> "Estimate":
        """Return the estimate with further warnings and details."""
        return replace(self, warnings=(*self.warnings, *warnings), details=self.details | details)


def estimate(
    value: float,
    influence: Array,
    *,
    estimand: str,
    method: str,
    level: float = 0.95,
    clusters: Array | None = None,
    weights: Array | None = None,
    lost: int = 1,
    degrees: float | None = None,
) -> Estimate:
    """Return the estimate at `value` whose error comes from the influence (N,) of its units.

    The variance is sum(influence²) / N² times N / (N - lost); by clusters, the influence of a cluster is the sum of its
    units' and the variance is that of G clusters, with G - 1 degrees of freedom (Liang and Zeger 1986).

    Args:
        value: the estimate.
        influence: (N,), centred here.
        estimand: what is estimated.
        method: how.
        level: nominal coverage of the interval.
        clusters: (N,), the cluster of each unit, of any kind; None: units are independent.
        weights: (N,), by which units count, for `effective_n` alone (Kish 1965); None: all alike.
        lost: degrees of freedom lost to the fit, 1 for a mean.
        degrees: degrees of freedom of t; None: N - lost, or G - 1 with clusters.

    Raises:
        StatisticsError: fewer than 2 units or clusters, lengths that differ, values that are not finite, weights that
            are negative or all zero, or settings out of range.
    """
    value, level = number(value, "value"), fraction(level, "level")
    instance(estimand, str, "estimand"), instance(method, str, "method")
    centred = sample(influence, 2, "influence")
    centred = centred - centred.mean()
    n = len(centred)
    groups, lost = n, whole(lost, "lost", 0, n - 1)
    variance = float(centred @ centred) / n**2 * n / (n - lost)
    if clusters is not None:
        totals = by_cluster(centred, clusters)
        groups, lost = len(totals), 1
        if groups < 2:
            raise StatisticsError(f"clusters: expected at least 2, got {groups}")
        variance = float(totals @ totals) / n**2 * groups / (groups - 1)
    if weights is not None and len(sample(weights, 1, "weights")) != n:
        raise StatisticsError(f"weights: expected one for each of {n} units, got {len(weights)}")
    degrees = float(groups - lost) if degrees is None else _degrees(degrees)
    error = float(np.sqrt(variance))
    half = float(stats.t.isf((1 - level) / 2, degrees)) * error
    return Estimate(
        value, error, value - half, value + half, level, estimand, method, n,
        float(n) if weights is None else effective_size(weights), degrees, centred,
    )  # fmt: skip


def mean_estimate(
    values: Array, *, estimand: str, method: str, level: float = 0.95, clusters: Array | None = None,
    weights: Array | None = None,
) -> Estimate:  # fmt: skip
    """Return the mean of per-unit values (N,) as an estimate; arguments and errors as `estimate`."""
    units = sample(values, 2, "values")
    return estimate(
        float(units.mean()), units, estimand=estimand, method=method, level=level, clusters=clusters, weights=weights
    )


def difference(first: Estimate, second: Estimate, *, method: str | None = None) -> Estimate:
    """Return first - second, two estimates on the same units in the same order, so that what they share cancels.

    Raises StatisticsError if one of them has no influence values, their numbers of units differ, or their levels do.
    """
    instance(first, Estimate, "first"), instance(second, Estimate, "second")
    if first.influence is None or second.influence is None or first.n != second.n or first.level != second.level:
        raise StatisticsError(
            f"difference: expected two estimates with influence values of the same units at one level, got "
            f"{first.method} ({first.n} units, {first.level:g}) and {second.method} ({second.n}, {second.level:g})"
        )
    return estimate(
        first.value - second.value, first.influence - second.influence, estimand=first.estimand,
        method=method or f"{first.method} - {second.method}", level=first.level,
    )  # fmt: skip


def by_cluster(values: Array, clusters: Array) -> Array:
    """Return the sums of `values` (N,) by cluster, (G,).

    Raises StatisticsError unless both are vectors of one length, the values finite and no cluster missing.
    """
    values = sample(values, 1, "values")
    try:
        codes, names = pd.factorize(np.asarray(clusters))
    except (TypeError, ValueError):
        raise StatisticsError(f"clusters: expected one for each unit, got {shown(clusters)}") from None
    if codes.shape != np.shape(values) or (codes < 0).any():
        raise StatisticsError(f"clusters: expected one for each of {len(values)} units, got {codes.shape}, or missing")
    return np.bincount(codes, values, minlength=len(names))


def effective_size(weights: Array) -> float:
    """Return (sum w)² / sum w² of weights (N,): Kish's effective sample size.

    Raises StatisticsError for weights that are negative, not finite, or all zero.
    """
    checked = sample(weights, 1, "weights")
    if checked.min() < 0 or not checked.any():
        raise StatisticsError("weights: expected none negative and not all zero")
    scaled = checked / checked.max()
    return float(scaled.sum() ** 2 / (scaled @ scaled))


def table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Return a frame with one row for each estimate: every number, and the warnings joined.

    Raises StatisticsError for anything that is no estimate.
    """
    return pd.DataFrame([
        {
            "method": e.method, "estimand": e.estimand, "value": e.value, "standard_error": e.standard_error,
            "low": e.low, "high": e.high, "level": e.level, "p": e.p(), "n": e.n, "effective_n": e.effective_n,
            **e.details, "warnings": "; ".join(e.warnings),
        }
        for e in (instance(each, Estimate, "estimates") for each in instance(estimates, Sequence, "estimates"))
    ])  # fmt: skip


def _degrees(degrees: float) -> float:
    normal = isinstance(degrees, float) and degrees == np.inf
    return degrees if normal else number(degrees, "degrees", 0.5)


def _region(region: tuple[float, float]) -> tuple[float, float]:
    if np.shape(region) != (2,):
        raise StatisticsError(f"region: expected two numbers, got {shown(region)}")
    low, high = (number(end, "region") for end in region)
    if not low < high:
        raise StatisticsError(f"region: expected the lower end first, got {low:g} and {high:g}")
    return low, high
