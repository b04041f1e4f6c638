"""Pre-trained NeuMF starts as the weighted sum of its towers' models (He et al. 2017, section 3.4.1)."""

from functools import partial
from typing import Any

import pytest
import torch

from ncf.core.config import roles
from ncf.core.rng import generator
from ncf.core.roles import MACHINE, RESULT
from ncf.errors import ConfigError
from ncf.models import GMF, MLP, NeuMF, PretrainedNeuMF, build

USERS, ITEMS = 6, 9


def made(make: partial, seed: int = 1) -> Any:
    return build(make, USERS, ITEMS, generator(seed, "initialisation"))


def neumf(alpha: float = 0.5, **other: object) -> PretrainedNeuMF:
    settings = {"gmf_factors": 3, "mlp_factors": 4, "hidden": [8, 5], "dropout": 0.0, "alpha": alpha} | other
    runs = {"pretrained_gmf": "a", "pretrained_mlp": "b", "pretrained_digest": "c"}
    return made(partial(PretrainedNeuMF, **settings, **runs), seed=3)


Towers = tuple[GMF, MLP]


@pytest.fixture
def towers() -> Towers:
    return made(partial(GMF, factors=3)), made(partial(MLP, factors=4, hidden=[8, 5], dropout=0.0), seed=2)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.0, 1.0])
def test_the_first_logits_are_the_weighted_sum_of_both(towers: Towers, alpha: float) -> None:
    gmf, mlp = towers
    model = neumf(alpha)
    model.start_from(gmf.state_dict(), mlp.state_dict())
    users = torch.arange(USERS)
    expected = alpha * gmf.score(users) + (1 - alpha) * mlp.score(users)
    torch.testing.assert_close(model.score(users), expected)


def test_what_it_starts_from_is_copied(towers: Towers) -> None:
    gmf, mlp = towers
    model = neumf()
    model.start_from(gmf.state_dict(), mlp.state_dict())
    before = gmf.tower.users.weight.clone()
    with torch.no_grad():
        model.gmf.users.weight.zero_()
    assert torch.equal(gmf.tower.users.weight, before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"gmf_factors": 2}, r"model.pretrained_gmf: expected items.weight of shape \(9, 2\).*found \(9, 3\)"),
        ({"mlp_factors": 2}, r"model.pretrained_mlp: expected first.weight of shape \(8, 4\).*found \(8, 8\)"),
        ({"hidden": [8]}, r"model.pretrained_mlp: expected upper.0.bias of shape None.*found \(5,\)"),
        ({"hidden": [8, 5, 2]}, r"model.pretrained_mlp: expected upper.1.bias of shape \(2,\).*found None"),
    ],
)
def test_other_shapes_are_refused(towers: Towers, other: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        neumf(**other).start_from(*(model.state_dict() for model in towers))


def test_the_first_gradients_reach_both_towers(towers: Towers) -> None:
    model = neumf()
    model.start_from(*(tower.state_dict() for tower in towers))
    model(torch.arange(USERS), torch.arange(2 * USERS).view(USERS, 2) % ITEMS).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_without_a_start_it_is_a_neumf_like_any_other() -> None:
    plain = made(partial(NeuMF, gmf_factors=3, mlp_factors=4, hidden=[8, 5], dropout=0.0), seed=3)
    assert torch.equal(neumf().score(torch.arange(USERS)), plain.score(torch.arange(USERS)))


def test_where_the_runs_lie_is_of_the_machine_and_what_they_hold_of_the_result() -> None:
    found = roles(PretrainedNeuMF)
    assert (found["pretrained_gmf"], found["pretrained_mlp"]) == (MACHINE, MACHINE)
    assert (found["pretrained_digest"], found["alpha"]) == (RESULT, RESULT)
