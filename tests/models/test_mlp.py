"""The MLP's halved first layer is one ordinary layer over the concatenated factors (He et al. 2017, eq. 10)."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ncf.models import MLP
from ncf.models.mlp import MLPTower, _score_apart, _score_together


def concatenated(tower: MLPTower, users: Tensor, items: Tensor) -> Tensor:
    """users (B,), items (B, 1+K) -> features (B, 1+K, hidden[-1]), written down as the paper has it."""
    both = torch.cat([tower.users(users)[:, None].expand(-1, items.shape[1], -1), tower.items(items)], dim=-1)
    hidden = F.relu(tower.first(both))
    for layer in tower.upper:
        hidden = F.relu(layer(hidden))
    return hidden


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def model() -> MLP:
    return MLP(4, 5, factors=3, hidden=[8, 6, 2], dropout=0.0).double()


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


def test_scores_on_a_gpu_are_those_on_a_cpu() -> None:
    halves, floors = torch.randn(8, 5), [torch.randn(4, width) for width in (8, 6, 2)]
    weights = [torch.randn(*shape) for shape in ((6, 8), (2, 6), (1, 2))]
    torch.testing.assert_close(_score_together(halves, floors, weights), _score_apart(halves, floors, weights))


@pytest.mark.parametrize("items", [1, 3, 37, 1025, 1447])
@pytest.mark.parametrize("alike", ["items", "a layer that no pair excites", "layers that no pair excites"])
def test_items_alike_tie_to_the_bit(items: int, alike: str) -> None:
    model = MLP(20, items, factors=16, hidden=[24, 20, 9], dropout=0.0)
    tower = model.tower
    dead = {"items": [], "a layer that no pair excites": tower.upper[1:], "layers that no pair excites": tower.upper}
    with torch.no_grad():
        tower.users.weight.mul_(100)
        if alike == "items":
            tower.items.weight.copy_(100 * torch.randn(16))
        for layer in dead[alike]:
            layer.bias.sub_(1000 + torch.rand(layer.bias.shape))
    scores = model.score(torch.arange(20))
    assert (scores == scores[:, :1]).all()


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_scores_are_about_as_exact_as_logits(scale: float) -> None:
    model = MLP(20, 300, factors=16, hidden=[24, 20, 9], dropout=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale) if parameter.ndim > 1 else parameter.add_(scale * torch.randn(parameter.shape))
    users, items = torch.arange(20), torch.arange(300).expand(20, 300)
    scores, logits = model.score(users), model(users, items)
    exact = model.double()(users, items)
    assert (scores - exact).abs().mean() <= 5 * (logits - exact).abs().mean()  # max(x, -b) and b round apart


def test_a_weight_that_is_not_a_number_shows_in_the_scores() -> None:
    model = MLP(4, 5, factors=3, hidden=[7, 2], dropout=0.0)
    with torch.no_grad():
        model.tower.items.weight[3, 1] = float("nan")
    assert model.score(torch.arange(4)).isnan().any(0).tolist() == [False, False, False, True, False]


def test_one_hidden_layer_is_enough() -> None:
    model = MLP(4, 5, factors=3, hidden=[2], dropout=0.0)
    torch.testing.assert_close(model.score(torch.arange(4)), model(torch.arange(4), torch.arange(5).expand(4, 5)))
    assert model(torch.arange(4), torch.zeros(4, 1, dtype=torch.int64)).shape == (4, 1)


def test_the_first_layer_is_stored_as_one() -> None:
    model = MLP(4, 5, factors=3, hidden=[8, 2], dropout=0.0)
    assert {name: tuple(w.shape) for name, w in model.state_dict().items()} == {
        "tower.users.weight": (4, 3), "tower.items.weight": (5, 3), "tower.first.weight": (8, 6),
        "tower.first.bias": (8,), "tower.upper.0.weight": (2, 8), "tower.upper.0.bias": (2,),
        "output.weight": (1, 2), "output.bias": (1,),
    }  # fmt: skip
