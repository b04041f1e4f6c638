"""From training positives to (users, items) batches, drawn on the device.

A negative is drawn exactly, with no rejection: draw a position among the mass of the user's non-positives, then
find its item by binary search over that user's sorted positives (CSR). O(log n) a draw, O(positives) memory.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError
from ncf.rng import generator

_TOTAL_MASS = 2**40  # of a popularity-weighted catalogue: integers, so that exclusion stays exact
_BLOCK_DRAWS = 2**18  # negatives drawn at once: 2 MiB, and long enough that a draw's fixed cost vanishes


class NegativeSampler:
    """Draws items outside each user's training positives, with probability proportional to an integer mass.

    Validation and test positives can be drawn, as they would be in life.

    Args:
        train: the positives (N,).
        mass: (I,) int64 >= 0, the items' relative probabilities; None means all alike.

    Raises:
        DataError: a pair occurs twice, or some user has no item of positive mass left to draw.
    """

    def __init__(
        self, train: Pairs, num_users: int, num_items: int, mass: Tensor | None, device: torch.device | str
    ) -> None:
        users, items = torch.from_numpy(train.users), torch.from_numpy(train.items)
        pair, order = torch.sort(users * num_items + items)
        if (pair[1:] == pair[:-1]).any():
            raise DataError("training pairs: expected each (user, item) once, found a repeated pair")
        users, items = users[order], items[order]
        ends = torch.arange(1, num_items + 1) if mass is None else mass.cumsum(0)
        own = torch.ones_like(items) if mass is None else mass[items]
        before = own.cumsum(0) - own  # positive mass before each positive, all users in one line
        start = torch.searchsorted(users, torch.arange(num_users + 1))
        before = torch.cat([before, before.new_tensor([int(own.sum())])])
        free = ends[-1] - (before[start[1:]] - before[start[:-1]])
        if (empty := (free <= 0).nonzero().flatten()).numel():
            raise DataError(f"user index {int(empty[0])}: no item is left to draw as a negative")
        self._stride = int(ends[-1]) + 1
        gap = (ends[items] - own) - (before[:-1] - before[start[users]])  # non-positive mass below each positive
        self._keys = (users * self._stride + gap).to(device)
        self._start, self._free = start.to(device), free.to(device)
        self._ends = None if mass is None else ends.to(device)
        self._before = None if mass is None else before.to(device)

    def draw(self, users: Tensor, count: int, stream: torch.Generator) -> Tensor:
        """`count` negatives for each of `users` (B,): (B, count) int64, independent, with replacement."""
        # A float64 has 53 random bits, so floor(rand * n) < n, and is even to n * 2**-53.
        unit = torch.rand(len(users), count, dtype=torch.float64, device=users.device, generator=stream)
        position = (unit * self._free[users, None]).long()
        passed = _count_up_to(self._keys, users[:, None] * self._stride + position)
        if self._ends is None or self._before is None:
            return position + passed - self._start[users, None]
        position += self._before[passed] - self._before[self._start[users, None]]
        return torch.searchsorted(self._ends, position, right=True)


def _count_up_to(keys: Tensor, queries: Tensor) -> Tensor:
    """How many of the sorted `keys` (P,) int64 are at most each of the non-negative `queries`: int64, their shape.

    On a CPU the queries are sorted first, each with its place in its low bits: one after the other they take the same
    branches and find the same keys in the cache, which halves the time of many.
    """
    places = queries.numel().bit_length()
    if queries.device.type != "cpu" or places < 12 or int(queries.max()).bit_length() + places > 63:
        return torch.searchsorted(keys, queries, right=True)
    sorted_queries = queries.numpy().ravel() << places
    sorted_queries |= np.arange(queries.numel())
    sorted_queries.sort()
    counts = np.empty_like(sorted_queries)
    counts[sorted_queries & ((1 << places) - 1)] = np.searchsorted(keys.numpy(), sorted_queries >> places, "right")
    return torch.from_numpy(counts).view(queries.shape)


def uniform(train: Pairs, num_users: int, num_items: int, device: torch.device | str) -> NegativeSampler:
    """Every non-positive of a user is equally likely."""
    return NegativeSampler(train, num_users, num_items, None, device)


def popularity(
    train: Pairs,
    num_users: int,
    num_items: int,
    device: torch.device | str,
    *,
    power: Annotated[float, Field(ge=0, le=4)],
) -> NegativeSampler:
    """Non-positives in proportion to (training frequency) ** power; 0.75 is word2vec's choice (Mikolov et al. 2013).

    The masses are rounded to integers of a total near 2**40; an item never seen in training has none unless power is 0.
    """
    frequency = torch.bincount(torch.from_numpy(train.items), minlength=num_items).double()
    weight = frequency**power
    mass = (weight * (_TOTAL_MASS / weight.sum())).round().clamp(min=1).long() * (weight > 0)
    return NegativeSampler(train, num_users, num_items, mass, device)


SAMPLERS: dict[str, Callable[..., NegativeSampler]] = {"uniform": uniform, "popularity": popularity}


class Batches:
    """The training batches of every epoch, each addressed by (seed, epoch, step) and by nothing else.

    Args:
        train: the positives (N,).
        neg_ratio: K, negatives a positive.
        batch_size: rows a batch, positives and negatives together; rounded down to whole groups of 1 + K.

    Raises:
        ConfigError: batch_size holds no whole group.
    """

    def __init__(
        self,
        train: Pairs,
        sampler: NegativeSampler,
        neg_ratio: int,
        batch_size: int,
        seed: int,
        device: torch.device | str,
    ) -> None:
        self.groups = groups_per_batch(batch_size, neg_ratio)
        self.neg_ratio, self.seed, self.device = neg_ratio, seed, device
        self.steps = -(-len(train) // self.groups)
        self.rows = len(train) * (1 + neg_ratio)
        self.sampler = sampler
        self._users = torch.from_numpy(train.users).to(device)
        self._items = torch.from_numpy(train.items).to(device)
        self.block_steps = max(1, _BLOCK_DRAWS // (self.groups * neg_ratio))

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield users (B,) int64 and items (B, 1+K) int64, column 0 the positive, from `first_step` on."""
        shuffle = generator(self.seed, "shuffle", epoch, device=self.device)
        order = torch.randperm(len(self._users), generator=shuffle, device=self.device)
        for block in range(first_step // self.block_steps, -(-self.steps // self.block_steps)):
            users, items = self._block(epoch, block, order)
            skip = max(0, first_step - block * self.block_steps)
            yield from zip(users.split(self.groups)[skip:], items.split(self.groups)[skip:], strict=True)

    def _block(self, epoch: int, block: int, order: Tensor) -> tuple[Tensor, Tensor]:
        size = self.block_steps * self.groups
        chosen = order[block * size : (block + 1) * size]
        users = self._users[chosen]
        stream = generator(self.seed, "negatives", epoch, block, self.device)
        negatives = self.sampler.draw(users, self.neg_ratio, stream)
        return users, torch.cat([self._items[chosen, None], negatives], dim=1)


def groups_per_batch(batch_size: int, neg_ratio: int) -> int:
    """Whole groups of one positive and `neg_ratio` negatives in a batch of `batch_size` rows."""
    if batch_size < 1 + neg_ratio:
        raise ConfigError(
            f"trainer.batch_size: expected at least one group of 1 + neg_ratio = {1 + neg_ratio} rows, got {batch_size}"
        )
    return batch_size // (1 + neg_ratio)


def refuse_users_of_everything(split: Split) -> None:
    """Raises DataError naming a user who likes every item, held-out ones included.

    Their negatives could only be their own held-out positives, which would then be ranked against nothing.
    """
    positives = sum(
        np.bincount(part.users, minlength=split.num_users) for part in (split.train, split.valid, split.test)
    )
    if (everything := np.flatnonzero(positives >= split.num_items)).size:
        user = split.user_ids[everything[0]]
        raise DataError(f"{split.name}: user {user} likes every one of the {split.num_items} items, so has no negative")
