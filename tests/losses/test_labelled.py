"""The losses of logits and labels of any shape are those by name on groups."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import loss_named

from ncf.errors import ConfigError
from ncf.losses import LOSSES, AlphaBCE, BatchLoss, Focal, FocalFamily, alpha_bce, bce, focal
from ncf.losses.pointwise import BCE

GROUPS = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABELS = torch.zeros(7, 5).index_fill(1, torch.tensor(0), 1)
PAIRS: list[tuple[FocalFamily, Callable[..., Tensor]]] = [
    (BCE(), bce),
    (AlphaBCE(alpha=0.3), lambda x, y, **own: alpha_bce(x, y, 0.3, **own)),
    (AlphaBCE(alpha="balanced"), lambda x, y, **own: alpha_bce(x, y, "balanced", **own)),
    (Focal(gamma=2.0, alpha=0.25), lambda x, y, **own: focal(x, y, 2.0, 0.25, **own)),
    (Focal(gamma=0.5, alpha="balanced"), lambda x, y, **own: focal(x, y, 0.5, "balanced", **own)),
]


@pytest.mark.parametrize(("named", "function"), PAIRS)
def test_on_groups_they_are_the_losses_by_name(named: FocalFamily, function: Callable[..., Tensor]) -> None:
    torch.testing.assert_close(function(GROUPS, LABELS, reduction="none"), named(GROUPS))
    torch.testing.assert_close(function(GROUPS, LABELS), named(GROUPS).mean())
    torch.testing.assert_close(function(GROUPS, LABELS, reduction="sum"), named(GROUPS).sum())


@pytest.mark.parametrize(("named", "function"), PAIRS)
def test_the_order_and_shape_of_what_is_labelled_do_not_matter(
    named: FocalFamily, function: Callable[..., Tensor]
) -> None:
    order = torch.randperm(35, generator=torch.Generator().manual_seed(1))
    flat = function(GROUPS.flatten()[order], LABELS.flatten()[order], reduction="none")
    torch.testing.assert_close(flat, named(GROUPS).flatten()[order])
    assert function(GROUPS.view(7, 5, 1), LABELS.view(7, 5, 1), reduction="none").shape == (7, 5, 1)


def test_values_by_hand() -> None:
    logits, labels = torch.tensor([0.0, math.log(3)]), torch.tensor([1, 0])  # p of the truth: 1/2 and 1/4
    torch.testing.assert_close(bce(logits, labels, "none"), torch.tensor([math.log(2), math.log(4)]))
    expected = torch.tensor([0.25 * 0.25 * math.log(2), 0.75 * 0.5625 * math.log(4)])
    torch.testing.assert_close(focal(logits, labels, 2.0, 0.25, "none"), expected)


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32, torch.float64])
def test_labels_may_be_of_any_kind(kind: torch.dtype) -> None:
    torch.testing.assert_close(bce(GROUPS, LABELS.to(kind)), bce(GROUPS, LABELS))


def test_arrays_of_numpy_are_taken() -> None:
    found = focal(GROUPS.numpy(), LABELS.numpy().astype(bool), 2.0, 0.25)
    torch.testing.assert_close(found, focal(GROUPS, LABELS, 2.0, 0.25))
    assert found.dtype == torch.float64


@pytest.mark.parametrize(("_named", "function"), PAIRS)
def test_two_derivatives(_named: FocalFamily, function: Callable[..., Tensor]) -> None:
    logits = GROUPS[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, LABELS[:2]), logits)
    assert torch.autograd.gradgradcheck(lambda x: function(x, LABELS[:2]), logits)


@pytest.mark.parametrize(("_named", "function"), PAIRS)
def test_extreme_logits_stay_finite(_named: FocalFamily, function: Callable[..., Tensor]) -> None:
    logits = torch.tensor([-1e4, 1e4, -104.0, 104.0, 0.0, -1e4, 1e4]).requires_grad_()
    labels = torch.tensor([1, 0, 1, 0, 1, 0, 1])
    losses = function(logits, labels, reduction="none")
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert float(losses[0].detach()) > 1e3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bce(GROUPS, LABELS[:, :1]), r"labels: expected the shape of the logits, \(7, 5\), got \(7, 1\)"),
        (lambda: bce(GROUPS[:, 0], LABELS[:, :1]), r"labels: expected the shape of the logits, \(7,\), got \(7, 1\)"),
        (lambda: bce(GROUPS, LABELS * 2), r"labels: expected 0 and 1 only, got 2\.0"),
        (lambda: bce(GROUPS, LABELS - torch.nan), "labels: expected 0 and 1 only, got nan"),
        (lambda: bce(GROUPS.long(), LABELS), "logits: expected floating-point numbers, got torch.int64"),
        (lambda: bce([0.0], [1]), "logits: expected a torch tensor or NumPy array, got list"),
        (lambda: bce(GROUPS, np.full((7, 5), "yes")), "labels: expected an array of numbers, got one of <U3"),
        (lambda: bce(GROUPS, LABELS, "median"), "reduction: expected mean, sum or none, got 'median'"),
        (lambda: focal(GROUPS, LABELS, -1.0, 0.25), "gamma: .*greater than or equal to 0, got -1.0"),
        (lambda: alpha_bce(GROUPS, LABELS, 1.0), "alpha: .*less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(), (6,)])
def test_losses_by_name_do_not_take_a_vector_for_one_group(name: str, shape: tuple[int, ...]) -> None:
    loss = loss_named(name)
    with pytest.raises(ConfigError, match=r"^loss: expected logits \(B, 1\+K\).*, got shape \(6?,?\)") as caught:
        loss(torch.zeros(shape), None) if isinstance(loss, BatchLoss) else loss(torch.zeros(shape))
    assert isinstance(caught.value, ValueError)


def test_arrays_are_taken_however_they_lie_in_memory() -> None:
    logits, labels = GROUPS.numpy(), LABELS.numpy().astype(np.int64)
    frozen = logits.copy()
    frozen.flags.writeable = False
    repeated = np.broadcast_to(labels[0], labels.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, y in (
            (frozen, repeated),
            (logits[::-1].copy()[::-1], labels[:, ::-1].copy()[:, ::-1]),
            (logits.astype(">f8"), labels.astype(">i4")),
            (logits.astype(object), labels.astype(object)),
            (logits.astype(np.longdouble), labels.astype(np.uint16)),
            (np.ma.masked_array(logits), np.ma.masked_array(labels)),
        ):
            torch.testing.assert_close(focal(x, y, 2.0, 0.25), focal(GROUPS, LABELS, 2.0, 0.25), rtol=0, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [np.ma.masked_less(GROUPS.numpy(), 0), GROUPS.to_sparse(), GROUPS.numpy().astype(str), np.full((7, 5), None)],
)
def test_what_holds_no_numbers_is_refused_on_either_side(wrong: Any) -> None:
    for logits, labels, name in ((wrong, LABELS, "logits"), (GROUPS, wrong, "labels")):
        with pytest.raises(ConfigError, match=rf"^{name}: expected [^\n]*$"):
            bce(logits, labels)


@pytest.mark.parametrize(("_named", "function"), PAIRS)
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_an_infinite_logit_has_the_loss_of_certainty(
    _named: FocalFamily, function: Callable[..., Tensor], gamma: float
) -> None:
    """0 where it is right, and infinity where it is wrong."""
    logits, labels = torch.tensor([math.inf, -math.inf, -math.inf, math.inf]), torch.tensor([1, 0, 1, 0])
    expected = [0.0, 0.0, math.inf, math.inf]
    assert function(logits, labels, reduction="none").tolist() == expected
    assert focal(logits, labels, gamma, 0.5, "none").tolist() == expected
