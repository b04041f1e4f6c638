"""The fused kernel is the formula: the same values and gradients, at every logit and gamma, in one pass."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradgradcheck
from toys import loss_named

from ncf.data import Batch
from ncf.losses import BCE, GBCE, LOSSES, AlphaBCE, Focal, FocalFamily, Loss, WeightedBCE, per_example
from ncf.losses.kernel import focal_kernel, focal_losses, fused_per_example, losses_and_logit_grad

FAR = [-1e4, -104.0, -88.0, -80.0, -30.0, -17.3, -1.0, -1e-8, 0.0, 1e-8, 1.0, 17.3, 30.0, 80.0, 88.0, 104.0, 1e4]
GAMMAS = [0.0, 0.3, 2.0, 5.0]
FAMILY: list[FocalFamily] = [
    BCE(), AlphaBCE(alpha=0.25), AlphaBCE(alpha="balanced"), WeightedBCE(positive_weight=5.0),
    GBCE(t=0.75, candidates=40), *(Focal(gamma=gamma, alpha=0.25) for gamma in GAMMAS),
]  # fmt: skip


def random_logits(rows: int = 40, columns: int = 6, dtype: torch.dtype = torch.float32) -> Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randn(rows, columns, generator=stream, dtype=dtype) * 3


def every_logit(dtype: torch.dtype, columns: int = 5) -> Tensor:
    """Random ones, and far ones in each column."""
    return torch.cat([random_logits(40, columns, dtype), torch.tensor(FAR, dtype=dtype)[:, None].expand(-1, columns)])


def batch_of(logits: Tensor) -> Batch:
    groups, columns = logits.shape
    stream = torch.Generator().manual_seed(2)
    log_probs = torch.rand(groups, columns - 1, generator=stream).log()
    frequencies = torch.rand(groups, generator=stream)
    items = torch.arange(groups * columns).view(groups, columns)
    return Batch(torch.arange(groups), items, None, log_probs, frequencies)


def by_formula(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss's own values, and autograd's gradient of their sum."""
    x = logits.clone().requires_grad_()
    values = loss(x)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", FAMILY, ids=str)
def test_the_kernel_is_the_formula_in_value_and_gradient(loss: FocalFamily, dtype: torch.dtype) -> None:
    logits = every_logit(dtype)
    near = {"rtol": 5e-6 if dtype == torch.float32 else 1e-12, "atol": 1e-37}
    values, gradient = by_formula(loss, logits)
    found = losses_and_logit_grad(loss, logits, batch_of(logits))
    torch.testing.assert_close(found[0], values, **near)
    torch.testing.assert_close(found[1], gradient, **near)
    for name, tensor in zip(("losses", "gradient"), found):
        assert tensor.isfinite().all(), name
        assert not tensor.requires_grad
    torch.testing.assert_close(fused_per_example(loss, logits, batch_of(logits)), values, **near)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_backpropagation_through_the_kernel_gives_the_gradient_that_it_gives(gamma: float) -> None:
    logits = every_logit(torch.float64).requires_grad_()
    upstream = torch.rand(logits.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    values = focal_losses(logits, gamma, 0.25, 0.75)
    (gradient,) = torch.autograd.grad((values * upstream).sum(), logits)
    plain, logit_grad = focal_kernel(logits.detach(), gamma, 0.25, 0.75)
    assert torch.equal(values.detach(), plain)
    torch.testing.assert_close(gradient, upstream * logit_grad)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_gradient_is_the_finite_difference(gamma: float) -> None:
    logits = random_logits(5, 4, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: focal_losses(x, gamma, 0.3, 0.7), logits)


@pytest.mark.parametrize("loss", FAMILY, ids=str)
def test_formulas_have_a_second_derivative_and_the_kernel_refuses_to_give_one(loss: FocalFamily) -> None:
    """The kernel keeps its gradient as a constant, so that a derivative of it would be silently wrong."""
    logits = random_logits(3, 4, torch.float64).requires_grad_()
    assert gradgradcheck(loss, logits)
    values = fused_per_example(loss, logits, batch_of(logits))
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(values.sum(), logits, create_graph=True)


def test_the_plain_second_derivative_of_bce_is_p_times_1_minus_p() -> None:
    logits = random_logits(3, 4, torch.float64).requires_grad_()
    (first,) = torch.autograd.grad(BCE()(logits).sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), logits)
    p = logits.detach().sigmoid()
    torch.testing.assert_close(second, p * (1 - p))


