"""Numbers for each action in each round, stored once for rounds that share them.

A policy that looks at the position alone is three rows for millions of rounds, one that looks at the user a row a user.
`N` rounds, `A` actions, `P` positions, `G` distinct rows.
"""

from dataclasses import dataclass

import numpy as np

from ncf.errors import DataError

_BLOCK = 1 << 22  # numbers multiplied at once


@dataclass(frozen=True, eq=False)
class PerAction:
    """A number for each action, of which round i reads row `row[i]`.

    Attributes:
        values: (G, A) float64.
        row: (N,) int64 in [0, G).
    """

    values: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        """Return the number of rounds."""
        return len(self.row)

    @property
    def actions(self) -> int:
        """Number of actions."""
        return int(self.values.shape[1])

    def at(self, action: np.ndarray) -> np.ndarray:
        """Return the number of each round's action (N,), (N,)."""
        return self.values[self.row, action]

    def rounds(self) -> np.ndarray:
        """Return the numbers of every round, (N, A): small logs only."""
        return self.values[self.row]


def per_action(values: np.ndarray | PerAction, n: int, position: np.ndarray | None = None) -> PerAction:
    """Return numbers given for all rounds alike (A,), by position (A, P), by round (N, A), or by both (N, A, P).

    A table (A, P) with as many actions as there are rounds is taken for (N, A): write (1, A, P).

    Args:
        values: the numbers.
        n: number of rounds N.
        position: (N,) in [0, P); None: all 0.

    Raises:
        DataError: the shape is none of these, or a position is out of range.
    """
    if isinstance(values, PerAction):
        if len(values) != n:
            raise DataError(f"expected numbers for {n:,} rounds, found {len(values):,}")
        return values
    found = np.asarray(values, np.float64)
    if found.ndim == 1:
        return PerAction(found[None], np.zeros(n, np.int64))
    place = np.zeros(n, np.int64) if position is None else np.asarray(position, np.int64)
    if found.ndim == 2 and len(found) == n:
        return PerAction(found, np.arange(n))
    if found.ndim == 2:
        found = found[None]
    if found.ndim != 3 or len(found) not in (1, n) or place.shape != (n,):
        raise DataError(f"expected shape (A,), (A, P), ({n}, A) or ({n}, A, P), found {np.shape(values)}")
    if n and not 0 <= place.min() <= place.max() < found.shape[2]:
        raise DataError(f"expected positions in [0, {found.shape[2]}), found {place.min()} to {place.max()}")
    if len(found) == 1:
        return PerAction(np.ascontiguousarray(found[0].T), place)
    return PerAction(found[np.arange(n), :, place], np.arange(n))


def expected(policy: PerAction, values: PerAction) -> np.ndarray:
    """Return the mean of `values` over the actions of `policy` in each round, (N,): sum over a of pi(a) q(a)."""
    pairs, pair_of = np.unique(policy.row * len(values.values) + values.row, return_inverse=True)
    mine, theirs = np.divmod(pairs, len(values.values))
    means = np.empty(len(pairs))
    step = max(1, _BLOCK // policy.actions)
    for start in range(0, len(pairs), step):
        block = slice(start, start + step)
        means[block] = np.einsum("ga,ga->g", policy.values[mine[block]], values.values[theirs[block]])
    return means[pair_of.ravel()]
