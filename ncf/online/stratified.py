"""Arms compared within strata, such as countries or weeks of entry, and put together by the size of each."""

import numpy as np
import pandas as pd

from ncf.online.arms import ArmMean, mean
from ncf.online.means import Effect, effect_of, units
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.estimate import effective_size


def stratified(values: Array, treated: Array, strata: Array, *, level: float = 0.95) -> Effect:
    """Return the difference of means within strata, weighted by the units of each stratum.

    Where the share of the treated differs between strata (a ramp-up by week, for example), plain means compare other
    mixtures of strata (Simpson's paradox); this does not. Each stratum and arm has a spread of its own, with the
    degrees of freedom of Satterthwaite.

    Args:
        values: (N,), the metric of each unit.
        treated: (N,) bool, or 0 and 1.
        strata: (N,), of any kind, known before the assignment.
        level: nominal coverage of the interval.

    Returns:
        The effect; detail: `strata`, their number.

    Raises StatisticsError if a stratum has fewer than 2 units in an arm, or as `means.welch`.
    """
    values, treated = units(values, treated)
    codes, names = pd.factorize(np.asarray(strata))
    if codes.shape != values.shape or (codes < 0).any():
        raise StatisticsError(f"strata: expected one for each of {len(values)} units, got {codes.shape}, or missing")
    shares = np.bincount(codes) / len(codes)
    arms, weights = [], np.empty(len(values))
    for arm in (treated, ~treated):
        counts = np.bincount(codes[arm], minlength=len(names))
        if counts.min() < 2:
            raise StatisticsError(
                f"strata: expected at least 2 units of each arm in every stratum, got {counts.min()} in "
                f"{str(names[counts.argmin()])!r}"
            )
        weights[arm] = (shares / counts * counts.sum())[codes[arm]]
        arms.append(_arm(values[arm], codes[arm], counts, shares))
    found = effect_of(arms[0], arms[1], treated, method="stratified", level=level, effective_n=effective_size(weights))
    return found.noting(strata=len(names))


def _arm(values: Array, codes: Array, counts: Array, shares: Array) -> ArmMean:
    centre = mean(values)  # sums of what is left round less
    means = centre + np.bincount(codes, values - centre, len(counts)) / counts
    unbiased = np.sqrt(counts / (counts - 1))
    influence = ((values - means[codes]) * (unbiased * shares / counts)[codes]) * len(values)
    parts = np.bincount(codes, influence**2, len(counts)) / len(values) ** 2  # variance by stratum
    total = float(parts.sum())
    degrees = 1 / float(((parts / total) ** 2 / (counts - 1)).sum()) if total else float((counts - 1).sum())
    return ArmMean(float(shares @ means), influence, total, degrees)
