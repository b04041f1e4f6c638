"""Negative samplers: draw items that are not training positives of the user, on the device.

Sampling is exact, without rejection: draw a position within the mass of the user's non-positives, then find its item
by binary search over the user's sorted positives (CSR). O(log n) per draw, O(positives) memory.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ncf.core.registry import Registry
from ncf.data.split import Pairs, Split
from ncf.errors import DataError

_TOTAL_MASS = 2**40  # of a popularity-weighted catalogue; integer masses keep the exclusion of positives exact


class NothingToDrawError(DataError):
    """A user has no negatives; `user` is its index."""

    def __init__(self, user: int) -> None:
        super().__init__(f"user index {user}: expected at least one item to draw as a negative, found none")
        self.user = user


class NegativeSampler:
    """Draws items outside each user's training positives, with probability proportional to an integer mass.

    Validation and test positives can be drawn, as in production, where they are unknown.

    Args:
        train: the positives (N,).
        mass: (I,) int64 >= 0, the items' relative probabilities; None for uniform.

    Raises:
        DataError: a pair occurs twice.
        NothingToDrawError: a user has no item with positive mass left to draw.
    """

    def __init__(
        self, train: Pairs, num_users: int, num_items: int, mass: Tensor | None, device: torch.device | str
    ) -> None:
        pair = torch.from_numpy(np.sort(train.users * num_items + train.items))  # half the memory of a sort with places
        if (pair[1:] == pair[:-1]).any():
            raise DataError("training pairs: expected distinct (user, item) pairs, found a duplicate")
        users, items = pair // num_items, pair % num_items
        del pair
        ends = torch.arange(1, num_items + 1) if mass is None else mass.cumsum(0)
        own = torch.ones_like(items) if mass is None else mass[items]
        before = own.cumsum(0) - own  # mass of the positives before each one, users concatenated
        start = torch.searchsorted(users, torch.arange(num_users + 1))
        before = torch.cat([before, before.new_tensor([int(own.sum())])])
        free = ends[-1] - (before[start[1:]] - before[start[:-1]])
        if (empty := (free <= 0).nonzero().flatten()).numel():
            raise NothingToDrawError(int(empty[0]))
        self._stride = int(ends[-1]) + 1
        gap = ends[items].sub_(own).sub_(before[:-1])
        del items, own
        gap += before[start[users]]  # non-positive mass below each positive
        self._keys = users.mul_(self._stride).add_(gap).to(device)
        self._start, self._free = start.to(device), free.to(device)
        self._mass = None if mass is None else mass.to(device)
        self._ends = None if mass is None else ends.to(device)
        self._before = None if mass is None else before.to(device)

    def draw(self, users: Tensor, count: int, stream: torch.Generator) -> Tensor:
        """Draw `count` negatives for each of `users` (B,): (B, count) int64, independent, with replacement."""
        unit = torch.rand(len(users), count, dtype=torch.float64, device=users.device, generator=stream)
        return self.at(users, unit)

    def at(self, users: Tensor, unit: Tensor) -> Tensor:
        """Return the negatives of `users` (B,) that the uniform numbers `unit` (B, K) float64 in [0, 1) stand for."""
        # A float64 has 53 random bits, so floor(rand * n) < n, and is uniform to within n * 2**-53.
        position = (unit * self._free[users, None]).long()
        passed = _count_up_to(self._keys, users[:, None] * self._stride + position)
        if self._ends is None or self._before is None:
            return position + passed - self._start[users, None]
        position += self._before[passed] - self._before[self._start[users, None]]
        return torch.searchsorted(self._ends, position, right=True)

    def log_probs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the log-probability of drawing each of `items` (B, K), negatives of `users` (B,): (B, K) float32.

        It is log(mass of the item / mass of all items that can be drawn for the user).
        """
        free = self._free[users, None].double().log()
        own = torch.zeros_like(free) if self._mass is None else self._mass[items].double().log()
        return (own - free).expand(items.shape).float()


def _count_up_to(keys: Tensor, queries: Tensor) -> Tensor:
    """Count, for each of the non-negative `queries`, the sorted `keys` (P,) int64 <= it; int64, shaped as the queries.

    On a CPU the queries are sorted first, each with its position in its low bits: neighbours then take the same
    branches and find the same keys in the cache, which halves the time for many queries.
    """
    bits = queries.numel().bit_length()
    if queries.device.type != "cpu" or bits < 12 or int(queries.max()).bit_length() + bits > 63:
        return torch.searchsorted(keys, queries, right=True)
    sorted_queries = queries.numpy().ravel() << bits
    sorted_queries |= np.arange(queries.numel())
    sorted_queries.sort()
    counts = np.empty_like(sorted_queries)
    counts[sorted_queries & ((1 << bits) - 1)] = np.searchsorted(keys.numpy(), sorted_queries >> bits, "right")
    return torch.from_numpy(counts).view(queries.shape)


def uniform(train: Pairs, num_users: int, num_items: int, device: torch.device | str) -> NegativeSampler:
    """Sample a user's non-positives uniformly."""
    return NegativeSampler(train, num_users, num_items, None, device)


def popularity(
    train: Pairs,
    num_users: int,
    num_items: int,
    device: torch.device | str,
    *,
    power: Annotated[float, Field(ge=0, le=4)],
) -> NegativeSampler:
    """Sample non-positives in proportion to (training frequency) ** power; word2vec has 0.75 (Mikolov et al. 2013).

    Masses are rounded to integers that total about 2**40; an item unseen in training has none unless power is 0.
    """
    frequency = torch.from_numpy(train.counts(num_items)).double()
    weight = frequency**power
    mass = (weight * (_TOTAL_MASS / weight.sum())).round().clamp(min=1).long() * (weight > 0)
    return NegativeSampler(train, num_users, num_items, mass, device)


SAMPLERS = Registry("sampler", {"uniform": uniform, "popularity": popularity})


def sampler_for(build: Callable[..., NegativeSampler], split: Split, device: torch.device | str) -> NegativeSampler:
    """Build a sampler of the registry for `split`.

    Raises:
        DataError: a user, named by its id, has no negatives.
    """
    try:
        return build(split.train, split.num_users, split.num_items, device)
    except NothingToDrawError as error:
        raise DataError(
            f"{split.name}: user {split.user_ids[error.user]} has all items that the sampler draws as training "
            "positives, leaving no negative; sampler=uniform draws items without training positives too"
        ) from None


def refuse_users_of_everything(split: Split) -> None:
    """Raise DataError, naming the user, if a user has every item as a positive, held-out ones included.

    Such a user's only negatives would be the held-out positives, which would then be ranked against nothing.
    """
    positives = sum(
        np.bincount(part.users, minlength=split.num_users) for part in (split.train, split.valid, split.test)
    )
    if (everything := np.flatnonzero(positives >= split.num_items)).size:
        user = split.user_ids[everything[0]]
        raise DataError(f"{split.name}: user {user} has all {split.num_items} items as positives, leaving no negative")
