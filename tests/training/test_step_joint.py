"""Steps of two heads: each alone is the model that it should be, and together they add up."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from toy_training import SPLIT, adam, batches, step_of

from ncf.core.rng import generator
from ncf.data import Batch
from ncf.losses import BPR, BPRRating
from ncf.models import build
from ncf.models.mf import MF
from ncf.models.multitask import MultiTask
from ncf.training.step import JointStep, PlainStep, Step


def made(shared: bool = True, dtype: torch.dtype = torch.float32, **settings: Any) -> MultiTask:
    keys = {"shared": shared, "factors": 6, "hidden": [8, 4], "user_bias": False} | settings
    make = lambda users, items: MultiTask(users, items, **keys)  # noqa: E731
    return build(make, SPLIT.num_users, SPLIT.num_items, generator(3, "initialisation")).to(dtype)


def joint(ranking: float, rating: float) -> BPRRating:
    return BPRRating(ranking=ranking, rating=rating, link="log")


def stream() -> list[Batch]:
    return [batch for epoch in (1, 2, 3) for batch in batches(needs={"ratings"}).epoch(epoch)]


def trained(step: Step) -> Step:
    for batch in stream():
        step(batch)
    return step


def test_with_a_loss_of_both_heads_the_step_is_the_joint_one_however_fast() -> None:
    assert type(step_of(made(), joint(1.0, 1.0), fast=True)) is JointStep
    assert type(step_of(made(), joint(1.0, 1.0), fast=False)) is JointStep


def test_the_ranking_head_alone_is_bpr_mf_to_the_bit() -> None:
    """MF has user and global biases as well, without gradient under BPR but for rounding, so they are held at zero."""
    model = made()
    mf = build(lambda u, i: MF(u, i, factors=6), SPLIT.num_users, SPLIT.num_items, generator(9, "initialisation"))
    with torch.no_grad():
        for own, other in _alike(model, mf):
            other.copy_(own)
        mf.user_bias.weight.zero_()
        mf.bias.weight.zero_()
    mf.user_bias.requires_grad_(False)
    mf.bias.requires_grad_(False)
    trained(JointStep(model, joint(1.0, 0.0), adam(model, lr=0.01, weight_decay=0.0)))
    trained(PlainStep(mf, BPR(), adam(mf, lr=0.01, weight_decay=0.0)))
    for own, other in _alike(model, mf):
        assert torch.equal(own, other)
    assert not torch.equal(mf.users.weight, made().ranking.users.weight)


def _alike(model: MultiTask, mf: MF) -> list[tuple[Tensor, Tensor]]:
    own = model.ranking.users.weight, model.ranking.items.weight, model.item_bias.weight
    return list(zip(own, (mf.users.weight, mf.items.weight, mf.item_bias.weight)))


@pytest.mark.parametrize("shared", [True, False])
def test_the_rating_head_alone_is_a_regression_on_the_same_stream(shared: bool) -> None:
    model, twin = made(shared, torch.float64), made(shared, torch.float64)
    trained(JointStep(model, joint(0.0, 1.0), adam(model, lr=0.01, weight_decay=0.0)))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    tables = twin.ranking if shared else twin.apart
    assert tables is not None
    for batch in stream():
        u, q = tables.users(batch.users), tables.items(batch.items[:, 0])
        hidden = torch.cat([u, q, u * q], 1)
        for layer in twin.layers[:-1]:
            hidden = F.relu(F.linear(hidden, layer.weight, layer.bias))
        predicted = F.linear(hidden, twin.layers[-1].weight, twin.layers[-1].bias)[:, 0]
        assert batch.ratings is not None
        optimizer.zero_grad()
        # the mean over rows has a zero for each of the four negatives
        ((predicted - batch.ratings) ** 2).mean().div(5).backward()
        optimizer.step()
    for (name, own), other in zip(model.named_parameters(), twin.parameters()):
        torch.testing.assert_close(own, other, rtol=1e-8, atol=1e-10, msg=name)
    assert not torch.equal(model.layers[0].weight, made(shared, torch.float64).layers[0].weight)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_of_both_are_the_sum_of_each(shared: bool) -> None:
    def gradients(ranking: float, rating: float) -> dict[str, Tensor]:
        step = JointStep(
            model := made(shared, torch.float64), joint(ranking, rating), adam(model, lr=0.01, weight_decay=0.0)
        )
        step.backward(stream()[0])
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    both, ranking, rating = gradients(0.7, 0.2), gradients(1.0, 0.0), gradients(0.0, 1.0)
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, 0.7 * ranking[name] + 0.2 * rating[name])
    shared_table = both["ranking.users.weight"]
    apart = torch.allclose(shared_table, 0.7 * ranking["ranking.users.weight"])
    assert apart != shared  # a wrong sum is seen: the rating's gradient reaches the table of both


def test_separate_heads_under_adam_do_not_see_their_weights_and_shared_ones_do() -> None:
    """Adam divides a constant factor of a gradient out again, but for its epsilon."""

    def after(shared: bool, ranking: float, rating: float) -> MultiTask:
        model = made(shared, torch.float64)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-30)
        trained(JointStep(model, joint(ranking, rating), optimizer))
        return model

    for shared in (True, False):
        states = [after(shared, *weights).state_dict() for weights in ((0.99, 0.01), (0.5, 0.5))]
        alike = all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(*(s.values() for s in states)))
        assert alike != shared


def test_an_epochs_task_losses_are_means_without_weights() -> None:
    model = made(dtype=torch.float64)
    step = JointStep(model, joint(0.0, 1e-9), adam(model, lr=0.0, weight_decay=0.0))
    ranking, rating = [], []
    for batch in batches(needs={"ratings"}).epoch(1):
        step(batch)
        assert batch.ratings is not None
        ranking.append(BPR()(model(batch.users, batch.items))[:, 1:].mean(1))
        rating.append((model.rate(batch.users, batch.items[:, 0]) - batch.ratings) ** 2)
    sums = step.tally.task_sums
    torch.testing.assert_close(sums["ranking"], torch.cat(ranking).sum().detach())
    torch.testing.assert_close(sums["rating"], torch.cat(rating).sum().detach())
    step.tally.reset()
    assert not step.tally.task_sums
