"""Each process's part of every batch: the rows of its own users."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.data.parts import NONE, Part, Parts
from ncf.data.split import Pairs
from ncf.training.batches import (
    SAMPLE_GROUPS,
    Batches,
    groups_per_batch,
    ratings_of,
    relative_frequencies,
    steps_per_block,
)
from ncf.training.samplers import NegativeSampler


@dataclass(frozen=True)
class PartBatch(Batch):
    """The positives of a batch whose users belong to this process; there may be none.

    Attributes:
        groups: positives of the whole batch.
    """

    groups: int = 0

    @property
    def rows(self) -> int:
        """Positives and negatives of the whole batch."""
        return self.groups * self.items.shape[1]


class Column:
    """Values (N,) that lie in several pieces, memory-mapped or not, looked up as if they were one tensor."""

    def __init__(self, pieces: Sequence[np.ndarray], device: torch.device) -> None:
        self._pieces = [torch.from_numpy(piece).to(device) for piece in pieces]
        if device.type != "cpu":
            self._pieces = [torch.cat(self._pieces)]
        self._edges = torch.tensor([0, *itertools.accumulate(map(len, self._pieces))], device=device)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return the values (M,) at `rows` (M,)."""
        if len(self._pieces) == 1:
            return self._pieces[0][rows]
        found = self._pieces[0].new_empty(len(rows))
        which = torch.bucketize(rows, self._edges[1:], right=True)
        for number, piece in enumerate(self._pieces):
            here = (which == number).nonzero().flatten()
            found[here] = piece[rows[here] - self._edges[number]]
        return found


class PartBatches(Batches):
    """The batches of `Batches`, which are the same on any number of processes, reduced to the rows of this one.

    The order of an epoch and the uniform numbers behind its negatives are drawn whole, by the streams of one process:
    the order, of 4 bytes an interaction (8 on CUDA), is let go of as soon as this process's rows are found in it.
    Negatives are looked up only for these.

    Args:
        data: the training positives, of which only those of `part` are looked at.
        sampler: asked for user u by u - `first_user`: 0, or the first of `part` if it knows the users of that alone.

    Raises:
        ConfigError: batch_size is smaller than one group.
        DataError: ratings are needed, but there are none; or a shard is damaged.
    """

    def __init__(
        self, data: Parts, part: Part, sampler: NegativeSampler, first_user: int, neg_ratio: int, batch_size: int,
        seed: int, device: torch.device, needs: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.groups = groups_per_batch(batch_size, neg_ratio)
        self.neg_ratio, self.seed, self.device = neg_ratio, seed, device
        self.steps, self.rows = -(-data.rows // self.groups), data.rows * (1 + neg_ratio)
        self.sampler, self._first_user = sampler, first_user
        self._total, self._part = data.rows, part
        pieces = data.train(part.first_user, part.end_user)
        self._user_of = Column([piece.users for piece in pieces], device)
        self._item_of = Column([piece.items for piece in pieces], device)
        self._rating_of = Column([ratings_of(piece) for piece in pieces], device) if "ratings" in needs else None
        counted = Pairs(NONE.users, NONE.items, item_counts=data.item_counts)
        self._frequencies = relative_frequencies(counted).to(device) if "frequencies" in needs else None
        self.needs = frozenset(needs)
        self.block_steps = steps_per_block(self.groups, neg_ratio)

    def sample(self) -> Batch:
        """Return a few groups of this process; their negatives come from a separate random stream."""
        rows = torch.arange(min(SAMPLE_GROUPS, self._part.end_row - self._part.first_row), device=self.device)
        stream = generator(self.seed, "check", device=self.device)
        unit = torch.rand(len(rows), self.neg_ratio, dtype=torch.float64, device=self.device, generator=stream)
        return self._drawn(rows, unit)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this process's part of the batches of an epoch, starting at `first_step`."""
        shuffle = generator(self.seed, "shuffle", epoch, device=self.device)
        total = self._total
        mine, rows = self._own_of(shuffle)
        size = self.block_steps * self.groups
        for block in range(first_step // self.block_steps, -(-self.steps // self.block_steps)):
            stream = generator(self.seed, "negatives", epoch, block, self.device)
            start, end = block * size, min((block + 1) * size, total)
            unit = torch.rand(end - start, self.neg_ratio, dtype=torch.float64, device=self.device, generator=stream)
            steps = range(max(first_step, block * self.block_steps), -(-end // self.groups))
            edges = [step * self.groups for step in steps] + [end]
            cuts = torch.searchsorted(mine, torch.tensor([start, *edges], device=self.device)).tolist()
            drawn = self._drawn(rows[cuts[0] : cuts[-1]], unit[mine[cuts[0] : cuts[-1]] - start])
            for low, high, first, last in zip(cuts[1:], cuts[2:], edges, edges[1:]):
                part = slice(low - cuts[0], high - cuts[0])
                fields = {name: tensor[part] for name, tensor in drawn.tensors().items()}
                yield PartBatch(**fields, groups=last - first)

    def _own_of(self, shuffle: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the places (M,), ascending, of this process's rows in the order of an epoch, and these rows from 0."""
        small = (
            self._total < 2**31 and torch.device(self.device).type == "cpu"
        )  # there the same order in half the memory
        kind = torch.int32 if small else torch.int64
        order = torch.randperm(self._total, dtype=kind, generator=shuffle, device=self.device)
        mine = ((order >= self._part.first_row) & (order < self._part.end_row)).nonzero().flatten()
        return mine, order[mine].long() - self._part.first_row

    def _drawn(self, rows: Tensor, unit: Tensor) -> Batch:
        """Return the positives at `rows` (M,) with the negatives that `unit` (M, K) stands for."""
        users, items = self._user_of[rows], self._item_of[rows]
        known = users - self._first_user
        negatives = self.sampler.at(known, unit)
        return Batch(
            users,
            torch.cat([items[:, None], negatives], dim=1),
            None if self._rating_of is None else self._rating_of[rows],
            self.sampler.log_probs(known, negatives) if "log_probs" in self.needs else None,
            None if self._frequencies is None else self._frequencies[items],
        )
