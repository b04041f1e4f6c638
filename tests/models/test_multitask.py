"""The model of two heads, by its formulas and by what its heads share; what any model must pass is in test_base.py."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ncf.core.rng import generator
from ncf.losses import BPR
from ncf.models import build
from ncf.models.multitask import MultiTask

USERS, ITEMS = torch.tensor([3, 0, 3]), torch.tensor([[1, 2], [4, 0], [6, 1]])


def made(**changes: Any) -> MultiTask:
    settings = {"shared": True, "factors": 4, "hidden": [5, 3], "user_bias": False} | changes
    model = build(lambda users, items: MultiTask(users, items, **settings), 5, 7, generator(1, "initialisation"))
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def touched(model: MultiTask, output: Tensor) -> set[str]:
    """The parameters with a gradient other than zero."""
    model.zero_grad()
    output.square().sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_ranking_head_is_an_inner_product_and_the_items_bias() -> None:
    model = made()
    u, q, bias = model.ranking.users.weight, model.ranking.items.weight, model.item_bias.weight
    expected = torch.stack([(u[user] * q[items]).sum(-1) + bias[items, 0] for user, items in zip(USERS, ITEMS)])
    torch.testing.assert_close(model(USERS, ITEMS), expected)


@pytest.mark.parametrize("shared", [True, False])
def test_the_rating_head_is_layers_on_factors_and_their_product(shared: bool) -> None:
    model = made(shared=shared)
    tables = model.ranking if shared else model.apart
    assert tables is not None
    u, q = tables.users.weight[USERS], tables.items.weight[ITEMS[:, 0]]
    hidden = torch.cat([u, q, u * q], 1)
    for layer in model.layers[:-1]:
        hidden = F.relu(hidden @ layer.weight.T + layer.bias)
    last = model.layers[-1]
    torch.testing.assert_close(model.rate(USERS, ITEMS[:, 0]), (hidden @ last.weight.T + last.bias)[:, 0])
    assert [tuple(layer.weight.shape) for layer in model.layers] == [(5, 12), (3, 5), (1, 3)]


def test_shared_factors_learn_from_both_heads_and_separate_ones_from_their_own() -> None:
    shared, separate = made(), made(shared=False)
    both = {"ranking.users.weight", "ranking.items.weight"}
    assert both == touched(shared, shared(USERS, ITEMS)) & touched(shared, shared.rate(USERS, ITEMS[:, 0]))
    assert not touched(separate, separate(USERS, ITEMS)) & touched(separate, separate.rate(USERS, ITEMS[:, 0]))
    assert sum(p.numel() for p in separate.parameters()) - sum(p.numel() for p in shared.parameters()) == 4 * (5 + 7)


def test_a_users_bias_has_no_gradient_under_bpr_and_changes_no_ranking() -> None:
    model = made(user_bias=True)
    BPR()(model(USERS, ITEMS)).sum().backward()
    assert model.user_bias is not None
    bias = model.user_bias.weight
    assert bias.grad is not None
    largest = model.ranking.users.weight.grad.abs().max()
    assert bias.grad.abs().max() < 1e-6 * largest  # exactly zero in exact arithmetic: the terms of a pair cancel
    order = model.score(torch.arange(5)).argsort(1)
    with torch.no_grad():
        bias.add_(torch.randn(5, 1, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(model.score(torch.arange(5)).argsort(1), order)
