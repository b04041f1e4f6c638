"""Randomisation inference for panels: how rare is this effect if treatment had been given to other units?"""

import math
from dataclasses import dataclass

import numpy as np

from ncf.causal.panel import Panel, TwoWay
from ncf.stats.checks import Array, StatisticsError, whole

_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class Randomisation:
    """An effect among those of treatments given to other units.

    Attributes:
        observed: the two-way fixed effects estimate.
        p: the share of arrangements, the true one among them, whose effect is at least as far from 0: never 0.
        arrangements: how many were looked at, the true one included.
        exact: whether these are all there are; otherwise they were drawn.
        effects: (B,), of the arrangements other than the true one.
    """

    observed: float
    p: float
    arrangements: int
    exact: bool
    effects: Array


def randomisation(panel: Panel, *, draws: int = 9999, rng: np.random.Generator) -> Randomisation:
    """Return the exact test of no effect on anyone: the treatment histories of whole units are dealt out anew.

    Under the sharp null the outcomes are what they are, whoever is treated (Fisher 1935; Young 2019). The statistic is
    the two-way fixed effects estimate. In a balanced panel, dealing out histories does not change how much of treatment
    units and periods leave, so that each effect is a sum over units of a number for each pair of unit and history.

    Args:
        panel: balanced, observations alike; treatment may end.
        draws: number of arrangements drawn, unless there are no more than that in all.
        rng: draws them.

    Raises StatisticsError for an unbalanced or weighted panel, one history for all units, or a setting out of range.
    """
    if not panel.balanced or np.ptp(panel.weights) > 0:
        raise StatisticsError("randomisation: expected a balanced panel without weights")
    draws = whole(draws, "draws", 19)
    histories, own, counts = np.unique(panel.treated, axis=0, return_inverse=True, return_counts=True)
    if len(histories) < 2:
        raise StatisticsError("randomisation: expected units with different treatment, found one for all")
    two_way = TwoWay(panel.weights)
    left = two_way.residuals(panel.treated.astype(float))
    worth = two_way.residuals(panel.outcome) @ histories.T / float((left * left).sum())  # (N, H)
    observed = float(worth[np.arange(len(own)), own].sum())
    arrangements = _count(counts)
    exact = arrangements <= draws + 1
    effects = _all(worth, counts) if exact else _drawn(worth, own, draws, rng)
    rounding = 1e-14 * float(np.abs(worth).max(1).sum())
    far = np.abs(effects) >= abs(observed) * (1 - 1e-9) - rounding
    if exact:  # the true one is among them
        return Randomisation(observed, float(far.mean()), len(effects), True, effects)
    return Randomisation(observed, float((1 + far.sum()) / (1 + draws)), 1 + draws, False, effects)


def _count(counts: Array) -> int:
    """Return in how many ways histories can be dealt out to units."""
    total, left = 1, int(counts.sum())
    for count in counts.tolist():
        total *= math.comb(left, count)
        left -= count
    return total


def _drawn(worth: Array, own: Array, draws: int, rng: np.random.Generator) -> Array:
    n = len(own)
    step = max(1, _AT_ONCE // n)
    found = []
    for done in range(0, draws, step):
        dealt = rng.permuted(np.broadcast_to(own, (min(step, draws - done), n)), axis=1)
        found.append(worth[np.arange(n), dealt].sum(1))
    return np.concatenate(found)


def _all(worth: Array, counts: Array) -> Array:
    """Return the effects of all arrangements, by dealing one history after another to units that have none."""
    states: dict[tuple[int, ...], list[float]] = {tuple(counts.tolist()): [0.0]}
    for row in worth:  # unit by unit: which histories are left, and the sums so far
        grown: dict[tuple[int, ...], list[float]] = {}
        for left, sums in states.items():
            for history, count in enumerate(left):
                if count:
                    after = (*left[:history], count - 1, *left[history + 1 :])
                    grown.setdefault(after, []).extend(value + row[history] for value in sums)
        states = grown
    return np.array(next(iter(states.values())))
