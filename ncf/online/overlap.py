"""Experiments that ran on the same units at once: do their assignments depend on each other, do their effects interact?

Overlap itself is no bias. With independent assignment the effect of one experiment is its average over the arms of the
other; only dependent assignment lets one's effect leak into the other's, and only an interaction makes the average
depend on what else is running (Kohavi et al. 2013).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ncf.online.arms import mean
from ncf.online.health import Check, p_text
from ncf.stats.checks import Array, StatisticsError, sample

DEPENDENT, INTERACTING = 0.001, 0.01
"""p below which assignments count as dependent, and effects as interacting."""


@dataclass(frozen=True)
class Overlap:
    """A pair of experiments.

    Attributes:
        first: name of one.
        second: name of the other.
        units: in both.
        cramer_v: strength of the dependence of their assignments, from 0 to 1.
        p_dependence: of Pearson's test that they are independent.
        interaction: for two arms each, the effect of the first among the treated of the second less that among its
            control; None for more arms.
        p_interaction: of Wald's test that the effect of the first is the same in every arm of the second; None where a
            combination has fewer than two units or nothing varies.
        p_second: that the second has no effect on the metric, averaged over the arms of the first; None likewise.
    """

    first: str
    second: str
    units: int
    cramer_v: float
    p_dependence: float
    interaction: float | None
    p_interaction: float | None
    p_second: float | None

    def check(self) -> Check:
        """Return it as a check, with a warning where assignments depend or effects interact."""
        name = f"{self.first} and {self.second}"
        details = {"cramer_v": self.cramer_v, "p_dependence": self.p_dependence}
        if self.p_interaction is not None:
            details["p_interaction"] = self.p_interaction
        if self.p_dependence < DEPENDENT:
            says = (f"the assignments of {name} depend on each other (Cramér's V {self.cramer_v:.2f}, p "
                    f"{p_text(self.p_dependence)}): the effect of one is part of the other's")  # fmt: skip
            return Check(name, "warning", says, details)
        if self.p_interaction is not None and self.p_interaction < INTERACTING:
            says = (f"the effects of {name} interact (p {p_text(self.p_interaction)}): this effect is an average over "
                    f"the arms of {self.second}")  # fmt: skip
            return Check(name, "warning", says, details)
        says = f"{name}: assigned independently (p {p_text(self.p_dependence)}), no interaction shown"
        return Check(name, "ok", says, details)


def overlaps(assignments: Mapping[str, Array], values: Array) -> list[Overlap]:
    """Return every pair of experiments.

    Args:
        assignments: experiment -> arm of each unit (N,), of any kind; units outside it have an arm of their own, such
            as "none".
        values: (N,), the metric.

    Raises StatisticsError for lengths that differ, missing arms, or an experiment of one arm.
    """
    return [overlap(a, b, assignments[a], assignments[b], values) for a, b in combinations(assignments, 2)]


def overlap(first: str, second: str, arms: Array, others: Array, values: Array) -> Overlap:
    """Return one pair of experiments; arguments and errors as `overlaps`."""
    y = sample(values, 2, "values")
    (a, rows), (b, columns) = (_codes(first, arms, len(y)), _codes(second, others, len(y)))
    cells = a * columns + b
    counts = np.bincount(cells, minlength=rows * columns).astype(np.float64)
    table = counts.reshape(rows, columns)
    chi2 = stats.chi2_contingency(table, correction=False)
    v = float(np.sqrt(chi2.statistic / len(y) / (min(rows, columns) - 1)))
    interaction, p_interaction, p_second = _effects(cells, counts, y - mean(y), rows, columns)
    return Overlap(first, second, len(y), v, float(chi2.pvalue), interaction, p_interaction, p_second)


def _effects(
    cells: Array, counts: Array, y: Array, rows: int, columns: int
) -> tuple[float | None, float | None, float | None]:
    """Return the interaction, its p, and the p of the second experiment, from means by combination of arms."""
    if counts.min() < 2:
        return None, None, None
    means = np.bincount(cells, y, len(counts)) / counts
    variances = np.bincount(cells, (y - means[cells]) ** 2, len(counts)) / (counts - 1) / counts
    contrasts = np.kron(_differences(rows), _differences(columns))
    interaction = float(means[3] - means[2] - means[1] + means[0]) if rows == columns == 2 else None
    averages = np.kron(np.full((1, rows), 1 / rows), _differences(columns))
    return interaction, _wald(contrasts, means, variances), _wald(averages, means, variances)


def _wald(contrasts: Array, means: Array, variances: Array) -> float | None:
    found = contrasts @ means
    covariance = contrasts * variances @ contrasts.T
    if np.linalg.matrix_rank(covariance) < len(found):
        return None
    return float(stats.chi2.sf(found @ np.linalg.solve(covariance, found), len(found)))


def _differences(levels: int) -> Array:
    """Return the contrasts (levels - 1, levels) of each level with the first."""
    return np.hstack([-np.ones((levels - 1, 1)), np.eye(levels - 1)])


def _codes(name: str, arms: Array, n: int) -> tuple[Array, int]:
    codes, names = pd.factorize(np.asarray(arms), sort=True)
    if codes.shape != (n,) or (codes < 0).any():
        raise StatisticsError(f"{name}: expected an arm for each of {n} units, got {codes.shape}, or missing")
    if len(names) < 2:
        raise StatisticsError(f"{name}: expected at least two arms, got {len(names)}")
    return codes, len(names)
