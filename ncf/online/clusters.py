"""Arms of clusters: whole groups (cities, classes, hours) were randomised, and their units are alike.

Errors as if units were independent cover too little: 0.77 where 20 clusters of 25 share an effect of their own.
"""

import numpy as np
import pandas as pd

from ncf.online.arms import ArmMean, mean, plain
from ncf.online.means import Effect, effect_of, units, welch
from ncf.stats.checks import Array, StatisticsError

FEW = 20
"""Clusters below which cluster-robust errors are known to be too small (Cameron, Gelbach and Miller 2008)."""


def cluster_robust(values: Array, treated: Array, clusters: Array, *, level: float = 0.95) -> Effect:
    """Return the difference of unit means with cluster-robust errors (CR1) and t of G - 2 degrees of freedom.

    Args:
        values: (N,), the metric of each unit.
        treated: (N,) bool, or 0 and 1, the same within a cluster.
        clusters: (N,), of any kind.
        level: nominal coverage of the interval.

    Returns:
        The effect; details: `clusters`, `icc` (by analysis of variance) and `design_effect`. Warns below 20 clusters.

    Raises:
        StatisticsError: fewer than two clusters in an arm, a cluster in both arms, or as `means.welch`.
    """
    values, treated = units(values, treated)
    codes, of_cluster = assigned(treated, clusters)
    groups, n = len(of_cluster), len(values)
    correction = groups / (groups - 1) * (n - 1) / (n - 2)
    arms = [_arm(values[arm], codes[arm], groups, correction) for arm in (treated, ~treated)]
    independent = welch(values, treated, level=level).absolute.standard_error
    error = np.sqrt(arms[0].variance + arms[1].variance)
    worth = float(n * min(1.0, (independent / error) ** 2)) if error else float(n)
    found = effect_of(
        arms[0], arms[1], treated, method="cluster-robust", level=level, degrees=groups - 2.0, effective_n=worth
    )
    return _described(found, values, treated, codes, groups)


def cluster_means(values: Array, treated: Array, clusters: Array, *, level: float = 0.95) -> Effect:
    """Return the difference of the means of cluster means, with Student's t of G - 2 degrees of freedom.

    Every cluster counts alike, however many units it has. Its influence values are those of the clusters, (G,), in the
    order in which they first occur. Arguments and errors as `cluster_robust`.
    """
    values, treated = units(values, treated)
    codes, of_cluster = assigned(treated, clusters)
    groups = len(of_cluster)
    centre = mean(values)  # sums of what is left round less
    means = centre + np.bincount(codes, values - centre, groups) / np.bincount(codes, minlength=groups)
    arms = [plain(means[of_cluster == arm]) for arm in (True, False)]
    pooled = sum(arm.variance * arm.n * (arm.n - 1) for arm in arms) / (groups - 2)
    equal = [ArmMean(arm.value, arm.influence, pooled / arm.n, arm.n - 1.0) for arm in arms]
    found = effect_of(equal[0], equal[1], of_cluster, method="cluster means", level=level, degrees=groups - 2.0)
    return _described(found, values, treated, codes, groups)


def assigned(treated: Array, clusters: Array) -> tuple[Array, Array]:
    """Return the code of each unit's cluster (N,) and whether each cluster is treated (G,).

    Raises StatisticsError for missing clusters, a cluster in both arms, or fewer than two clusters in an arm.
    """
    codes, names = pd.factorize(np.asarray(clusters))
    if codes.shape != treated.shape or (codes < 0).any():
        raise StatisticsError(f"clusters: expected one for each of {len(treated)} units, got {codes.shape}, or missing")
    share = np.bincount(codes, treated, len(names)) / np.bincount(codes, minlength=len(names))
    if (mixed := (share > 0) & (share < 1)).any():
        raise StatisticsError(
            f"clusters: expected each in one arm, got {int(mixed.sum()):,} in two, {str(names[mixed.argmax()])!r} for "
            "one; where units were randomised within them they are strata"
        )
    counts = int((share == 1).sum()), int((share == 0).sum())
    if min(counts) < 2:
        raise StatisticsError(f"clusters: expected at least 2 in each arm, got {counts[1]} and {counts[0]}")
    return codes, share == 1


def icc(deviations: Array, codes: Array, means: int) -> float:
    """Return the intra-cluster correlation by one-way analysis of variance; it may be negative.

    (MSB - MSW) / (MSB + (m - 1) MSW), with m the average size that Donner and Koval (1980) take. Undefined, and 0,
    where every cluster has one unit or nothing varies.

    Args:
        deviations: (N,), of each unit from the mean of its arm.
        codes: (N,), clusters as whole numbers from 0, more than there are arms.
        means: number of arms.
    """
    sizes = np.bincount(codes).astype(np.float64)
    n, groups = len(deviations), len(sizes)
    if n == groups:
        return 0.0
    centres = np.bincount(codes, deviations) / sizes
    between = float(sizes @ centres**2) / (groups - means)
    within = float(((deviations - centres[codes]) ** 2).sum()) / (n - groups)
    m = (n - float(sizes @ sizes) / n) / (groups - 1)
    total = between + (m - 1) * within
    return (between - within) / total if total else 0.0


def design_effect(icc: float, size: float) -> float:
    """Return 1 + (size - 1) icc: how many times more units clusters of this size take (Kish 1965)."""
    return 1 + (size - 1) * icc


def _arm(values: Array, codes: Array, groups: int, correction: float) -> ArmMean:
    alone = plain(values)
    totals = np.bincount(codes, values - alone.value, groups)
    return ArmMean(alone.value, alone.influence, correction * float(totals @ totals) / len(values) ** 2, alone.degrees)


def _described(found: Effect, values: Array, treated: Array, codes: Array, groups: int) -> Effect:
    alike = icc(values - np.where(treated, values[treated].mean(), values[~treated].mean()), codes, 2)
    warning = f"{groups} clusters: below {FEW}, errors and intervals of clusters are uncertain themselves"
    return found.noting(
        *([warning] if groups < FEW else []), clusters=groups, icc=alike,
        design_effect=design_effect(alike, len(values) / groups),
    )  # fmt: skip
