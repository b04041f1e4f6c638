"""The parts of a batch: together they are the batch of one process, whatever the number of processes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from several import require_torchrec
from toys import random_split

require_torchrec()

from ncf.core.rng import generator
from ncf.data.parts import Parts, Whole
from ncf.data.shards import Address, prepare
from ncf.data.split import Split
from ncf.errors import DataError
from ncf.losses.base import Needed
from ncf.training.batches import Batches
from ncf.training.distributed import PartBatches
from ncf.training.distributed.batches import Column
from ncf.training.samplers import NegativeSampler, popularity, uniform

SPLIT = random_split(13, 30, seed=3)
Make = Callable[..., NegativeSampler]


def batches(split: Split, sampler: Make = uniform, size: int = 100, *needs: Needed) -> Batches:
    """The batches of one process."""
    known = sampler(split.train, split.num_users, split.num_items, "cpu")
    return Batches(split.train, known, 4, size, 7, "cpu", needs)


def parts_of(
    data: Parts, processes: int, sampler: Make = uniform, size: int = 100, *needs: Needed
) -> list[PartBatches]:
    """Those of each of several, each with a sampler that knows its users only."""
    found = []
    for rank in range(processes):
        part = data.part(rank, processes)
        own = data.own(part)
        known = sampler(own.train, own.num_users, own.num_items, "cpu")
        found.append(PartBatches(data, part, known, part.first_user, 4, size, 7, torch.device("cpu"), needs))
    return found


def data_of(kind: str, split: Split, tmp_path: Path) -> Parts:
    """`split`, whole or in three shards."""
    return Whole(split) if kind == "whole" else prepare(Address(tmp_path / "toy.shards", None), 3, lambda: split)


@pytest.mark.parametrize("sampler", [uniform, partial(popularity, power=0.75)], ids=["uniform", "popularity"])
@pytest.mark.parametrize("kind", ["whole", "shards"])
@pytest.mark.parametrize("processes", [1, 2, 3, 5, 40])
def test_parts_of_every_batch_make_up_the_batch_of_one_process(
    processes: int, kind: str, sampler: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncf.training.batches._BLOCK_DRAWS", 4 * 60)  # several blocks an epoch
    whole, parts = batches(SPLIT, sampler), parts_of(data_of(kind, SPLIT, tmp_path), processes, sampler)
    assert whole.steps > whole.block_steps > 1
    for first in (0, 1, whole.block_steps, whole.steps - 1):
        for batch, *shares in zip(whole.epoch(2, first), *(p.epoch(2, first) for p in parts), strict=True):
            rows = torch.cat([torch.cat([s.users[:, None], s.items], 1) for s in shares]).tolist()
            assert sorted(rows) == sorted(torch.cat([batch.users[:, None], batch.items], 1).tolist())
            assert all(share.groups == len(batch.users) and share.rows == batch.rows for share in shares)


@pytest.mark.parametrize("kind", ["whole", "shards"])
def test_one_process_has_every_field_in_the_order_of_batches(kind: str, tmp_path: Path) -> None:
    split = random_split(13, 30, seed=4)
    split.train.__dict__["ratings"] = np.arange(len(split.train), dtype=np.float32)
    sampler, needs = partial(popularity, power=0.75), ("ratings", "log_probs", "frequencies")
    whole = batches(split, sampler, 100, *needs)
    (alone,) = parts_of(data_of(kind, split, tmp_path), 1, sampler, 100, *needs)
    for batch, share in zip(whole.epoch(1), alone.epoch(1), strict=True):
        for name, tensor in batch.tensors().items():
            assert torch.equal(tensor, getattr(share, name)), name


def test_ratings_of_a_process_without_users_are_none_and_of_data_without_any_an_error(tmp_path: Path) -> None:
    split = random_split(3, 30, seed=4)
    split.train.__dict__["ratings"] = np.arange(len(split.train), dtype=np.float32)
    parts_of(data_of("shards", split, tmp_path), 10, uniform, 100, "ratings")
    with pytest.raises(DataError, match="expected data with ratings"):
        parts_of(Whole(SPLIT), 2, uniform, 100, "ratings")


def test_a_check_draws_for_users_of_this_process() -> None:
    for part, batches in enumerate(parts_of(Whole(SPLIT), 3)):
        sample, own = batches.sample(), Whole(SPLIT).part(part, 3)
        assert sample.users.tolist() == SPLIT.train.users[own.first_row : own.first_row + 8].tolist()
        seen = set(zip(SPLIT.train.users.tolist(), SPLIT.train.items.tolist(), strict=True))
        pairs = {(int(u), int(i)) for u, items in zip(sample.users, sample.items) for i in items[1:]}
        assert not pairs & seen


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_column_in_pieces_is_looked_up_as_a_whole_one(pieces: int) -> None:
    values, rows = np.arange(100, 123), torch.tensor([22, 0, 7, 7, 13, 4, 5])
    column = Column(np.array_split(values, pieces), torch.device("cpu"))
    assert column[rows].tolist() == values[rows].tolist()
    assert column[rows[:0]].tolist() == []


def test_the_order_of_an_epoch_is_the_same_in_four_bytes_a_row() -> None:
    kinds = (torch.int64, torch.int32)
    for total in (1, 2, 999, 100_003):
        wide, narrow = (torch.randperm(total, dtype=kind, generator=generator(3, "shuffle", 2)) for kind in kinds)
        assert torch.equal(wide, narrow.long())
