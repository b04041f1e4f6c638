"""`build`: weights drawn from one stream, spread as they should be; and what a gradient step reaches."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from scipy import stats
from torch import nn
from toy_models import BY_GRADIENT, SPLIT, model_keys

from ncf.core.config import component
from ncf.core.rng import generator
from ncf.models import MODELS, NonGradientRecommender, RatingRecommender, Recommender, build, knn

SIZES = {"factors": 16, "gmf_factors": 16, "mlp_factors": 16, "hidden": [32, 16]}


def make(name: str, users: int = 300, items: int = 200, seed: int = 42) -> Recommender:
    """A model of some size with its weights drawn."""
    keys = model_keys(name)
    keys |= {key: value for key, value in SIZES.items() if key in keys}
    made: Recommender = build(component("model", MODELS, keys), users, items, generator(seed, "initialisation"))
    return made


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_embeddings_are_normal_and_layers_uniform_within_their_fan_in(name: str) -> None:
    for module in make(name).modules():
        if isinstance(module, nn.Embedding) and module.weight.numel() >= 200:
            assert stats.kstest(module.weight.detach().flatten().numpy(), stats.norm(0, 0.01).cdf).pvalue > 1e-4
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            weights = torch.cat([module.weight.detach().flatten(), module.bias.detach()]).numpy()
            assert stats.kstest(weights, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4


def test_layers_are_spread_as_pytorch_spreads_them() -> None:
    """PyTorch's own bound, Kaiming uniform with a = sqrt(5), is 1 / sqrt(fan-in)."""
    layer, bound = nn.Linear(64, 4000), 64**-0.5
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert layer.bias.abs().max().item() == pytest.approx(bound, rel=1e-2)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_the_seed_decides_every_weight_and_the_global_state_none(name: str, untouched: Callable[[], bool]) -> None:
    first, second, other = make(name), make(name), make(name, seed=43)
    assert untouched()
    for (key, a), b, c in zip(
        first.state_dict().items(), second.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c), key
        assert a.isfinite().all()


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_gradient_reaches_the_users_and_items_of_the_batch_and_every_layer(name: str) -> None:
    model = make(name, 20, 30)
    users, items = torch.tensor([3, 7]), torch.tensor([[1, 2, 29], [2, 4, 1]])
    model(users, items).square().sum().backward()
    if isinstance(model, RatingRecommender):  # its layers are those of its second head
        model.rate(users.repeat_interleave(3), items.flatten()).square().sum().backward()
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings > 1:
            touched = module.weight.grad.abs().sum(1).nonzero().flatten().tolist()
            assert touched == ([3, 7] if module.num_embeddings == 20 else [1, 2, 4, 29])
        elif isinstance(module, nn.Linear):
            assert module.weight.grad.any()
            assert module.bias.grad.any()


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_forward_gives_a_logit_for_each_pair(name: str) -> None:
    users, items = torch.tensor([3, 7]), torch.tensor([[1, 2, 29], [2, 4, 1]])
    logits = make(name, 20, 30)(users, items)
    assert logits.shape == (2, 3)
    assert logits.dtype == torch.float32
    assert logits.requires_grad


def test_a_model_without_gradient_is_built_by_its_settings_and_draws_nothing(untouched: Callable[[], bool]) -> None:
    model = build(partial(knn.UserKNN, k=2, similarity="cosine", shrinkage=0.0), 12, 15, generator(0, "initialisation"))
    assert isinstance(model, NonGradientRecommender)
    model.fit(SPLIT)
    assert untouched()


def test_models_are_built_on_the_cpu_whatever_they_are_moved_to_later() -> None:
    for name in MODELS:
        assert {tensor.device.type for tensor in make(name, 20, 30).state_dict().values()} <= {"cpu"}
