"""What two-way fixed effects compare with what: Goodman-Bacon's (2021) two-by-two differences."""

from dataclasses import dataclass

import numpy as np

from ncf.causal.panel import Panel
from ncf.causal.twfe import refuse_switching_off
from ncf.stats.checks import Array, StatisticsError

NEVER, EARLIER, LATER, ALWAYS = (
    "treated against never treated",
    "earlier against later treated",
    "later against earlier treated",
    "treated against always treated",
)
KINDS = (NEVER, EARLIER, LATER, ALWAYS)
"""Kinds of comparisons. The last two hold units against others that are treated already; their effects may grow."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The M two-by-two comparisons that a two-way fixed effects estimate averages.

    Attributes:
        kind: (M,), positions in `KINDS`.
        treated: (M,), first treated period of the units whose change is measured, as the panel names it.
        control: (M,), of those they are held against; None for never.
        estimates: (M,), differences of differences.
        weights: (M,), which sum to 1.
    """

    kind: Array
    treated: list[object]
    control: list[object]
    estimates: Array
    weights: Array

    @property
    def value(self) -> float:
        """The sum of weights times estimates: the two-way fixed effects estimate."""
        return float(self.weights @ self.estimates)

    @property
    def shares(self) -> dict[str, tuple[float, float]]:
        """The weight of each kind that occurs, and its average estimate."""
        found = {}
        for position, name in enumerate(KINDS):
            own = self.kind == position
            if own.any() and (weight := float(self.weights[own].sum())) > 0:
                found[name] = weight, float(self.weights[own] @ self.estimates[own]) / weight
        return found


def decompose(panel: Panel) -> Decomposition:
    """Return the decomposition of a balanced panel whose treatment stays on: Goodman-Bacon 2021, theorem 1.

    With n the share of units, D the share of periods treated, and k treated before l, the comparison of k with l while
    l is not treated has weight ((n_k + n_l)(1 - D_l))^2 m (1 - m) p (1 - p) / V with m = n_k / (n_k + n_l) and
    p = (D_k - D_l) / (1 - D_l), and that of l with k once k is treated ((n_k + n_l) D_k)^2 m (1 - m) q (1 - q) / V with
    q = D_l / D_k; V is the variance of treatment that units and periods do not explain. Units that are never treated
    are an l with D = 0, those that always were a k with D = 1.

    Raises StatisticsError for an unbalanced or weighted panel, treatment that ends, or nobody who changes.
    """
    if not panel.balanced:
        missing = int((~panel.observed).sum())
        raise StatisticsError(f"decomposition: expected a balanced panel, found {missing:,} observations missing")
    if np.ptp(panel.weights) > 0:
        raise StatisticsError("decomposition: expected observations that count alike, found weights")
    refuse_switching_off(panel)
    length = len(panel.periods)
    groups, members = np.unique(panel.first, return_inverse=True)
    sizes = np.bincount(members)
    sums = np.zeros((len(groups), length + 1))
    np.add.at(sums[:, 1:], members, panel.outcome)
    sums = np.cumsum(sums / sizes[:, None], axis=1)
    early, late = (index.ravel() for index in np.triu_indices(len(groups), 1))
    if not ((groups > 0) & (groups < length)).any() or not len(early):
        raise StatisticsError(
            "decomposition: expected units treated at different times, or never; none changes against another"
        )
    return _pairs(panel, groups, sizes / sizes.sum(), sums, early, late)


def _pairs(panel: Panel, groups: Array, share: Array, sums: Array, early: Array, late: Array) -> Decomposition:
    length = len(panel.periods)
    on = 1 - groups / length  # the share of periods treated
    together = share[early] + share[late]
    m = share[early] / together
    spread = m * (1 - m)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (on[early] - on[late]) / (1 - on[late])
        q = on[late] / on[early]
        before = (together * (1 - on[late])) ** 2 * spread * p * (1 - p)
        after = (together * on[early]) ** 2 * spread * q * (1 - q)
    weights = np.nan_to_num(np.concatenate([before, after]))
    estimates = np.concatenate([
        _change(sums, early, late, np.zeros_like(early), groups[early], groups[late]),
        _change(sums, late, early, groups[early], groups[late], np.full_like(early, length)),
    ])  # fmt: skip
    never, always = groups[late] == length, groups[early] == 0
    kind = np.concatenate([np.where(never, 0, 1), np.where(always, 3, 2)])
    names = [*panel.periods.tolist(), None]
    own, other = np.concatenate([early, late]), np.concatenate([late, early])
    kept = weights > 0
    return Decomposition(
        kind[kept], [names[groups[g]] for g in own[kept]], [names[groups[g]] for g in other[kept]], estimates[kept],
        weights[kept] / weights[kept].sum(),
    )  # fmt: skip


def _change(sums: Array, own: Array, other: Array, start: Array, change: Array, end: Array) -> Array:
    """Return the difference of differences of group means, [change, end) less [start, change), own less other."""

    def mean(group: Array, low: Array, high: Array) -> Array:
        return np.asarray((sums[group, high] - sums[group, low]) / np.where(high > low, high - low, 1))

    return np.asarray(
        mean(own, change, end) - mean(own, start, change) - mean(other, change, end) + mean(other, start, change)
    )
