"""Weighted, generalised and pairwise losses: hand values, limits, and the shape that the trainer reduces."""

import math

import pytest
import torch

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.losses import BCE, BPR, GBCE, LOSSES, SampledSoftmax, WeightedBCE

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [-0.5, 1.0, 0.5]])


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_weighted_bce_by_hand():
    expected = [[5 * minus_log_sigmoid(2.0), minus_log_sigmoid(0.0), minus_log_sigmoid(1.0)]]
    torch.testing.assert_close(WeightedBCE(positive_weight=5.0)(LOGITS[:1]), torch.tensor(expected))
    assert torch.equal(WeightedBCE(positive_weight=1.0)(LOGITS), BCE()(LOGITS))


def test_gbce_by_hand():
    drawn = 2 / 100
    beta = drawn * (0.75 * (1 - 1 / drawn) + 1 / drawn)  # as the paper writes it
    assert beta == pytest.approx(0.265)
    expected = BCE()(LOGITS) * torch.tensor([beta, 1.0, 1.0])
    torch.testing.assert_close(GBCE(t=0.75, candidates=100)(LOGITS), expected)
    assert torch.equal(GBCE(t=0.0, candidates=100)(LOGITS), BCE()(LOGITS))
    assert GBCE(t=1.0, candidates=2).kernel(2) == (0.0, 1.0, 1.0)


def test_bpr_by_hand():
    expected = [
        [0.0, minus_log_sigmoid(2.0), minus_log_sigmoid(3.0)],
        [0.0, minus_log_sigmoid(-1.5), minus_log_sigmoid(-1.0)],
    ]
    torch.testing.assert_close(BPR()(LOGITS), torch.tensor(expected))


def test_sampled_softmax_by_hand():
    total = math.exp(2.0) + math.exp(0.0) + math.exp(-1.0)
    expected = [[math.log(total) - 2.0, 0.0, 0.0]]
    torch.testing.assert_close(SampledSoftmax(candidates=None)(LOGITS[:1]), torch.tensor(expected))


def test_corrected_softmax_estimates_the_full_one():
    """With the correction, groups of few negatives average to the sum over the whole catalogue."""
    stream = torch.Generator().manual_seed(0)
    scores = torch.randn(500, generator=stream, dtype=torch.float64)
    full = SampledSoftmax(candidates=None)(scores)[0]
    drawn = scores[1:][torch.randint(499, (4000, 50), generator=stream)]
    groups = torch.cat([scores[0].expand(4000, 1), drawn], dim=1)
    assert float(SampledSoftmax(candidates=499)(groups)[:, 0].mean()) == pytest.approx(float(full), abs=0.05)
    assert float(SampledSoftmax(candidates=None)(groups)[:, 0].mean()) < float(full) - 1


@pytest.mark.parametrize("loss", [BPR(), SampledSoftmax(candidates=9), SampledSoftmax(candidates=None)])
def test_adding_a_constant_to_a_users_logits_changes_nothing(loss):
    torch.testing.assert_close(loss(LOGITS + 3.0), loss(LOGITS))


@pytest.mark.parametrize("loss", [WeightedBCE(positive_weight=2.0), GBCE(t=0.5, candidates=9), BPR(),
                                  SampledSoftmax(candidates=9)])  # fmt: skip
def test_far_logits_give_finite_losses_and_gradients_and_the_shape_stays(loss):
    logits = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, 88.0], [-104.0, 30.0, 104.0]], requires_grad=True)
    values = loss(logits)
    assert values.shape == logits.shape
    assert values.isfinite().all()
    values.sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "weighted_bce", "positive_weight": 0.0}, "loss.positive_weight"),
        ({"name": "gbce", "t": 1.5, "candidates": 10}, "loss.t"),
        ({"name": "gbce", "t": 0.5, "candidates": "???"}, "loss.candidates.*got '\\?\\?\\?'"),
        ({"name": "sampled_softmax", "candidates": 0}, "loss.candidates"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        component("loss", LOSSES, settings)
