"""Pointwise losses by their formulas: hand values, identities to the bit, gradients, and logits far out."""

import itertools
import math
import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from toys import keys_of

from ncf.core.config import component
from ncf.data import Batch
from ncf.errors import ConfigError
from ncf.losses import BCE, GBCE, LOSSES, AlphaBCE, Focal, FocalClamped, ItemWeightedBCE, Loss, WeightedBCE
from ncf.losses.pointwise import signed, weighted

FAR = [-1e4, -1e3, -104.0, -88.0, -30.0, -17.3, -1.0, -1e-8, 0.0, 1e-8, 1.0, 17.3, 30.0, 88.0, 104.0, 1e3, 1e4]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def random_logits(rows: int = 40, columns: int = 6, dtype: torch.dtype = torch.float32, scale: float = 3.0) -> Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randn(rows, columns, generator=stream, dtype=dtype) * scale


def test_the_logit_of_the_truth_and_the_weights_of_the_columns() -> None:
    logits = torch.tensor([[[1.0, 2.0, -3.0]], [[0.0, -1.0, 4.0]]])
    assert signed(logits).tolist() == [[[1.0, -2.0, 3.0]], [[0.0, 1.0, -4.0]]]
    assert weighted(logits, 2.0, 10.0).tolist() == [[[2.0, 20.0, -30.0]], [[0.0, -10.0, 40.0]]]


def reference(logits: Tensor, gamma: float, positive: float, negative: float) -> Tensor:
    """Lin et al. 2017, eq. 5, as one would write it down; autograd takes its gradient."""
    labels = torch.zeros_like(logits)
    labels[..., 0] = 1
    z = (2 * labels - 1) * logits
    weight = torch.where(labels == 1, positive, negative)
    return -weight * torch.sigmoid(-z) ** gamma * F.logsigmoid(z)


def gradient(loss: Loss, logits: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    loss(logits).sum().backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize(
    ("loss", "p", "column", "expected"),
    [
        (BCE(), 0.95, 0, 0.051293),
        (BCE(), 0.05, 1, 0.051293),
        (Focal(gamma=2.0, alpha=0.25), 0.95, 0, 0.000032),
        (Focal(gamma=2.0, alpha=0.25), 0.05, 1, 0.000096),
        (Focal(gamma=2.0, alpha=0.25), 0.3, 0, 0.147487),
        (Focal(gamma=2.0, alpha=0.25), 0.7, 1, 0.442460),
        (AlphaBCE(alpha=0.25), 0.5, 0, 0.25 * math.log(2)),
        (AlphaBCE(alpha=0.25), 0.5, 1, 0.75 * math.log(2)),
    ],
)
def test_values_worked_by_hand(loss: Loss, p: float, column: int, expected: float) -> None:
    logits = torch.zeros(1, 2)
    logits[0, column] = logit(p)
    assert loss(logits)[0, column].item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.5, 0.9])
def test_focal_with_gamma_nought_is_alpha_bce_to_the_bit(alpha: float) -> None:
    logits = torch.cat([random_logits(), torch.tensor(FAR)[:, None].expand(-1, 6)])
    focal, bce = Focal(gamma=0.0, alpha=alpha), AlphaBCE(alpha=alpha)
    assert torch.equal(focal(logits), bce(logits))
    assert torch.equal(gradient(focal, logits), gradient(bce, logits))


def test_alpha_bce_with_a_half_is_half_of_bce_to_the_bit() -> None:
    logits = torch.cat([random_logits(), torch.tensor(FAR)[:, None].expand(-1, 6)])
    assert torch.equal(AlphaBCE(alpha=0.5)(logits), BCE()(logits) / 2)
    assert torch.equal(gradient(AlphaBCE(alpha=0.5), logits), gradient(BCE(), logits) / 2)


