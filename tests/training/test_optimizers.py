"""The optimizers are the published ones, and their settings have ranges."""

import pytest
import torch
from torch import nn
from toys import keys_of

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.training.fast.adam import FusedAdam
from ncf.training.fast.row_adam import RowAdam
from ncf.training.optimizers import OPTIMIZERS, adam


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


@pytest.mark.parametrize(("key", "value"), [("lr", 0.0), ("lr", -1.0), ("lr", "fast"), ("weight_decay", -0.1)])
def test_values_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.{key}: "):
        component("optimizer", OPTIMIZERS, {"name": "adam", "lr": 0.1, "weight_decay": 0.0, key: value})


@pytest.mark.parametrize(("name", "kind"), [("adam", FusedAdam), ("row_adam", RowAdam)])
def test_an_optimizer_is_chosen_by_name(name: str, kind: type) -> None:
    assert type(component("optimizer", OPTIMIZERS, keys_of("optimizer", name))(nn.Embedding(3, 2))) is kind
