"""A step on a part of a batch: with one process it is the plain step; with several the sums are those of all."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec
from torch import Tensor

require_torchrec()

from ncf import models
from ncf.data import Batch
from ncf.losses import BCE
from ncf.models import MODELS
from ncf.training.distributed import Group, PartStep, ShardedModel, build, optimizer_for
from ncf.training.distributed.batches import PartBatch
from ncf.training.step import PlainStep

MAKE = partial(MODELS["mf"], factors=3)
BATCH = Batch(torch.tensor([0, 2, 2]), torch.tensor([[1, 0, 3], [3, 3, 4], [0, 4, 1]]))
SETTINGS = {"name": "sgd"}


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """This process alone."""
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


def model(group: Group, sharding: str = "row") -> ShardedModel:
    return build(MAKE, 4, 5, torch.Generator().manual_seed(3), sharding, group)


def part(low: int, high: int) -> PartBatch:
    """These rows of the batch."""
    return PartBatch(BATCH.users[low:high], BATCH.items[low:high], groups=len(BATCH.users))


@pytest.mark.parametrize("sharding", ["row", "table", "data"])
def test_one_step_is_the_plain_step(sharding: str, group: Group) -> None:
    plain = models.build(MAKE, 4, 5, torch.Generator().manual_seed(3))
    own = model(group, sharding)
    expected = PlainStep(plain, BCE(), torch.optim.SGD(plain.parameters(), lr=0.5))
    step = PartStep(own, BCE(), optimizer_for(SETTINGS, partial(dict, lr=0.5), own), group)
    torch.testing.assert_close(step(part(0, 3)), expected(BATCH))
    whole = own.assembled(group, 100)
    assert whole is not None
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(whole[name], tensor)
    torch.testing.assert_close(step.tally.loss_sum, expected.tally.loss_sum)


def test_gradients_of_parts_add_up_to_those_of_the_batch(group: Group) -> None:
    def backward(low: int, high: int) -> tuple[Tensor, Tensor]:
        own = model(group)
        step = PartStep(own, BCE(), optimizer_for(SETTINGS, partial(dict, lr=0.5), own), group)
        _, total = step.backward(part(low, high))
        (gradient,) = step.gradients()  # of the global bias
        return total, gradient

    (first, second), whole = (backward(0, 1), backward(1, 3)), backward(0, 3)
    for one, other, both in zip(first, second, whole, strict=True):
        torch.testing.assert_close(one + other, both)


@pytest.mark.parametrize("where", ["loss", "row"])
def test_a_number_that_is_not_finite_stops_every_update(where: str, group: Group) -> None:
    """A loss of nan; or of 0, with finite dense gradients, where only the gradients of the users' rows overflow."""
    own = model(group)
    for tensor in own.state_dict().values():
        tensor.zero_()
    own.state_dict()["table.items_table"].fill_(torch.nan if where == "loss" else 1e20)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    step = PartStep(own, lambda logits: 1e30 * logits, optimizer_for(SETTINGS, partial(dict, lr=0.5), own), group)
    total = step(part(0, 3))
    assert total.isfinite() == (where == "row")
    assert step.tally.broken
    assert all(torch.equal(t.nan_to_num(), before[n].nan_to_num()) for n, t in own.state_dict().items())


@dataclass(frozen=True)
class Beside(Group):
    """This process beside another one, which adds `more` to the number at `place` of every sum."""

    place: int = 0
    more: float = 0.0

    def sum(self, values: Tensor) -> Tensor:
        """Add up what both have."""
        values[self.place] += self.more
        return values


@pytest.mark.parametrize(
    ("place", "more"), [(-2, 1.0), (0, torch.inf), (-3, torch.inf)], ids=["said", "gradient", "loss"]
)
def test_a_number_that_is_not_finite_elsewhere_stops_the_update_here(place: int, more: float, group: Group) -> None:
    own = model(group)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    other = Beside(group.rank, group.size, group.device, place, more)
    step = PartStep(own, BCE(), optimizer_for(SETTINGS, partial(dict, lr=0.5), own), other)
    step(part(0, 3))
    assert step.tally.broken
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())


@pytest.mark.parametrize("asked", [True, False])
def test_a_process_that_was_asked_to_stop_asks_all(asked: bool, group: Group) -> None:
    own = model(group)
    step = PartStep(own, BCE(), optimizer_for(SETTINGS, partial(dict, lr=0.5), own), group, lambda: asked)
    step(part(0, 3))
    assert step.stop is asked
