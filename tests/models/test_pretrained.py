"""Pre-trained NeuMF starts as the weighted sum of its towers' models (He et al. 2017, section 3.4.1)."""

from functools import partial

import pytest
import torch

from ncf.core.rng import generator
from ncf.errors import ConfigError
from ncf.models import GMF, MLP, PretrainedNeuMF, build

USERS, ITEMS = 6, 9


def made(make: partial, seed: int = 1) -> torch.nn.Module:
    return build(make, USERS, ITEMS, generator(seed, "initialisation"))


def neumf(alpha: float = 0.5, **other: object) -> torch.nn.Module:
    settings = {"gmf_factors": 3, "mlp_factors": 4, "hidden": [8, 5], "alpha": alpha} | other
    runs = {"pretrained_gmf": "a", "pretrained_mlp": "b", "pretrained_digest": "c"}
    return made(partial(PretrainedNeuMF, **settings, **runs), seed=3)


@pytest.fixture
def towers() -> tuple[torch.nn.Module, torch.nn.Module]:
    return made(partial(GMF, factors=3)), made(partial(MLP, factors=4, hidden=[8, 5]), seed=2)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.0, 1.0])
def test_the_first_logits_are_the_weighted_sum_of_both(towers, alpha):
    gmf, mlp = towers
    model = neumf(alpha)
    model.start_from(gmf.state_dict(), mlp.state_dict())
    users = torch.arange(USERS)
    expected = alpha * gmf.score(users) + (1 - alpha) * mlp.score(users)
    torch.testing.assert_close(model.score(users), expected)


def test_what_it_starts_from_is_copied(towers):
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
def test_other_shapes_are_refused(towers, other, message):
    with pytest.raises(ConfigError, match=message):
        neumf(**other).start_from(*(model.state_dict() for model in towers))
