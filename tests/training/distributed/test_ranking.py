"""Which process ranks what: whole chunks, each once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from several import require_torchrec
from toys import keys_of, random_split

require_torchrec()

from ncf.core.config import component
from ncf.data.parts import NONE, HeldOut, Whole
from ncf.data.shards import Address, prepare
from ncf.errors import DataError
from ncf.evaluation import EVALUATIONS, validation_targets
from ncf.evaluation import test_targets as tested_targets
from ncf.training.distributed import Group, targets_of
from ncf.training.distributed.ranking import own_rows


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [1, 5, 10, 23])
def test_processes_share_whole_chunks_out(processes: int, total: int) -> None:
    shares = [own_rows(total, 5, Group(rank, processes, torch.device("cpu"))) for rank in range(processes)]
    assert [row for share in shares for row in range(share.start, share.stop)] == list(range(total))
    assert all(share.start % 5 == 0 or share.start == total for share in shares)


@pytest.mark.parametrize("kind", ["whole", "shards"])
@pytest.mark.parametrize("of", ["valid", "test"])
@pytest.mark.parametrize("processes", [1, 2, 3, 7, 20])
def test_ranks_of_parts_are_the_ranks_of_the_whole(of: HeldOut, processes: int, kind: str, tmp_path: Path) -> None:
    split = random_split(23, 40, held_out=2)
    data = Whole(split) if kind == "whole" else prepare(Address(tmp_path / "toy.shards", None), 3, lambda: split)
    scores = torch.randn(23, 40, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # with ties
    evaluation = component("evaluation", EVALUATIONS, {**keys_of("evaluation", "full"), "memory_mb": 1})()
    evaluation.memory_mb = 5 * 8 * 40 / 2**20  # chunks of five
    make = validation_targets if of == "valid" else tested_targets
    whole = evaluation.evaluate(scores.__getitem__, make(split, "cpu"))
    counts = torch.zeros(3, len(whole.users), dtype=torch.int64)
    for rank in range(processes):
        targets = targets_of(data, of, evaluation, Group(rank, processes, torch.device("cpu")))
        assert torch.equal(targets.users, whole.users)
        assert torch.equal(targets.items, whole.items)
        assert (targets.own is None) == (targets.rows.start == targets.rows.stop)
        if targets.own is not None:
            own = evaluation.evaluate(scores.__getitem__, targets.own)
            counts[:, targets.rows] += torch.stack([own.above, own.tied, own.candidates])
    assert torch.equal(counts, torch.stack([whole.above, whole.tied, whole.candidates]))


def test_a_part_without_positives_is_refused() -> None:
    split = replace(random_split(5, 20), valid=NONE)
    evaluation = component("evaluation", EVALUATIONS, keys_of("evaluation", "full"))()
    with pytest.raises(DataError, match="validation: expected at least one positive"):
        targets_of(Whole(split), "valid", evaluation, Group(1, 2, torch.device("cpu")))
