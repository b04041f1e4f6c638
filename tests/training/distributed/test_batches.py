"""The parts of a batch: together they are the batch of one process, whatever the number of processes."""

import itertools

import numpy as np
import pytest
import torch
from several import require_torchrec
from toys import random_split

require_torchrec()

from ncf.data.split import Split
from ncf.training.batches import Batches
from ncf.training.distributed import Group, PartBatches, part_of
from ncf.training.samplers import popularity, uniform

SPLIT = random_split(13, 30, seed=3)


def of(processes: int) -> list[Group]:
    return [Group(rank, processes, torch.device("cpu")) for rank in range(processes)]


def arguments(split: Split, batch_size: int) -> tuple:
    return uniform(split.train, split.num_users, split.num_items, "cpu"), 4, batch_size, 7, "cpu"


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_parts_of_every_batch_make_up_the_batch_of_one_process(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.training.batches._BLOCK_DRAWS", 4 * 60)  # several blocks an epoch
    whole = Batches(SPLIT.train, *arguments(SPLIT, 100))
    parts = [PartBatches(SPLIT.train, *arguments(SPLIT, 100), group=group) for group in of(processes)]
    assert whole.steps > whole.block_steps > 1
    for first in (0, 1, whole.block_steps, whole.steps - 1):
        for batch, *shares in zip(whole.epoch(2, first), *(p.epoch(2, first) for p in parts), strict=True):
            rows = torch.cat([torch.cat([s.users[:, None], s.items], 1) for s in shares]).tolist()
            assert sorted(rows) == sorted(torch.cat([batch.users[:, None], batch.items], 1).tolist())
            assert all(share.groups == len(batch.users) and share.rows == batch.rows for share in shares)


def test_one_process_has_every_field_in_the_order_of_batches() -> None:
    split = random_split(13, 30, seed=4)
    split.train.__dict__["ratings"] = np.arange(len(split.train), dtype=np.float32)
    sampler = popularity(split.train, split.num_users, split.num_items, "cpu", power=0.75)
    needs = ("ratings", "log_probs", "frequencies")
    whole = Batches(split.train, sampler, 4, 100, 7, "cpu", needs)
    (alone,) = (PartBatches(split.train, sampler, 4, 100, 7, "cpu", needs, group=g) for g in of(1))
    for batch, share in zip(whole.epoch(1), alone.epoch(1), strict=True):
        for name, tensor in batch.tensors().items():
            assert torch.equal(tensor, getattr(share, name)), name


@pytest.mark.parametrize("processes", [1, 2, 3, 12, 40])
def test_parts_are_whole_users_and_all_rows(processes: int) -> None:
    train = SPLIT.train
    ranges = [part_of(train, group) for group in of(processes)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(train)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    owners = [set(train.users[low:high].tolist()) for low, high in ranges]
    assert sum(map(len, owners)) == len(set(train.users.tolist()))
