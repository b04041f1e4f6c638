"""Which process ranks what: whole chunks, each once."""

import itertools

import pytest
import torch
from several import require_torchrec
from toys import random_split

require_torchrec()

from ncf.evaluation.ranking import rank, validation_targets
from ncf.training.distributed import Group
from ncf.training.distributed.ranking import own_rows, part


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [1, 5, 10, 23])
def test_processes_share_whole_chunks_out(processes: int, total: int) -> None:
    shares = [own_rows(total, 5, Group(rank, processes, torch.device("cpu"))) for rank in range(processes)]
    assert [row for share in shares for row in range(share.start, share.stop)] == list(range(total))
    assert all(share.start % 5 == 0 or share.start == total for share in shares)


def test_ranks_of_parts_are_the_ranks_of_the_whole() -> None:
    targets = validation_targets(random_split(23, 40, held_out=2), "cpu")
    scores = torch.randn(23, 40, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # with ties
    whole = rank(scores.__getitem__, targets, 5)
    cuts = [0, 7, 7, 20, len(targets)]
    parts = [rank(scores.__getitem__, part(targets, slice(a, b)), 5) for a, b in itertools.pairwise(cuts) if a < b]
    assert torch.equal(whole.above, torch.cat([p.above for p in parts]))
    assert torch.equal(whole.tied, torch.cat([p.tied for p in parts]))
