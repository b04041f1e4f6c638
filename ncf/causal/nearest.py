"""Nearest neighbours on one number, by sorting: no matrix of distances is ever made.

A tie is a distance that exceeds another by no more than a rounding error (1e-12 of the largest value, or of 1).

- `ties="average"`: every unit as near as the k-th nearest counts, all alike; the order of units does not matter.
- `ties="first"`: the lower value first, then the unit that comes first.
- `ties="last"`: the lower value first, then the unit that comes last.

Without replacement, those who choose do so one after the other, the highest value first, and ties cannot be averaged.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ncf.stats.checks import Array

TIES = ("average", "first", "last")
_ROUNDING = 1e-12


class Matches(Protocol):
    """Which of n_to units stand in for each of n_from units."""

    @property
    def counts(self) -> Array:
        """(n_from,), how many stand in for each; 0 for a unit without a match."""

    def means(self, values: Array) -> Array:
        """Return (n_from,) means of values (n_to,) or (n_to, P) over those who stand in; 0 without a match."""

    def used(self) -> tuple[Array, Array]:
        """Return (n_to,) the sums over n_from units of 1 / count, and of its square."""

    def pairs(self) -> tuple[Array, Array]:
        """Return positions (M,) of all who are matched and of who stands in for them."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """Matches that are ranges of the sorted units: from `low` (n_from,) up to but not including `high`."""

    order: Array
    low: Array
    high: Array

    @property
    def counts(self) -> Array:
        return self.high - self.low

    def means(self, values: Array) -> Array:
        """Return the means by differences of running sums, so that ties cost nothing."""
        centre = values.mean(0)
        sums = np.zeros((len(values) + 1, *values.shape[1:]))
        np.cumsum(values[self.order] - centre, axis=0, out=sums[1:])
        counts = self.counts.reshape(-1, *[1] * (values.ndim - 1))
        return np.where(counts > 0, centre + (sums[self.high] - sums[self.low]) / np.maximum(counts, 1), 0.0)

    def used(self) -> tuple[Array, Array]:
        share = np.where(self.counts > 0, 1 / np.maximum(self.counts, 1), 0.0)
        return self._spread(share), self._spread(share**2)

    def pairs(self) -> tuple[Array, Array]:
        counts = self.counts
        start = np.repeat(self.low - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        return np.repeat(np.arange(len(counts)), counts), self.order[start + np.arange(counts.sum())]

    def _spread(self, share: Array) -> Array:
        n = len(self.order)
        steps = np.bincount(self.low, share, n + 1) - np.bincount(self.high, share, n + 1)
        found = np.empty(n)
        found[self.order] = np.cumsum(steps)[:-1]
        touched = np.cumsum(np.bincount(self.low, minlength=n + 1) - np.bincount(self.high, minlength=n + 1))[:-1]
        found[self.order[touched == 0]] = 0.0  # not a rounding error
        return np.maximum(found, 0.0)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Matches by position: `chosen` (n_from, k), -1 where there is none; of `total` units."""

    chosen: Array
    total: int

    @property
    def counts(self) -> Array:
        return (self.chosen >= 0).sum(1)

    def means(self, values: Array) -> Array:
        """Return the means over those chosen."""
        there = (self.chosen >= 0).reshape(*self.chosen.shape, *[1] * (values.ndim - 1))
        counts = np.maximum(self.counts, 1).reshape(-1, *[1] * (values.ndim - 1))
        return np.where(there, values[self.chosen], 0.0).sum(1) / counts

    def used(self) -> tuple[Array, Array]:
        who, stand_in = self.pairs()
        share = 1 / self.counts[who]
        return np.bincount(stand_in, share, self.total), np.bincount(stand_in, share**2, self.total)

    def pairs(self) -> tuple[Array, Array]:
        who, column = np.nonzero(self.chosen >= 0)
        return who, self.chosen[who, column]


