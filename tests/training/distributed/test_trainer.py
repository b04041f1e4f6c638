"""The training loop on several processes: that of one, with its decisions made once for all."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec
from toy_training import SPLIT, batches, settings, values

require_torchrec()

from ncf import models
from ncf.data.parts import Whole
from ncf.errors import TrainingError
from ncf.losses import BCE
from ncf.models import MODELS
from ncf.training.distributed import Group, GroupTrainer, PartBatches, PartStep, build, optimizer_for
from ncf.training.samplers import uniform
from ncf.training.step import PlainStep
from ncf.training.trainer import Trainer

MAKE = partial(MODELS["mf"], factors=3)


@dataclass(frozen=True)
class Second(Group):
    """This process as if rank 0, which decides, were another one."""

    first_says: Any = None

    def from_first(self, value: Any) -> Any:
        """What rank 0 says, whatever this process would say."""
        return self.first_says


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """This process alone."""
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def trainer(group: Group, asked: Any = lambda: False, **changes: Any) -> GroupTrainer:
    """A trainer by Adam on the small split of the tests of training."""
    model = build(MAKE, SPLIT.num_users, SPLIT.num_items, stream(), "row", group)
    step = PartStep(model, BCE(), optimizer_for({"name": "adam"}, partial(dict, lr=0.01), model), group, asked)
    sampler = uniform(SPLIT.train, SPLIT.num_users, SPLIT.num_items, "cpu")
    data = Whole(SPLIT)
    parts = PartBatches(data, data.part(group.rank, group.size), sampler, 0, 4, 55, 42, group.device)
    return GroupTrainer(step, parts, values(0.1, 0.2), settings(**changes), group=group)


def test_an_epoch_is_that_of_the_plain_trainer(group: Group) -> None:
    own = trainer(group, epochs=1)
    model = models.build(MAKE, SPLIT.num_users, SPLIT.num_items, stream())
    step = PlainStep(model, BCE(), torch.optim.Adam(model.parameters(), lr=0.01))
    plain = Trainer(step, batches(), values(0.1), settings(epochs=1))
    assert own.fit()
    assert plain.fit()
    whole = own.model.assembled(group, 7)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(whole[name], tensor, rtol=1e-5, atol=1e-6)
    assert own.progress.history[0]["train_loss"] == pytest.approx(plain.progress.history[0]["train_loss"], rel=1e-6)


def test_it_stops_after_the_step_in_which_a_process_was_asked_to(group: Group) -> None:
    asked = iter([False, False, True])
    own = trainer(group, lambda: next(asked))
    assert not own.fit()
    assert own.progress.step == 3


@pytest.mark.parametrize("says", [True, False])
def test_a_checkpoint_is_due_when_rank_0_says_so(says: bool, group: Group) -> None:
    own = trainer(group, checkpoint_every="1epoch")
    assert not own.due()
    assert own.due(epoch_end=True)
    other = trainer(Second(group.rank, group.size, group.device, says), checkpoint_every="1epoch")
    assert other.due() is says
    assert other.due(epoch_end=True) is says


def test_a_loss_that_is_not_finite_is_told_once_as_all_processes_know_of_it(group: Group) -> None:
    own = trainer(group)
    own.step.tally.broken.fill_(True)
    with pytest.raises(TrainingError, match="expected a finite loss") as caught:
        own.checkpoint()
    assert caught.value.agreed  # type: ignore[attr-defined]
