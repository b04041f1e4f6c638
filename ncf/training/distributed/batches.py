"""Each process's part of every batch: the rows of its own users."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.data.batch import Batch
from ncf.data.split import Pairs
from ncf.training.batches import Batches
from ncf.training.distributed.group import Group


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


def part_of(train: Pairs, group: Group) -> tuple[int, int]:
    """Return the range of the rows of `train`, sorted by user, that belong to this process: whole users, equal shares.

    A user lies where the share of the user's first row begins.
    """

    def boundary(rank: int) -> int:
        position = rank * len(train) // group.size
        inside = 0 < position < len(train)
        return int(np.searchsorted(train.users, train.users[position])) if inside else position

    return boundary(group.rank), boundary(group.rank + 1)


class PartBatches(Batches):
    """The batches of `Batches`, which are the same on any number of processes, reduced to the rows of this one.

    The order of an epoch and the uniform numbers behind its negatives are drawn whole, by the streams of one process;
    negatives are looked up only for rows that belong here.
    """

    def __init__(self, train: Pairs, *args: Any, group: Group, **kwargs: Any) -> None:
        super().__init__(train, *args, **kwargs)
        self._range = part_of(train, group)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this process's part of the batches of an epoch, starting at `first_step`."""
        shuffle = generator(self.seed, "shuffle", epoch, device=self.device)
        total = len(self._users)
        order = torch.randperm(total, generator=shuffle, device=self.device)
        mine = ((order >= self._range[0]) & (order < self._range[1])).nonzero().flatten()  # ascending positions
        rows = order[mine]
        del order
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

    def _drawn(self, rows: Tensor, unit: Tensor) -> Batch:
        """Return the positives at `rows` (M,) with the negatives that `unit` (M, K) stands for."""
        users, items = self._users[rows], self._items[rows]
        negatives = self.sampler.at(users, unit)
        return Batch(
            users,
            torch.cat([items[:, None], negatives], dim=1),
            None if self._ratings is None else self._ratings[rows],
            self.sampler.log_probs(users, negatives) if "log_probs" in self.needs else None,
            None if self._frequencies is None else self._frequencies[items],
        )