def match(
    seekers: Array, pool: Array, *, neighbours: int = 1, replace: bool = True, caliper: float = np.inf,
    ties: str = "average",
) -> Matches:  # fmt: skip
    """Return who of `pool` (n_to,) is nearest to each of `seekers` (n_from,), as far as the caliper reaches."""
    rounding = _ROUNDING * max(1.0, float(np.abs(seekers).max()), float(np.abs(pool).max()))
    if replace and ties == "average":
        return _ranges(seekers, pool, neighbours, caliper, rounding)
    order = np.argsort(pool, kind="stable")
    values = pool[order]
    first = _groups(values, rounding)
    order = order[np.lexsort((-order if ties == "last" else order, first))]  # equal values in the order of their places
    find = _nearest if replace else _greedy
    found = find(seekers, values[first], neighbours, caliper, rounding)
    return Chosen(np.where(found >= 0, order[np.minimum(found, len(pool) - 1)], -1), len(pool))


def _ranges(seekers: Array, pool: Array, neighbours: int, caliper: float, rounding: float) -> Ranges:
    order = np.argsort(pool, kind="stable")
    values = pool[order]
    place = np.searchsorted(values, seekers)
    reach = np.empty(len(seekers))
    k = min(neighbours, len(pool))
    for start in range(0, len(seekers), step := max(1, (1 << 22) // k)):
        rows = slice(start, start + step)
        near = place[rows, None] + np.arange(-k, k)
        there = (near >= 0) & (near < len(values))
        away = np.where(there, np.abs(values[near.clip(0, len(values) - 1)] - seekers[rows, None]), np.inf)
        reach[rows] = np.partition(away, k - 1, axis=1)[:, k - 1]
    reach = np.minimum(reach, caliper) + rounding
    return Ranges(order, np.searchsorted(values, seekers - reach), np.searchsorted(values, seekers + reach, "right"))


def _groups(values: Array, rounding: float) -> Array:
    """Return for each of the sorted values (n_to,) the position of the first that is equal to it."""
    new = np.concatenate([[True], np.diff(values) > rounding])
    return np.flatnonzero(new)[np.cumsum(new) - 1]


def _nearest(seekers: Array, values: Array, neighbours: int, caliper: float, rounding: float) -> Array:
    """Return positions (n_from, k) in the sorted `values`; -1 beyond the caliper."""
    n, first = len(values), _groups(values, rounding)
    place = np.searchsorted(values, seekers - rounding)  # those from here on are not lower
    downwards = np.lexsort((np.arange(n), -first))  # groups from the highest, each in its order
    lower, higher = n - place, place.copy()  # the next candidate on either side: in `downwards`, in `values`
    found = np.full((len(seekers), neighbours), -1)
    for k in range(neighbours):
        below = np.where(lower < n, downwards[np.minimum(lower, n - 1)], -1)
        above = np.where(higher < n, higher, -1)
        down = np.where(below >= 0, seekers - values[below], np.inf)
        up = np.where(above >= 0, values[above] - seekers, np.inf)
        take_below = down <= up + rounding
        best = np.where(take_below, below, above)
        found[:, k] = np.where(np.minimum(down, up) <= caliper + rounding, best, -1)
        lower, higher = lower + take_below, higher + ~take_below
    return found


def _greedy(seekers: Array, values: Array, neighbours: int, caliper: float, rounding: float) -> Array:
    """Return positions (n_from, k) in the sorted `values`, each used once; the highest seeker chooses first."""
    n = len(values)
    first, sorted_values = _groups(values, rounding).tolist(), values.tolist()
    place = np.searchsorted(values, seekers - rounding).tolist()
    after, before = list(range(n + 1)), list(range(n + 1))  # next free place from here on; before: shifted by one
    found = np.full((len(seekers), neighbours), -1)
    for i in np.argsort(-seekers, kind="stable").tolist():
        own, at = float(seekers[i]), place[i]
        for k in range(neighbours):
            above, below = _root(after, at), _root(before, at) - 1
            up = sorted_values[above] - own if above < n else np.inf
            down = own - sorted_values[below] if below >= 0 else np.inf
            if min(up, down) > caliper + rounding or min(up, down) == np.inf:
                break
            taken = _root(after, first[below]) if down <= up + rounding else above
            found[i, k] = taken
            after[taken], before[taken + 1] = taken + 1, taken
    return found


def _root(parents: list[int], start: int) -> int:
    """Return the end of the chain from `start`, and shorten it."""
    end = start
    while parents[end] != end:
        end = parents[end]
    while parents[start] != end:
        parents[start], start = end, parents[start]
    return end
