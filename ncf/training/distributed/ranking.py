"""Full ranking shared out by users: the chunks of one process, each ranked by one of several."""

from dataclasses import replace

import torch
from torch import Tensor

from ncf.evaluation import FullRanking, Ranks
from ncf.evaluation.ranking import Targets, chunk_size
from ncf.training.distributed.group import Group, agreed
from ncf.training.distributed.model import ShardedModel


def evaluate(evaluation: FullRanking, model: ShardedModel, targets: Targets, group: Group) -> Ranks:
    """Rank `targets` on all processes; each has all the ranks, equal to the bit to those of one process.

    Each process scores whole chunks, as one process would, so that every product has the same shape; counts are added
    up exactly. Raises TrainingError for a NaN score.
    """
    rows = own_rows(len(targets), chunk_size(targets.num_items, evaluation.memory_mb), group)
    counts = torch.zeros(2, len(targets), dtype=torch.int64, device=group.device)  # above and tied
    with agreed(group), model.scoring(targets.users[rows], targets.num_items):
        if rows.start < rows.stop:
            ranks = evaluation.evaluate(model.score, part(targets, rows))
            counts[:, rows] = torch.stack([ranks.above, ranks.tied]).to(group.device)
    above, tied = group.sum(counts).cpu()
    return Ranks(targets.users.cpu(), targets.items.cpu(), above, tied, targets.candidates.cpu())


def own_rows(total: int, chunk: int, group: Group) -> slice:
    """Return this process's rows out of `total`: whole chunks, equally many in each process up to one."""
    chunks = -(-total // chunk)
    first, last = (rank * chunks // group.size * chunk for rank in (group.rank, group.rank + 1))
    return slice(min(first, total), min(last, total))


def part(targets: Targets, rows: slice) -> Targets:
    """Return these rows of `targets`."""
    entries = slice(targets.seen_starts[rows.start], targets.seen_starts[rows.stop])

    def own(values: Tensor) -> Tensor:
        """Return the rows of values (B, ...)."""
        return values[rows]

    return replace(
        targets,
        users=own(targets.users),
        items=own(targets.items),
        candidates=own(targets.candidates),
        seen_rows=targets.seen_rows[entries] - rows.start,
        seen_items=targets.seen_items[entries],
        seen_starts=tuple(start - entries.start for start in targets.seen_starts[rows.start : rows.stop + 1]),
    )