def test_bce_is_pytorch_s() -> None:
    logits = random_logits()
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    torch.testing.assert_close(BCE()(logits), F.binary_cross_entropy_with_logits(logits, labels, reduction="none"))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_focal_loss_is_equation_5_and_its_derivative(gamma: float, alpha: float) -> None:
    logits = random_logits(dtype=torch.float64)
    focal = Focal(gamma=gamma, alpha=alpha)
    torch.testing.assert_close(focal(logits), reference(logits, gamma, alpha, 1 - alpha))
    plain = gradient(lambda x: reference(x, gamma, alpha, 1 - alpha), logits)
    torch.testing.assert_close(gradient(focal, logits), plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 20.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_far_logits_have_finite_values_and_gradients(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor(FAR, dtype=dtype)[:, None].expand(-1, 3)
    focal = Focal(gamma=gamma, alpha=0.25)
    assert focal(logits).isfinite().all()
    assert gradient(focal, logits).isfinite().all()
    assert focal(logits).dtype == dtype


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_far_logits_have_their_limits(gamma: float) -> None:
    """A hopeless example costs w |z| and pulls with slope w; a certain one costs and pulls nothing."""
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4]])
    focal = Focal(gamma=gamma, alpha=0.25)
    assert focal(logits).tolist() == [[2500.0, 7500.0], [0.0, 0.0]]
    assert gradient(focal, logits).tolist() == [[-0.25, 0.75], [0.0, 0.0]]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_single_precision_agrees_with_double(gamma: float) -> None:
    """To a few parts in a million, also where 1 - p is as small as 1e-12."""
    logits = torch.linspace(-27, 27, 5401)[:, None].expand(-1, 2).contiguous()
    focal = Focal(gamma=gamma, alpha=0.25)
    torch.testing.assert_close(focal(logits).double(), focal(logits.double()), rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient(focal, logits).double(), gradient(focal, logits.double()), rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", [BCE(), AlphaBCE(alpha=0.25), Focal(gamma=2.0, alpha=0.25)])
def test_a_better_logit_never_costs_more(loss: Loss) -> None:
    values = loss(torch.linspace(-50, 50, 20001)[:, None].expand(-1, 2).double())
    assert (values[:, 0].diff() <= 0).all()
    assert (values[:, 1].diff() >= 0).all()


def test_focusing_never_raises_a_loss() -> None:
    logits = random_logits()
    values = [Focal(gamma=g, alpha=0.25)(logits) for g in (0.0, 0.5, 1.0, 2.0, 5.0)]
    assert all((b <= a).all() for a, b in itertools.pairwise(values))


@pytest.mark.parametrize(("neg_ratio", "alpha"), [(4, 0.8), (10, 10 / 11), (50, 50 / 51)])
def test_balanced_alpha_gives_both_classes_one_weight(neg_ratio: int, alpha: float) -> None:
    logits = torch.zeros(1, 1 + neg_ratio)
    values = AlphaBCE(alpha="balanced")(logits)[0]
    assert values[0].item() == pytest.approx(values[1:].sum().item(), rel=1e-5)
    assert torch.equal(AlphaBCE(alpha="balanced")(logits), AlphaBCE(alpha=alpha)(logits))


def published(logits: Tensor, gamma: float, alpha: float) -> Tensor:
    """The FocalLoss of the published notebook, which expects probabilities, on what RecBole's NeuMF returns."""
    target = torch.zeros_like(logits)
    target[..., 0] = 1
    p = torch.clamp(logits, 1e-7, 1.0 - 1e-7)
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return -alpha_t * (1 - p_t) ** gamma * torch.log(p_t)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_clamped_loss_is_the_published_one(gamma: float) -> None:
    logits = random_logits(scale=1.0)
    clamped = FocalClamped(gamma=gamma, alpha=0.25)
    torch.testing.assert_close(clamped(logits), published(logits, gamma, 0.25))
    plain = gradient(lambda x: published(x, gamma, 0.25), logits)
    torch.testing.assert_close(gradient(clamped, logits), plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_clamped_loss_has_no_gradient_outside_the_unit_interval(gamma: float) -> None:
    logits = torch.tensor([-1e4, -1.0, -1e-3, 1.001, 2.0, 1e4])[:, None].expand(-1, 3)
    assert not gradient(FocalClamped(gamma=gamma, alpha=0.25), logits).any()
    inside = torch.tensor([[0.2, 0.2], [0.9, 0.9]])
    assert gradient(FocalClamped(gamma=gamma, alpha=0.25), inside).all()


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [-0.5, 1.0, 0.5]])


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_weighted_bce_counts_a_positive_several_times() -> None:
    expected = [[5 * minus_log_sigmoid(2.0), minus_log_sigmoid(0.0), minus_log_sigmoid(1.0)]]
    torch.testing.assert_close(WeightedBCE(positive_weight=5.0)(LOGITS[:1]), torch.tensor(expected))
    assert torch.equal(WeightedBCE(positive_weight=1.0)(LOGITS), BCE()(LOGITS))


