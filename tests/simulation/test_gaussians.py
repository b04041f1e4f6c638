"""Packed Gaussians, against plain matrices and against the moments of their laws."""

import torch

from ncf.simulation.gaussians import (
    Gaussians,
    bartlett,
    doubled,
    draw,
    drawn_by_precision,
    outer,
    packed,
    quadratic,
    solved,
    unpacked,
)  # fmt: skip


def positive(count: int, size: int, seed: int = 0) -> torch.Tensor:
    """Positive definite matrices (count, D, D)."""
    root = torch.randn(count, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.mT + torch.eye(size, dtype=torch.float64)


def test_packing_is_undone() -> None:
    matrices = positive(3, 5)
    assert packed(matrices).shape == (3, 15)
    assert torch.equal(unpacked(packed(matrices), 5), matrices)


def test_products_of_packed_matrices_are_traces_and_quadratic_forms() -> None:
    a, b = positive(2, 4), positive(2, 4, 1)
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    traces = torch.einsum("nij,nji->n", a, b)
    assert torch.allclose((doubled(packed(a), 4) * packed(b)).sum(1), traces)
    assert torch.allclose((quadratic(x) * packed(a)).sum(1), torch.einsum("ni,nij,nj->n", x, a, x))
    assert torch.allclose(unpacked(outer(x), 4), x[:, :, None] * x[:, None])


def test_solved_gives_mean_and_covariance() -> None:
    precisions, right = positive(3, 4), torch.arange(12.0, dtype=torch.float64).view(3, 4)
    found = solved(precisions, right)
    assert torch.allclose(precisions @ found.means[..., None], right[..., None])
    assert torch.allclose(unpacked(found.covariances, 4) @ precisions, torch.eye(4, dtype=torch.float64), atol=1e-12)
    second = unpacked(found.covariances, 4) + found.means[:, :, None] * found.means[:, None]
    assert torch.allclose(unpacked(found.moments(), 4), second)


def test_draws_have_their_moments() -> None:
    """Means within 5 standard errors and covariances within 5 of theirs, of 40,000 draws of either kind."""
    precision, mean, count = positive(1, 3)[0], torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 40_000
    covariance = torch.linalg.inv(precision)
    many = Gaussians(mean.expand(count, 3), packed(covariance[None]).expand(count, 6))
    first = draw(many, torch.Generator().manual_seed(0))
    second = drawn_by_precision(
        precision.expand(count, 3, 3), (precision @ mean).expand(count, 3), torch.Generator().manual_seed(1)
    )
    for drawn in (first, second):
        assert ((drawn.mean(0) - mean).abs() < 5 * (covariance.diagonal() / count).sqrt()).all()
        spread = (covariance**2 + torch.outer(covariance.diagonal(), covariance.diagonal())).sqrt() / count**0.5
        assert ((torch.cov(drawn.T) - covariance).abs() < 5 * spread).all()


def test_bartlett_factors_are_of_wishart_matrices() -> None:
    """E W = n I, Var W_ii = 2n, Var W_ij = n; compared at 5 standard errors of 20,000 draws."""
    count, degrees = 20_000, 12
    factors = bartlett(count, 3, degrees, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.equal(factors, factors.tril())
    drawn = factors @ factors.mT
    variance = degrees * (1 + torch.eye(3, dtype=torch.float64))
    assert ((drawn.mean(0) - degrees * torch.eye(3)).abs() < 5 * (variance / count).sqrt()).all()
    assert torch.allclose(drawn.var(0), variance, rtol=0.1)