@pytest.mark.parametrize("gammas", [(0.0, 2.0, 0.3), (0.0, 0.0, 0.0)])
def test_stacked_runs_have_each_their_own_settings(gammas: tuple[float, ...]) -> None:
    settings = torch.tensor([[*gammas], [0.25, 0.5, 0.9], [0.75, 0.5, 0.1]]).double().view(3, 3, 1, 1)
    logits = torch.stack([random_logits(8, 5, torch.float64) + shift for shift in range(3)])
    found = focal_kernel(logits, *settings)
    for run in range(3):
        own = [float(setting[run]) for setting in settings]
        alone = focal_kernel(logits[run], *own)
        for stacked, solo in zip(found, alone):
            torch.testing.assert_close(stacked[run], solo)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_its_values_and_the_gradient_of_their_sum(name: str) -> None:
    loss, logits = loss_named(name), random_logits(7, 5, torch.float64).sigmoid()
    batch, before = batch_of(logits), logits.clone()
    x = logits.clone().requires_grad_()
    values = per_example(loss, x, batch)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    found = losses_and_logit_grad(loss, logits, batch)
    torch.testing.assert_close(found, (values.detach(), gradient))
    torch.testing.assert_close(fused_per_example(loss, logits, batch), values.detach())
    assert torch.equal(logits, before)
    assert not any(tensor.requires_grad for tensor in found)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_may_carry_a_graph_or_come_out_of_inference_mode(name: str) -> None:
    loss, logits = loss_named(name), random_logits(7, 5)
    expected = losses_and_logit_grad(loss, logits, batch_of(logits))
    with torch.inference_mode():
        inferred = logits * 1.0
    with torch.no_grad():
        torch.testing.assert_close(losses_and_logit_grad(loss, inferred, batch_of(logits)), expected)
    torch.testing.assert_close(losses_and_logit_grad(loss, logits.requires_grad_() * 1.0, batch_of(logits)), expected)


def test_an_edited_formula_does_not_reach_the_kernel() -> None:
    """Which is why training compares the two before it starts."""

    class Edited(Focal):
        def __call__(self, logits: Tensor) -> Tensor:
            return 2 * super().__call__(logits)

    logits = random_logits(4, 3)
    edited, plain = Edited(gamma=2.0, alpha=0.25), Focal(gamma=2.0, alpha=0.25)
    for a, b in zip(*(losses_and_logit_grad(loss, logits, batch_of(logits)) for loss in (edited, plain))):
        assert torch.equal(a, b)
    torch.testing.assert_close(per_example(edited, logits, batch_of(logits)), 2 * plain(logits))


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.5, 0.9])
def test_focal_with_gamma_nought_is_alpha_bce_to_the_bit(alpha: float) -> None:
    logits = every_logit(torch.float32)
    focal, bce = (
        losses_and_logit_grad(loss, logits, batch_of(logits))
        for loss in (Focal(gamma=0.0, alpha=alpha), AlphaBCE(alpha=alpha))
    )
    assert all(map(torch.equal, focal, bce))


def test_alpha_bce_with_a_half_is_half_of_bce_to_the_bit() -> None:
    logits = every_logit(torch.float32)
    half, whole = (losses_and_logit_grad(loss, logits, batch_of(logits)) for loss in (AlphaBCE(alpha=0.5), BCE()))
    assert all(torch.equal(a, b / 2) for a, b in zip(half, whole))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0, 20.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_far_logits_have_finite_values_and_gradients(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor(FAR, dtype=dtype)[:, None].expand(-1, 3)
    for tensor in focal_kernel(logits, gamma, 0.25, 0.75):
        assert tensor.isfinite().all()
        assert tensor.dtype == dtype


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_far_logits_have_their_limits(gamma: float) -> None:
    """A hopeless example costs w |z| and pulls with w; a certain one costs and pulls nothing."""
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4]])
    losses, logit_grad = focal_kernel(logits, gamma, 0.25, 0.75)
    assert losses.tolist() == [[2500.0, 7500.0], [0.0, 0.0]]
    assert logit_grad.tolist() == [[-0.25, 0.75], [0.0, 0.0]]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_single_precision_agrees_with_double(gamma: float) -> None:
    """To a few parts in a million, also where 1 - p is as small as 1e-12."""
    logits = torch.linspace(-27, 27, 5401)[:, None].expand(-1, 2).contiguous()
    found = focal_kernel(logits, gamma, 0.25, 0.75)
    exact = focal_kernel(logits.double(), gamma, 0.25, 0.75)
    for single, double in zip(found, exact):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_the_compiled_kernel_is_the_kernel(gamma: float, dtype: torch.dtype) -> None:
    """At every logit, however far: compiled, it takes another formula for the same numbers."""
    ends = torch.tensor([0.0, 1e-9, 0.3, 5, 20, 39.999, 40, 40.001, 88, 89, 104, 750, 3e38], dtype=dtype)
    logits = torch.cat([ends, -ends]).repeat(2, 1).T.contiguous()
    torch._dynamo.reset()
    found = {}
    for name, wrapped in {"plain": focal_losses, "compiled": torch.compile(focal_losses)}.items():
        x = logits.clone().requires_grad_()
        losses = wrapped(x, gamma, 0.25, 0.75)
        losses.sum().backward()
        found[name] = losses.detach(), x.grad
    near = {torch.float32: 2e-6, torch.float64: 1e-14}[dtype]
    for compiled, plain in zip(found["compiled"], found["plain"], strict=True):
        torch.testing.assert_close(compiled, plain, rtol=near, atol=1e-37)