def test_gbce_weighs_the_positive_as_the_paper_writes_it() -> None:
    drawn = 2 / 100
    beta = drawn * (0.75 * (1 - 1 / drawn) + 1 / drawn)
    assert GBCE(t=0.75, candidates=100).beta(2) == pytest.approx(beta) == pytest.approx(0.265)
    expected = BCE()(LOGITS) * torch.tensor([beta, 1.0, 1.0])
    torch.testing.assert_close(GBCE(t=0.75, candidates=100)(LOGITS), expected)


def test_gbce_is_bce_without_correction_and_where_every_negative_is_drawn() -> None:
    assert torch.equal(GBCE(t=0.0, candidates=100)(LOGITS), BCE()(LOGITS))
    for candidates in (1, 2):
        assert torch.equal(GBCE(t=1.0, candidates=candidates)(LOGITS), BCE()(LOGITS))


@pytest.mark.parametrize("loss", [WeightedBCE(positive_weight=2.0), GBCE(t=0.5, candidates=9)])
def test_far_logits_give_finite_weighted_losses_that_pull_the_right_way(loss: Loss) -> None:
    logits = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, 88.0], [-104.0, 30.0, 104.0]])
    assert loss(logits).isfinite().all()
    pull = gradient(loss, logits)
    assert pull.isfinite().all()
    assert pull[0, 0] < 0 < pull[0, 1]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("focal", "gamma", -1.0),
        ("focal", "gamma", "two"),
        ("focal", "alpha", 1.5),
        ("focal", "alpha", -0.1),
        ("focal", "alpha", 0.0),
        ("focal", "alpha", 1.0),
        ("focal", "alpha", "balance"),
        ("alpha_bce", "alpha", 1.5),
        ("focal_clamped", "gamma", -0.5),
        ("focal_clamped", "alpha", 2.0),
        ("weighted_bce", "positive_weight", 0.0),
        ("gbce", "t", 1.5),
        ("gbce", "candidates", 0),
        ("gbce", "candidates", "???"),
    ],
)
def test_values_out_of_range_are_refused_by_their_key(name: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^loss\.{key}: .*got {re.escape(repr(value))}$"):
        component("loss", LOSSES, keys_of("loss", name) | {key: value})


def test_a_positive_of_a_rare_item_weighs_more_and_with_power_1_every_item_the_same_in_total() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    batch = Batch(torch.arange(4), torch.arange(12).view(4, 3), frequencies=torch.tensor([0.5, 1.0, 2.0, 4.0]))
    plain = WeightedBCE(positive_weight=3.0)(logits)
    assert torch.equal(ItemWeightedBCE(positive_weight=3.0, power=0.0)(logits, batch), plain)
    weighted = ItemWeightedBCE(positive_weight=3.0, power=0.5)(logits, batch)
    torch.testing.assert_close(weighted[:, 0] / plain[:, 0], torch.tensor([2**0.5, 1.0, 0.5**0.5, 0.5]))
    assert torch.equal(weighted[:, 1:], plain[:, 1:])
    total = ItemWeightedBCE(positive_weight=3.0, power=1.0)(logits, batch)[:, 0] / plain[:, 0] * batch.frequencies
    torch.testing.assert_close(total, torch.ones(4))
