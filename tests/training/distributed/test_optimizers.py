"""The optimizer of a sharded model moves weights as Adam and SGD move those of the model on one process."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch.distributed as dist
from several import require_torchrec

require_torchrec()

from ncf import models
from ncf.errors import ConfigError
from ncf.models import MODELS, GradientRecommender
from ncf.training.distributed import Group, ShardedModel, build, optimizer_for, refuse_optimizer

MAKE = partial(MODELS["mf"], factors=3)
USERS, ITEMS = 6, 8
LR = 0.05


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """This process alone."""
    yield Group.join(torch.device("cpu"))
    dist.destroy_process_group()


def pair(group: Group) -> tuple[GradientRecommender, ShardedModel]:
    """The plain model, and the sharded one with the same weights."""
    plain, stream = (torch.Generator().manual_seed(3) for _ in range(2))
    return models.build(MAKE, USERS, ITEMS, plain), build(MAKE, USERS, ITEMS, stream, "row", group)


def walk(model: GradientRecommender, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Steps of two users and items each, one item twice; users 4 and 5 and items 6 and 7 are never read."""
    for step in steps:
        users = torch.tensor([step % 4, (step + 1) % 4])
        items = torch.tensor([[step % 6, 3], [3, (step + 2) % 6]])
        model.zero_grad()
        (model(users, items) * torch.tensor([[1.0, -2.0], [0.5, 3.0]])).sum().backward()
        optimizer.step()


def assert_same(plain: GradientRecommender, sharded: ShardedModel, group: Group) -> None:
    whole = sharded.assembled(group, 5)
    assert whole is not None
    assert list(whole) == list(plain.state_dict())
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(whole[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reference"), [("adam", torch.optim.Adam), ("row_adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_every_row_is_where_the_plain_optimizer_has_it(
    name: str, reference: type[torch.optim.Optimizer], group: Group
) -> None:
    plain, sharded = pair(group)
    before = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
    own = optimizer_for({"name": name}, partial(dict, lr=LR), sharded)
    walk(plain, reference(plain.parameters(), lr=LR), range(9))
    walk(sharded, own, range(9))
    own.flush()
    assert_same(plain, sharded, group)
    assert (plain.state_dict()["users.weight"] != before["users.weight"]).any(1).tolist() == [True] * 4 + [False] * 2


def test_a_restored_optimizer_goes_on(group: Group) -> None:
    (plain, _), (_, begun), (_, restored) = (pair(group) for _ in range(3))
    walk(plain, torch.optim.Adam(plain.parameters(), lr=LR), range(9))
    first, second = (optimizer_for({"name": "adam"}, partial(dict, lr=LR), model) for model in (begun, restored))
    walk(begun, first, range(5))
    restored.load_state_dict(begun.state_dict())
    second.prepare()
    second.load_state_dict(first.state_dict())
    walk(restored, second, range(5, 9))
    second.flush()
    assert_same(plain, restored, group)


def test_rows_that_wait_are_brought_up_to_date_after_restoring_without_another_step(group: Group) -> None:
    (plain, _), (_, begun), (_, restored) = (pair(group) for _ in range(3))
    walk(plain, torch.optim.Adam(plain.parameters(), lr=LR), range(9))
    first, second = (optimizer_for({"name": "adam"}, partial(dict, lr=LR), model) for model in (begun, restored))
    walk(begun, first, range(9))
    second.flush()  # as at the end of an epoch
    restored.load_state_dict(begun.state_dict())
    second.prepare()
    second.load_state_dict(first.state_dict())
    second.flush()
    assert_same(plain, restored, group)


def test_settings_that_would_move_rows_which_are_not_read_are_refused() -> None:
    refuse_optimizer({"name": "sgd", "momentum": 0.0, "weight_decay": 0, "clip_norm": None})
    with pytest.raises(ConfigError, match="expected adam, row_adam or sgd with trainer=distributed, got adamw"):
        refuse_optimizer({"name": "adamw"})
    for key, value in {"momentum": 0.9, "weight_decay": 0.1, "clip_norm": 1.0, "schedule": "cosine"}.items():
        with pytest.raises(ConfigError, match=rf"^optimizer\.{key}: expected .* got {value}$"):
            refuse_optimizer({"name": "sgd", key: value})
