"""How much a user's positives count by their age: half as much with every half-life (positions or days)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from ncf.core.roles import Role
from ncf.data.split import Pairs
from ncf.data.times import instants
from ncf.errors import DataError

Decay = Annotated[Literal["positions", "days"], Role(since="positions")]
"""What an age is measured in: how many of the user's training positives are later, or days before the last of them."""
HalfLife = Annotated[Annotated[float, Field(gt=0)] | None, Role(since=None)]
"""The age at which a positive counts half; None: all count alike."""

_DAY = 86_400.0


def recent(matrix: sparse.csr_matrix, train: Pairs, decay: str, half_life: float | None) -> sparse.csr_matrix:
    """Return the positives `matrix` (U, I) of `train` with 2^(-age / half_life) in place of its ones.

    The user's last positive counts 1. Without a half-life, `matrix` itself is returned.

    Raises:
        DataError: `train` has no timestamps.
    """
    if half_life is None:
        return matrix
    if train.timestamps is None:
        raise DataError(
            f"model.half_life={half_life:g}: expected timestamps, to know which positives are recent, found none; "
            "model.half_life=null does without"
        )
    weights = 0.5 ** (ages(train, decay) / half_life)
    made = sparse.csr_matrix((weights, (train.users, train.items)), shape=matrix.shape)
    made.sort_indices()
    return made


def ages(train: Pairs, decay: str) -> np.ndarray:
    """Return the age (N,) of each positive, 0 for the last of its user. Of equal times, the later row is the later."""
    assert train.timestamps is not None
    times = instants(train.timestamps, train.subseconds)
    counts = np.bincount(train.users)
    ends = counts.cumsum()
    order = np.lexsort((times, train.users))  # stable: ties stay in the order of the split
    found = np.empty(len(train))
    if decay == "positions":
        found[order] = ends[train.users[order]] - 1 - np.arange(len(train))
        return found
    last = times[order][np.maximum(ends - 1, 0)]
    unit = _DAY if train.subseconds is None else _DAY * 1e9
    return (last[train.users] - times) / unit
