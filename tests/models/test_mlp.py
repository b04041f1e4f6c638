"""The MLP's halved first layer is one ordinary layer over the concatenated factors (He et al. 2017, eq. 10)."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ncf.models import MLP
from ncf.models.mlp import MLPTower


def concatenated(tower: MLPTower, users: Tensor, items: Tensor) -> Tensor:
    """users (B,), items (B, 1+K) -> features (B, 1+K, hidden[-1]), written down as the paper has it."""
    both = torch.cat([tower.users(users)[:, None].expand(-1, items.shape[1], -1), tower.items(items)], dim=-1)
    hidden = F.relu(tower.first(both))
    for layer in tower.upper:
        hidden = F.relu(layer(hidden))
    return hidden


@pytest.fixture
def model() -> MLP:
    return MLP(4, 5, factors=3, hidden=[8, 6, 2]).double()


def test_the_halves_are_the_whole(model: MLP) -> None:
    users, items = torch.arange(4), torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.tower(users, items), concatenated(model.tower, users, items))
    expected = model.output(concatenated(model.tower, users, items)).squeeze(-1)
    torch.testing.assert_close(model(users, items), expected)


def test_the_halves_have_the_gradient_of_the_whole(model: MLP) -> None:
    users, items = torch.tensor([0, 2, 2]), torch.tensor([[0, 1], [4, 1], [3, 3]])
    model(users, items).square().sum().backward()
    halves = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model.output(concatenated(model.tower, users, items)).squeeze(-1).square().sum().backward()
    for half, p in zip(halves, model.parameters(), strict=True):
        torch.testing.assert_close(half, p.grad)


@pytest.mark.parametrize("rows", [1, 7, 2**11])
def test_scores_do_not_depend_on_the_chunks_they_are_computed_in(
    model: MLP, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, items = torch.arange(4), torch.arange(5).expand(4, 5)
    monkeypatch.setattr("ncf.models.mlp._CPU_ROWS", rows)
    torch.testing.assert_close(model.score(users), model(users, items))


def test_one_hidden_layer_is_enough() -> None:
    model = MLP(4, 5, factors=3, hidden=[2])
    assert model(torch.arange(4), torch.zeros(4, 1, dtype=torch.int64)).shape == (4, 1)


def test_the_first_layer_is_stored_as_one() -> None:
    assert {name: tuple(w.shape) for name, w in MLP(4, 5, factors=3, hidden=[8, 2]).state_dict().items()} == {
        "tower.users.weight": (4, 3), "tower.items.weight": (5, 3), "tower.first.weight": (8, 6),
        "tower.first.bias": (8,), "tower.upper.0.weight": (2, 8), "tower.upper.0.bias": (2,),
        "output.weight": (1, 2), "output.bias": (1,),
    }  # fmt: skip
