"""Half-steps of iALS by a few conjugate gradient steps for all rows at once, in float32 (Takacs et al. 2011).

Where an exact half-step builds and solves a (D, D) system for each row, this one starts at the row's factors of the
sweep before, and only multiplies by the system: with x the factors of a row and y those of its positives' columns,

    A x = x Y'Y + penalty x + alpha sum (x . y) y,    b = (1 + alpha) sum y.

The inner products x . y at the positives are kept up to date in every step and passed on to the other side's half-step,
whose first residual therefore needs none of its own: a quarter of all of them, at three steps a half-step.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F


class Cells:
    """The positives of one side, a row after the other.

    Args:
        matrix: (R, C) with a non-zero at each of the E positives.
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        self.counts = torch.from_numpy(np.diff(matrix.indptr)).long()  # (R,)
        self._starts, self._columns = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
        self._rows = torch.arange(len(self.counts), dtype=torch.int32).repeat_interleave(self.counts)  # (E,)
        with warnings.catch_warnings():  # of torch, that its sparse matrices are a beta, and that it trusts the indices
            warnings.simplefilter("ignore", UserWarning)
            nothing = torch.zeros(matrix.nnz)
            self._pattern = torch.sparse_csr_tensor(self._starts, self._columns, nothing, matrix.shape)

    def products(self, rows: Tensor, columns: Tensor) -> Tensor:
        """rows (R, D) and columns (C, D) -> their inner products at the positives (E,)."""
        return torch.sparse.sampled_addmm(self._pattern, rows, columns.T, beta=0.0).values()

    def sums(self, columns: Tensor, weights: Tensor) -> Tensor:
        """Sum columns (C, D) over each row's positives with weights (E,) -> (R, D)."""
        return F.embedding_bag(
            self._columns, columns, self._starts, mode="sum", per_sample_weights=weights, include_last_offset=True
        )

    def spread(self, values: Tensor) -> Tensor:
        """values (R,) -> that of its row at each positive (E,)."""
        return values.index_select(0, self._rows)


def both_sides(matrix: sparse.csr_matrix) -> tuple[tuple[Cells, Tensor], tuple[Cells, Tensor]]:
    """Return the cells of `matrix` (U, I) by user and by item, each with the other's places in its order (E,)."""
    numbered = sparse.csr_matrix((np.arange(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
    transposed = numbered.T.tocsr()
    by_item = torch.from_numpy(transposed.data)
    by_user = torch.empty_like(by_item)
    by_user[by_item] = torch.arange(matrix.nnz)
    return (Cells(matrix), by_user), (Cells(transposed), by_item)


def half_step(
    cells: Cells,
    solved: Tensor,
    fixed: Tensor,
    products: Tensor,
    *,
    alpha: float,
    penalty: Tensor,
    steps: int,
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """Improve, in place, the factors `solved` (R, D) given `fixed` (C, D), and their `products` (E,) at the positives.

    `penalty` (R,) multiplies the squared norm of each row. `go_on` is called before each step; what it raises ends the
    half-step.
    """
    gram = fixed.T @ fixed
    solved[cells.counts == 0] = 0  # the solution, which no number of steps need reach
    residual = cells.sums(fixed, 1 + alpha - alpha * products)
    residual -= torch.addmm(solved * penalty[:, None], solved, gram)
    direction, norms = residual.clone(), residual.square().sum(1)
    for step in range(steps):
        go_on()
        along = cells.products(direction, fixed)
        image = torch.addmm(direction * penalty[:, None], direction, gram).add_(cells.sums(fixed, along), alpha=alpha)
        length = _ratio(norms, (direction * image).sum(1))
        solved.addcmul_(direction, length[:, None])
        products.addcmul_(along, cells.spread(length))
        if step < steps - 1:
            residual.addcmul_(image, length[:, None], value=-1)
            norms, before = residual.square().sum(1), norms
            direction.mul_(_ratio(norms, before)[:, None]).add_(residual)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Return above / below (R,), and 0 where `below` is 0: the row is solved."""
    return torch.where(below > 0, above / below, 0.0)
