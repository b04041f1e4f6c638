"""Full ranking shared out by users: the chunks of one process, each ranked by one of several."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ncf.data.parts import HeldOut, Parts
from ncf.evaluation import FullRanking, Ranks, test_targets, validation_targets
from ncf.evaluation.ranking import Targets, chunk_size
from ncf.training.distributed.group import Group, agreed
from ncf.training.distributed.model import ShardedModel


@dataclass(frozen=True)
class PartTargets:
    """The positives of a held-out part, and what ranking those of this process takes.

    Attributes:
        users: (N,) int64, of all positives.
        items: (N,) int64, of all positives.
        rows: which of them this process ranks.
        own: these, with the seen items of their users; None if there are none.
        num_items: I.
    """

    users: Tensor
    items: Tensor
    rows: slice
    own: Targets | None
    num_items: int


def targets_of(data: Parts, of: HeldOut, evaluation: FullRanking, group: Group) -> PartTargets:
    """Return what this process ranks of a held-out part; of other users' training positives it reads nothing.

    Raises:
        DataError: the part is empty, one of its positives has been seen before, or a shard is damaged.
    """
    held = data.valid if of == "valid" else data.test
    num_items = data.outline.num_items
    rows = own_rows(len(held), chunk_size(num_items, evaluation.memory_mb), group)
    make = validation_targets if of == "valid" else test_targets
    own = make(data.around(of, rows), group.device) if rows.start < rows.stop or not len(held) else None
    return PartTargets(torch.from_numpy(held.users), torch.from_numpy(held.items), rows, own, num_items)


def evaluate(evaluation: FullRanking, model: ShardedModel, targets: PartTargets, group: Group) -> Ranks:
    """Rank `targets` on all processes; each has all the ranks, equal to the bit to those of one process.

    Each process scores whole chunks, as one process would, so that every product has the same shape; counts are added
    up exactly. Raises TrainingError for a NaN score.
    """
    own = targets.own
    users = targets.users[:0].to(group.device) if own is None else own.users
    counts = torch.zeros(3, len(targets.users), dtype=torch.int64, device=group.device)  # above, tied, candidates
    with agreed(group), model.scoring(users, targets.num_items):
        if own is not None:
            ranks = evaluation.evaluate(model.score, own)
            counts[:, targets.rows] = torch.stack([ranks.above, ranks.tied, ranks.candidates]).to(group.device)
    above, tied, candidates = group.sum(counts).cpu()
    return Ranks(targets.users, targets.items, above, tied, candidates)


def own_rows(total: int, chunk: int, group: Group) -> slice:
    """Return this process's rows out of `total`: whole chunks, equally many in each process up to one."""
    chunks = -(-total // chunk)
    first, last = (rank * chunks // group.size * chunk for rank in (group.rank, group.rank + 1))
    return slice(min(first, total), min(last, total))
