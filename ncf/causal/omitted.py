"""Bounds of what an omitted confounder could do to an effect by double machine learning.

The bias is at most |rho| S C_Y C_D (Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis 2022, theorem 2): S² is the mean
square of the outcome's residual times that of the Riesz representer; C_Y² the share of the outcome's residual variance
that the omitted confounder explains; C_D² = share / (1 - share), for the share of the representer's variance that it
would add; and rho the correlation of what it does to both, 1 at worst.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ncf.causal.double import Predicted, parts, residuals
from ncf.causal.linear import Linear
from ncf.causal.units import Units
from ncf.stats.checks import Array, StatisticsError, fraction, number
from ncf.stats.estimate import Estimate, estimate


@dataclass(frozen=True, eq=False)
class Omitted:
    """What the bounds of an effect rest on.

    Attributes:
        effect: the estimate.
        scale: S.
        influence: (N,), of S.
        clusters: (N,), those of the effect's error; None: units are independent.
    """

    effect: Estimate
    scale: float
    influence: Array
    clusters: Array | None = None

    def bias(self, outcome: float, treatment: float, rho: float = 1.0) -> float:
        """Return the largest bias.

        Args:
            outcome: share of the outcome's residual variance that the omitted confounder explains, in [0, 1).
            treatment: the same of the treatment, in [0, 1).
            rho: correlation, in [-1, 1].

        Raises StatisticsError for a value out of range.
        """
        return self.scale * _strength(outcome, treatment, rho)

    def bounds(self, outcome: float, treatment: float, rho: float = 1.0) -> tuple[Estimate, Estimate]:
        """Return the lowest and the highest effect, each with its error; arguments and errors as `bias`."""
        strength = _strength(outcome, treatment, rho)
        assert self.effect.influence is not None
        lowest, highest = (
            estimate(
                self.effect.value + side * strength * self.scale,
                self.effect.influence + side * strength * self.influence,
                estimand=self.effect.estimand, method=f"{self.effect.method}, {name} bound", level=self.effect.level,
                lost=0, clusters=self.clusters, degrees=self.effect.degrees,
            )
            for side, name in ((-1, "lower"), (1, "upper"))
        )  # fmt: skip
        return lowest, highest

    def robustness(self, level: float | None = None) -> float:
        """Return the robustness value: the share, of outcome and of treatment alike, that explains the effect away.

        Args:
            level: None: that takes the estimate to 0; else that takes the end of the interval of the bound, one-sided
                at this level, to 0.

        Raises StatisticsError for a level outside (0, 1).
        """
        if level is None:
            k = (self.effect.value / self.scale) ** 2 if self.scale > 0 else np.inf
            return float((np.sqrt(k * k + 4 * k) - k) / 2) if np.isfinite(k) else 1.0
        side = 0 if self.effect.value > 0 else 1
        low, high = 0.0, 1 - 1e-9
        if self._end(0.0, side, fraction(level, "level")) <= 0:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._end(middle, side, level) > 0 else (low, middle)
        return low

    def _end(self, share: float, side: int, level: float) -> float:
        """Return how far the end of the interval of the bound is from 0, in the direction of the effect."""
        bound = self.bounds(share, share)[side]
        reach = bound.ends(2 * level - 1)[side] if level > 0.5 else bound.value
        return float(reach if side == 0 else -reach)


def omitted(units: Units, predicted: Predicted, effect: Estimate, estimand: str | None = None) -> Omitted:
    """Return what the bounds of an effect rest on.

    Args:
        units: N units.
        predicted: the predictions that the effect was estimated from.
        effect: by `partially_linear`, or by `interactive`.
        estimand: of `interactive`; None for `partially_linear`.

    Raises StatisticsError if the effect has no influence values or those of other units.
    """
    if effect.influence is None or len(effect.influence) != len(units):
        raise StatisticsError("omitted: expected an effect with influence values of these units")
    if estimand is None:
        outcome, v = residuals(units, predicted)
        size = float(v @ v) / len(v)
        residual, representer = outcome - effect.value * v, v / size
        above = -(v**2 - size) / size**2  # of E[representer²] = 1 / E[v²]
    else:
        _, representer, residual = parts(units, predicted, estimand)
        above = representer**2 - float(representer @ representer) / len(representer)
    noise, spread = float(residual @ residual) / len(residual), float(representer @ representer) / len(representer)
    scale = float(np.sqrt(noise * spread))
    influence = (noise * above + spread * (residual**2 - noise)) / (2 * scale) if scale > 0 else np.zeros(len(residual))
    return Omitted(effect, scale, influence, units.clusters)


def benchmarks(units: Units) -> pd.DataFrame:
    """Return how strong each measured confounder is: what an omitted one may be held against.

    Returns:
        Columns confounder, outcome (share of the outcome's residual variance that it explains, in a linear regression
        on treatment and the other confounders), treatment (the same of the treatment, on the other confounders).
    """
    x, d, y = units.confounders, units.treatment, units.outcome
    with_treatment = np.column_stack([x, d])
    full = _left(with_treatment, y), _left(x, d)
    rows = []
    for j, name in enumerate(units.names):
        short = _left(np.delete(with_treatment, j, axis=1), y), _left(np.delete(x, j, axis=1), d)
        shares = [max(0.0, 1 - f / s) if s > 0 else 0.0 for f, s in zip(full, short, strict=True)]
        rows.append({"confounder": name, "outcome": shares[0], "treatment": shares[1]})
    return pd.DataFrame(rows)


def _left(x: Array, y: Array) -> float:
    """Return the sum of squares of y (N,) that a linear regression on x (N, P) leaves."""
    residual = y - Linear().fit(x, y).predict(x)
    return float(residual @ residual)


def _strength(outcome: float, treatment: float, rho: float) -> float:
    y, d = (number(share, "share", 0, 1) for share in (outcome, treatment))
    if d >= 1:
        raise StatisticsError("share: expected less than 1 of the treatment, got 1")
    return float(abs(number(rho, "rho", -1, 1)) * np.sqrt(y * d / (1 - d)))
