"""The optimizers are the published ones, and their settings have ranges."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from toy_training import adam, adamw, sgd
from toys import keys_of

from ncf.core.config import component, roles
from ncf.errors import ConfigError
from ncf.training.fast.adam import FusedAdam, FusedAdamW
from ncf.training.fast.row_adam import RowAdam
from ncf.training.optimizers import OPTIMIZERS


def test_adam_takes_the_steps_of_the_paper() -> None:
    """Kingma and Ba 2015, algorithm 1, in double precision."""
    model = nn.Linear(3, 1, bias=False).double()
    weight, first, second = model.weight.detach().clone(), torch.zeros(1, 3), torch.zeros(1, 3)
    optimizer = adam(model, lr=0.1, weight_decay=0.0)
    for step in range(1, 6):
        gradient = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64) * step
        model.weight.grad = gradient.clone()
        optimizer.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weight -= 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        torch.testing.assert_close(model.weight.detach(), weight)


def test_weight_decay_is_a_penalty_in_the_gradient() -> None:
    plain, decayed = (nn.Linear(2, 1, bias=False).double() for _ in range(2))
    decayed.load_state_dict(plain.state_dict())
    plain.weight.grad = 1.0 + 0.5 * plain.weight.detach()
    decayed.weight.grad = torch.ones_like(decayed.weight)
    adam(plain, lr=0.1, weight_decay=0.0).step()
    adam(decayed, lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(plain.weight, decayed.weight)


def nearly(rows: list[list[float]]) -> list[object]:
    return [pytest.approx(row) for row in rows]


GRADIENTS = torch.tensor([[1.0, -2.0], [0.5, 4.0], [-3.0, 0.25]], dtype=torch.float64)


def moved(optimizer: Callable[[nn.Module], torch.optim.Optimizer]) -> list[list[float]]:
    """The weights, at first (1, -1), after each of three steps with GRADIENTS."""
    model = nn.Linear(2, 1, bias=False).double()
    model.weight.data.copy_(torch.tensor([[1.0, -1.0]]))
    subject, seen = optimizer(model), []
    for gradient in GRADIENTS:
        model.weight.grad = gradient[None].clone()
        subject.step()
        seen.append(model.weight[0].tolist())
    return seen


def test_sgd_subtracts_the_gradient() -> None:
    found = moved(partial(sgd, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0))
    assert found == nearly([[0.9, -0.8], [0.85, -1.2], [1.15, -1.225]])


def test_momentum_by_hand() -> None:
    """Its sums are (1, -2), then 0.5 (1, -2) + (0.5, 4) = (1, 3), then 0.5 (1, 3) + (-3, 0.25) = (-2.5, 1.75)."""
    found = moved(partial(sgd, lr=0.1, momentum=0.5, nesterov=False, weight_decay=0.0))
    assert found == nearly([[0.9, -0.8], [0.8, -1.1], [1.05, -1.275]])


def test_nesterov_by_hand() -> None:
    """Steps by gradient + 0.5 sum: (1.5, -3), (1, 5.5), (-4.25, 1.125)."""
    found = moved(partial(sgd, lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.0))
    assert found == nearly([[0.85, -0.7], [0.75, -1.25], [1.175, -1.3625]])


def test_sgds_weight_decay_is_a_penalty_in_the_gradient() -> None:
    found = moved(partial(sgd, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.5))
    assert found[0] == pytest.approx([1 - 0.1 * (1 + 0.5), -1 - 0.1 * (-2 - 0.5)])


def test_nesterov_without_momentum_is_plain() -> None:
    keys = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.1}
    assert moved(partial(sgd, **keys, nesterov=True)) == moved(partial(sgd, **keys, nesterov=False))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adamw_is_torchs_to_the_bit(decay: float) -> None:
    def theirs(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=decay, fused=True)

    assert moved(partial(adamw, lr=0.1, weight_decay=decay)) == moved(theirs)


def test_adamws_decay_is_apart_from_the_gradient() -> None:
    """The first step of Adam is lr times the sign of the gradient, whatever its size."""
    found = moved(partial(adamw, lr=0.1, weight_decay=0.5))
    assert found[0] == pytest.approx([1 * (1 - 0.05) - 0.1, -1 * (1 - 0.05) + 0.1])


@pytest.mark.parametrize(("key", "value"), [("lr", 0.0), ("lr", -1.0), ("lr", "fast"), ("weight_decay", -0.1)])
def test_values_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.{key}: "):
        component("optimizer", OPTIMIZERS, keys_of("optimizer", "adam") | {key: value})


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", FusedAdam), ("adamw", FusedAdamW), ("sgd", torch.optim.SGD), ("row_adam", RowAdam)]
)
def test_an_optimizer_is_chosen_by_name(name: str, kind: type) -> None:
    assert type(component("optimizer", OPTIMIZERS, keys_of("optimizer", name))(nn.Embedding(3, 2))) is kind


@pytest.mark.parametrize(
    ("key", "value"), [("momentum", 1.0), ("momentum", -0.1), ("nesterov", "yes"), ("lr", 0), ("weight_decay", -1)]
)
def test_values_of_sgd_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.{key}: "):
        component("optimizer", OPTIMIZERS, keys_of("optimizer", "sgd") | {key: value})


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_keys_that_came_later_have_one_default_in_yaml_and_for_runs_made_before(name: str) -> None:
    factory, yaml = OPTIMIZERS[name], keys_of("optimizer", name)
    later = {key: role.since for key, role in roles(factory).items() if role.came_later}
    assert later == {"clip_norm": None, "schedule": "constant", "warmup": None, "period": None, "decay": 0.1}
    assert later == {key: yaml[key] for key in later}
