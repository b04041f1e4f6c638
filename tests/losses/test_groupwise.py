"""Losses of a positive beside its own negatives: hand values, limits, and what the logQ correction estimates."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from toys import loss_named, pairs, random_split

from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data import Batch
from ncf.errors import ConfigError
from ncf.losses import BPR, LOSSES, LogQSoftmax, SampledSoftmax, per_example
from ncf.training.batches import Batches
from ncf.training.samplers import NegativeSampler, popularity, uniform

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [-0.5, 1.0, 0.5]])


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def drawn_with(log_probs: Tensor) -> Batch:
    """A batch whose negatives were drawn with these log-probabilities (B, K)."""
    groups, negatives = log_probs.shape
    return Batch(
        torch.zeros(groups, dtype=torch.int64),
        torch.zeros(groups, 1 + negatives, dtype=torch.int64),
        log_probs=log_probs,
    )


def test_bpr_by_hand() -> None:
    expected = [
        [0.0, minus_log_sigmoid(2.0), minus_log_sigmoid(3.0)],
        [0.0, minus_log_sigmoid(-1.5), minus_log_sigmoid(-1.0)],
    ]
    torch.testing.assert_close(BPR()(LOGITS), torch.tensor(expected))


def test_sampled_softmax_by_hand() -> None:
    total = math.exp(2.0) + math.exp(0.0) + math.exp(-1.0)
    expected = [[math.log(total) - 2.0, 0.0, 0.0]]
    torch.testing.assert_close(SampledSoftmax(candidates=None)(LOGITS[:1]), torch.tensor(expected))


def test_with_candidates_each_negative_stands_for_several_items() -> None:
    total = math.exp(2.0) + 50 * (math.exp(0.0) + math.exp(-1.0))
    expected = [[math.log(total) - 2.0, 0.0, 0.0]]
    torch.testing.assert_close(SampledSoftmax(candidates=100)(LOGITS[:1]), torch.tensor(expected))


def test_logq_softmax_by_hand() -> None:
    """Drawn with probabilities 1/8 and 1/2, two negatives stand for 4 items and for 1."""
    batch = drawn_with(torch.tensor([[1 / 8, 1 / 2]]).log())
    total = math.exp(2.0) + 4 * math.exp(0.0) + 1 * math.exp(-1.0)
    expected = [[math.log(total) - 2.0, 0.0, 0.0]]
    torch.testing.assert_close(LogQSoftmax()(LOGITS[:1], batch), torch.tensor(expected))


def test_corrected_softmax_estimates_the_full_one() -> None:
    """With the correction, groups of few negatives average to the sum over the whole catalogue."""
    stream = torch.Generator().manual_seed(0)
    scores = torch.randn(500, generator=stream, dtype=torch.float64)
    full = SampledSoftmax(candidates=None)(scores[None])[0, 0]
    drawn = scores[1:][torch.randint(499, (4000, 50), generator=stream)]
    groups = torch.cat([scores[0].expand(4000, 1), drawn], dim=1)
    assert float(SampledSoftmax(candidates=499)(groups)[:, 0].mean()) == pytest.approx(float(full), abs=0.05)
    assert float(SampledSoftmax(candidates=None)(groups)[:, 0].mean()) < float(full) - 1


def test_under_uniform_draws_logq_softmax_is_sampled_softmax_with_the_candidates_of_every_user() -> None:
    """Every user has 4 of 11 items, so that 7 can be drawn."""
    users, items = 9, 11
    liked = [(user, (user * 3 + place) % items) for user in range(users) for place in range(4)]
    sampler = uniform(pairs(liked), users, items, "cpu")
    batches = Batches(pairs(liked), sampler, 5, 60, 0, "cpu", needs={"log_probs"})
    for batch in batches.epoch(1):
        logits = torch.randn(batch.items.shape, generator=generator(1, "check"), dtype=torch.float64)
        torch.testing.assert_close(
            LogQSoftmax()(logits, batch), SampledSoftmax(candidates=7)(logits), rtol=1e-6, atol=0
        )


def expected_gradient(sampler: NegativeSampler, scores: Tensor, negatives: int, corrected: bool) -> Tensor:
    """Of the loss of user 0, who likes item 0, by the scores (I,): over every draw, weighted by its probability."""
    draws = torch.tensor(list(itertools.product(range(1, len(scores)), repeat=negatives)))
    users = torch.zeros(len(draws), dtype=torch.int64)
    batch = Batch(users, F.pad(draws, (1, 0)), log_probs=sampler.log_probs(users, draws).double())
    leaf = scores.clone().requires_grad_()
    logits = leaf[batch.items]
    losses = LogQSoftmax()(logits, batch) if corrected else SampledSoftmax(candidates=None)(logits)
    assert batch.log_probs is not None
    chances = batch.log_probs.sum(1).exp()
    assert float(chances.sum()) == pytest.approx(1)
    (gradient,) = torch.autograd.grad((losses[:, 0] * chances).sum(), leaf)
    return gradient


@pytest.mark.parametrize("power", [0.75, 1.0])
def test_with_the_correction_the_expected_gradient_is_nearer_to_the_full_softmaxs(power: float) -> None:
    """Six items, of which popular ones are drawn up to eight times as often: every draw of five is enumerated."""
    counts = [3, 1, 8, 2, 5, 1]
    others = enumerate((item for item, count in enumerate(counts) for _ in range(count)), 1)  # a user each
    make = partial(popularity, power=power)
    sampler = make(pairs([(0, 0), *others]), 1 + sum(counts), 6, "cpu")
    scores = torch.tensor([0.5, 1.2, -0.7, 0.1, 0.9, -0.2], dtype=torch.float64)
    full = scores.softmax(0) - torch.eye(6, dtype=torch.float64)[0]
    errors = {
        corrected: float((expected_gradient(sampler, scores, 5, corrected) - full).norm())
        for corrected in (True, False)
    }
    assert errors[True] < 0.6 * errors[False]


@pytest.mark.parametrize("make", [uniform, partial(popularity, power=0.75)])
def test_the_sum_that_logq_softmax_estimates_is_that_over_all_possible_negatives(make: partial) -> None:
    """E[sum of exp(x) / (K q)] over draws is the sum of exp(x): enumerated for a single negative."""
    split = random_split(8, 12)
    sampler = make(split.train, 8, 12, "cpu")
    scores = torch.randn(12, generator=generator(0, "check"), dtype=torch.float64)
    for user in range(8):
        liked = set(split.train.items[split.train.users == user].tolist())
        drawable = set(split.train.items.tolist()) if make is not uniform else set(range(12))
        possible = torch.tensor(sorted(drawable - liked))
        log_probs = sampler.log_probs(torch.tensor([user]), possible[None])[0].double()
        groups = torch.stack([torch.full_like(scores[possible], -30.0), scores[possible]], dim=1)
        losses = LogQSoftmax()(groups, drawn_with(log_probs[:, None]))[:, 0]
        sums = (losses - 30).exp() - math.exp(-30)  # log sum exp, less the positive's logit
        assert float((log_probs.exp() * sums).sum()) == pytest.approx(float(scores[possible].exp().sum()), rel=1e-5)


@pytest.mark.parametrize("loss", [BPR(), SampledSoftmax(candidates=9), SampledSoftmax(candidates=None)])
def test_adding_a_constant_to_a_users_logits_changes_nothing(loss: BPR | SampledSoftmax) -> None:
    torch.testing.assert_close(loss(LOGITS + 3.0), loss(LOGITS))


@pytest.mark.parametrize("name", ["bpr", "sampled_softmax", "logq_softmax"])
def test_far_logits_give_finite_losses_and_gradients_and_the_shape_stays(name: str) -> None:
    logits = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, 88.0], [-104.0, 30.0, 104.0]], requires_grad=True)
    batch = drawn_with(torch.tensor([[1e-7, 0.5]]).log().expand(3, -1))
    values = per_example(loss_named(name), logits, batch)
    assert values.shape == logits.shape
    assert values.isfinite().all()
    values.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^loss\.candidates: "):
        component("loss", LOSSES, {"name": "sampled_softmax", "candidates": 0})
    with pytest.raises(ConfigError, match=r"^loss\.candidates: unknown key"):
        component("loss", LOSSES, {"name": "logq_softmax", "candidates": 9})
