"""Many Gaussians at a time: means (R, D) and covariances (R, P), packed.

A symmetric D x D matrix is kept as its P = D (D + 1) / 2 lower entries, row by row.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

_ROWS_AT_ONCE = 2**15  # of a large temporary


class Gaussians(NamedTuple):
    """R Gaussians: `means` (R, D) and packed `covariances` (R, P)."""

    means: Tensor
    covariances: Tensor

    def moments(self) -> Tensor:
        """Return the packed second moments (R, P): the covariance plus the mean's outer product."""
        moments = self.covariances.clone()
        for part, means in zip(moments.split(_ROWS_AT_ONCE), self.means.split(_ROWS_AT_ONCE), strict=True):
            part += outer(means)
        return moments

    def rows(self, rows: Tensor) -> "Gaussians":
        """Return those at `rows` (B,)."""
        return Gaussians(self.means[rows], self.covariances[rows])


@cache
def _lower(size: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.tril_indices(size, size)
    return rows, columns


@cache
def _places(size: int) -> Tensor:
    """Return (D*D,): where each entry of a matrix lies in its packed form."""
    rows, columns = _lower(size)
    places = torch.zeros(size, size, dtype=torch.int64)
    places[rows, columns] = places[columns, rows] = torch.arange(len(rows))
    return places.view(-1)


def packed(matrices: Tensor) -> Tensor:
    """Symmetric (R, D, D) -> (R, P)."""
    rows, columns = _lower(matrices.shape[-1])
    return matrices[:, rows.to(matrices.device), columns.to(matrices.device)]


def unpacked(rows: Tensor, size: int) -> Tensor:
    """(R, P) -> symmetric (R, D, D), D = `size`."""
    return rows[:, _places(size).to(rows.device)].view(-1, size, size)


def outer(vectors: Tensor) -> Tensor:
    """(R, D) -> the packed outer product of each with itself (R, P)."""
    rows, columns = _lower(vectors.shape[1])
    return vectors[:, rows.to(vectors.device)] * vectors[:, columns.to(vectors.device)]


def doubled(rows: Tensor, size: int) -> Tensor:
    """Packed matrices A (R, P) -> (R, P) whose inner product with a packed B is trace(A B), off-diagonals doubled."""
    lower, columns = _lower(size)
    return rows * torch.where(lower == columns, 1.0, 2.0).to(rows)


def quadratic(vectors: Tensor) -> Tensor:
    """(B, D) -> (B, P) whose inner product with a packed matrix A is x' A x."""
    return doubled(outer(vectors), vectors.shape[1])


def solved(precisions: Tensor, right: Tensor) -> Gaussians:
    """Return the Gaussians with `precisions` (R, D, D), whose means solve precision x mean = `right` (R, D).

    Raises torch.linalg.LinAlgError if one is not positive definite.
    """
    factors = torch.linalg.cholesky(precisions)
    means = torch.cholesky_solve(right[..., None], factors)[..., 0]
    return Gaussians(means, packed(torch.cholesky_inverse(factors)))


def draw(gaussians: Gaussians, stream: torch.Generator) -> Tensor:
    """Draw one vector from each: (R, D)."""
    size = gaussians.means.shape[1]
    factors = torch.linalg.cholesky(unpacked(gaussians.covariances, size))
    normals = torch.randn(gaussians.means.shape, generator=stream, dtype=factors.dtype, device=factors.device)
    return gaussians.means + (factors @ normals[..., None])[..., 0]


def drawn_by_precision(precisions: Tensor, right: Tensor, stream: torch.Generator) -> Tensor:
    """Draw from Gaussians with `precisions` (R, D, D) whose means solve precision x mean = `right` (R, D): (R, D)."""
    factors = torch.linalg.cholesky(precisions)  # L L'; the draw is L'^-1 (L^-1 right + normals)
    normals = torch.randn(right.shape, generator=stream, dtype=right.dtype, device=right.device)
    whitened = torch.linalg.solve_triangular(factors, right[..., None], upper=False) + normals[..., None]
    return torch.linalg.solve_triangular(factors.mT, whitened, upper=True)[..., 0]


def bartlett(count: int, size: int, degrees: int, stream: torch.Generator, device: torch.device) -> Tensor:
    """Draw lower triangles A (count, D, D) with A A' ~ Wishart(degrees, identity), D = `size` (Bartlett 1933).

    `degrees` has to be at least D.
    """
    shape = torch.arange(degrees, degrees - size, -1, dtype=torch.float64, device=device) / 2
    diagonal = (2 * torch._standard_gamma(shape.repeat(count, 1), generator=stream)).sqrt()
    triangles = torch.zeros(count, size, size, dtype=torch.float64, device=device)
    rows, columns = torch.tril_indices(size, size, -1, device=device)
    triangles[:, rows, columns] = normals((count, len(rows)), stream, device)
    triangles.diagonal(dim1=1, dim2=2).copy_(diagonal)
    return triangles


def normals(shape: tuple[int, ...], stream: torch.Generator, device: torch.device) -> Tensor:
    """Draw standard normals as float64, from float32 ones, which come three times as fast."""
    return torch.randn(shape, generator=stream, dtype=torch.float32, device=device).double()
