"""The training batches of every epoch, drawn on the device."""

import itertools
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.data.split import Pairs
from ncf.errors import ConfigError, DataError
from ncf.training.samplers import NegativeSampler

_BLOCK_DRAWS = 2**18  # negatives drawn at once: 2 MiB, enough to make the fixed cost of a draw negligible
SAMPLE_GROUPS = 8  # in `Batches.sample`


class Batches:
    """The training batches of every epoch, each determined by (seed, epoch, step) alone.

    Args:
        train: the positives (N,).
        neg_ratio: K, negatives per positive.
        batch_size: rows per batch, positives and negatives together; rounded down to whole groups of 1 + K.
        needs: the optional fields of `Batch` to fill.

    Raises:
        ConfigError: batch_size is smaller than one group.
        DataError: ratings are needed, but `train` has none.
    """

    def __init__(
        self,
        train: Pairs,
        sampler: NegativeSampler,
        neg_ratio: int,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        needs: Collection[str] = (),
    ) -> None:
        self.groups = groups_per_batch(batch_size, neg_ratio)
        self.neg_ratio, self.seed, self.device = neg_ratio, seed, device
        self.steps = -(-len(train) // self.groups)
        self.rows = len(train) * (1 + neg_ratio)
        self.sampler = sampler
        self._users = torch.from_numpy(train.users).to(device)
        self._items = torch.from_numpy(train.items).to(device)
        self._ratings = torch.from_numpy(ratings_of(train)).to(device) if "ratings" in needs else None
        self._frequencies = relative_frequencies(train).to(device) if "frequencies" in needs else None
        self.needs = frozenset(needs)
        self.block_steps = steps_per_block(self.groups, neg_ratio)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, starting at `first_step`."""
        shuffle = generator(self.seed, "shuffle", epoch, device=self.device)
        order = torch.randperm(len(self._users), generator=shuffle, device=self.device)
        size = self.block_steps * self.groups
        for block in range(first_step // self.block_steps, -(-self.steps // self.block_steps)):
            stream = generator(self.seed, "negatives", epoch, block, self.device)
            drawn = self._draw(order[block * size : (block + 1) * size], stream)
            skip = max(0, first_step - block * self.block_steps)
            fields = (drawn.users, drawn.items, drawn.ratings, drawn.log_probs, drawn.frequencies)
            yield from map(Batch, *(self._split(field, skip) for field in fields))

    def _split(self, field: Tensor | None, skip: int) -> Iterable[Tensor | None]:
        """Split a field of a block into those of its batches, without the first `skip`; None stays None."""
        return itertools.repeat(None) if field is None else field.split(self.groups)[skip:]

    def sample(self) -> Batch:
        """Return a few groups for checking a model; their negatives come from a separate random stream."""
        rows = torch.arange(min(SAMPLE_GROUPS, len(self._users)), device=self.device)
        return self._draw(rows, generator(self.seed, "check", device=self.device))

    def _draw(self, rows: Tensor, stream: torch.Generator) -> Batch:
        """Return the positives at `rows` (M,), each with K negatives."""
        users = self._users[rows]
        negatives = self.sampler.draw(users, self.neg_ratio, stream)
        return Batch(
            users,
            torch.cat([self._items[rows, None], negatives], dim=1),
            None if self._ratings is None else self._ratings[rows],
            self.sampler.log_probs(users, negatives) if "log_probs" in self.needs else None,
            None if self._frequencies is None else self._frequencies[self._items[rows]],
        )


def groups_per_batch(batch_size: int, neg_ratio: int) -> int:
    """Return how many groups of one positive and `neg_ratio` negatives fit into `batch_size` rows.

    Raises:
        ConfigError: none fits.
    """
    if batch_size < 1 + neg_ratio:
        raise ConfigError(
            f"trainer.batch_size: expected at least 1 + neg_ratio = {1 + neg_ratio} rows (one group), got {batch_size}"
        )
    return batch_size // (1 + neg_ratio)


def relative_frequencies(train: Pairs, num_items: int = 0) -> Tensor:
    """Return (I,) float32: training positives of each item, over their mean over items with any; at least one counts.

    I is `num_items`, or what `train` has.
    """
    counts = torch.from_numpy(train.counts(num_items)).double()
    return (counts.clamp(min=1) / counts[counts > 0].mean()).float()


def ratings_of(train: Pairs) -> np.ndarray:
    """Return the ratings (N,) of training positives. Raises DataError if there are none."""
    if train.ratings is None and len(train):
        raise DataError("loss: expected data with ratings, which this loss needs, found none")
    return np.zeros(0, np.float32) if train.ratings is None else train.ratings


def steps_per_block(groups: int, neg_ratio: int) -> int:
    """Return the number of steps whose negatives are drawn at once, for `groups` positives a step."""
    return max(1, _BLOCK_DRAWS // (groups * neg_ratio))
