"""Tables sharded by torchrec: which rows lie where, what is read, and the gradients of what was read."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec
from torch import Tensor

require_torchrec()

from ncf.training.distributed import Group, Shard
from ncf.training.distributed.tables import Shape, Tables

SHAPES = {"of_users": Shape(5, 3), "of_items": Shape(7, 3), "bias": Shape(7, 5)}


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """This process alone."""
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


def numbered(sharding: str, group: Group) -> Tables:
    """Tables whose rows are filled with the numbers of the rows, the padding with 0."""
    tables = Tables(SHAPES, sharding, group)
    for shard in tables.shards.values():
        columns = SHAPES[shard.name].columns
        shard.weight.zero_()
        shard.weight[:, :columns] = torch.arange(shard.first, shard.first + len(shard.weight))[:, None]
    return tables


def test_rows_are_stored_as_multiples_of_four_numbers() -> None:
    assert [Shape(1, columns).width for columns in (1, 3, 4, 5, 8)] == [4, 4, 4, 8, 8]


@pytest.mark.parametrize("sharding", ["auto", "row", "table"])
def test_one_process_has_every_row_and_reads_those_that_are_asked_for(sharding: str, group: Group) -> None:
    tables = numbered(sharding, group)
    assert tables.shards.keys() == tables.whole.keys() == SHAPES.keys()
    for name, shape in SHAPES.items():
        shard = tables.shards[name]
        assert (shard.first, tuple(shard.weight.shape)) == (0, (shape.rows, shape.width))
    ids = {"of_users": torch.tensor([4, 0]), "of_items": torch.tensor([6, 2, 2]), "bias": torch.tensor([5])}
    for name, rows in tables.fetch(ids).items():
        assert rows.tolist() == [[float(row)] * SHAPES[name].columns for row in ids[name].tolist()]


def test_the_gradient_of_a_row_is_the_sum_over_its_readings(group: Group) -> None:
    tables = numbered("row", group)
    ids = {"of_users": torch.tensor([3, 1, 3]), "of_items": torch.tensor([0]), "bias": torch.tensor([6])}
    read = tables.fetch(ids)
    (read["of_users"] * torch.tensor([[1.0], [2.0], [4.0]])).sum().backward()
    rows, gradient = tables.shards["of_users"].gradient()
    assert rows.tolist() == [1, 3]
    assert gradient.tolist() == [[2.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 0.0]]  # the padding has none
    tables.clear()
    rows, gradient = tables.shards["of_users"].gradient()
    assert rows.tolist() == []
    assert gradient.shape == (0, 4)


def test_a_shard_of_which_nothing_is_read_has_no_gradient(group: Group) -> None:
    tables = numbered("row", group)
    read = tables.fetch({"of_users": torch.tensor([3]), "of_items": torch.arange(0), "bias": torch.tensor([6])})
    read["of_users"].sum().backward()
    rows, gradient = tables.shards["of_items"].gradient()
    assert (rows.tolist(), tuple(gradient.shape)) == ([], (0, 4))


def test_rows_are_announced_before_they_are_read(group: Group) -> None:
    tables = numbered("row", group)
    seen: dict[str, list[int]] = {}

    def announce(shard: Shard, rows: Tensor) -> None:
        seen[shard.name] = rows.tolist()
        shard.weight[rows] += 100

    tables.before_read = announce
    ids = {"of_users": torch.tensor([2]), "of_items": torch.tensor([5, 1]), "bias": torch.tensor([0])}
    read = tables.fetch(ids)
    assert seen == {name: rows.tolist() for name, rows in ids.items()}
    assert read["of_items"][:, 0].tolist() == [105.0, 101.0]
