"""Matrix factorisation by alternating least squares: each half-step solves small linear systems exactly, in batches.

`ALS` fits observed ratings with user and item biases (Koren, Bell and Volinsky 2009); a row's penalty grows with its
number of ratings (Zhou et al. 2008). `IALS` fits all cells, positives as 1 and the others as 0 with less weight (Hu,
Koren and Volinsky 2008), with the scaled regularisation of Rendle et al. 2022. It alone has an approximate, faster
solver, `als_cg`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn

from ncf.core.roles import Role
from ncf.data.split import Split
from ncf.errors import ConfigError, DataError
from ncf.models import als_cg
from ncf.models.base import with_columns
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix

_CHUNK_CELLS = 2**22  # limit on the padded features gathered at once, and on their systems
_LARGEST_CONDITION = 1e12  # of a system; beyond, fewer than four digits of its float64 solution are right


def _batches(matrix: sparse.csr_matrix, width: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield batches of the non-empty rows, shortest first to limit padding.

    Each is rows (B,), columns (B, L), values (B, L) and a mask of the real entries (B, L) bool.
    """
    counts = np.diff(matrix.indptr)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    while len(order):
        costs = width * np.maximum(counts[order], width) * np.arange(1, len(order) + 1)
        size = max(1, int(np.searchsorted(costs, _CHUNK_CELLS)))
        rows, order = order[:size], order[size:]
        places = np.arange(counts[rows[-1]])
        entry = places < counts[rows, None]
        position = np.where(entry, matrix.indptr[rows, None] + places, 0)
        columns = np.where(entry, matrix.indices[position], 0)
        values = np.where(entry, matrix.data[position], 0.0)
        yield tuple(map(torch.from_numpy, (rows, columns.astype(np.int64), values, entry)))  # type: ignore[misc]


def _solve(systems: Tensor, right: Tensor, l2: float) -> Tensor:
    """Return x (B, D) with systems (B, D, D) x = right (B, D), for positive definite systems.

    Raises:
        ConfigError: rounding errors decide the solution, since the penalty `l2` is too small.
    """
    factors, failed = torch.linalg.cholesky_ex(systems)
    pivots = factors.diagonal(dim1=1, dim2=2)
    # The squared ratio of the pivots is a lower bound for the condition number of a system.
    if failed.any() or not (pivots.amax(1) ** 2 <= _LARGEST_CONDITION * pivots.amin(1) ** 2).all():
        raise ConfigError(
            f"model.l2: expected a penalty that is large enough for the equations to have one solution in float64, "
            f"got {l2}; use a larger one, or fewer model.factors"
        )
    return torch.cholesky_solve(right[..., None], factors)[..., 0]


class IALS(NonGradientRecommender):
    """score = w_u . h_i, minimising the sum over all cells of c (p - w_u . h_i)^2 + penalty (Hu et al. 2008, eq. 3).

    p is 1 with weight c = 1 + alpha for a positive, and 0 with weight 1 for any other cell. With n positives, a user's
    penalty is l2 (alpha n + I)^scaling |w_u|^2 and an item's l2 (alpha n + U)^scaling |h_i|^2: scaling 0 is that of Hu
    et al., 1 is proportional to the total weight of the row's cells (Rendle et al. 2022, section 3.2).

    With `cg_steps`, a half-step takes so many conjugate gradient steps in float32 from the factors of the sweep before,
    instead of solving for them in float64.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        alpha: Annotated[float, Field(gt=0)],
        l2: Annotated[float, Field(gt=0)],
        scaling: Annotated[float, Field(ge=0, le=1)],
        sweeps: Annotated[int, Field(ge=1)],
        cg_steps: Annotated[int, Field(ge=0), Role(since=0)],
    ) -> None:
        super().__init__()
        self.alpha, self.l2, self.scaling, self.sweeps, self.cg_steps = alpha, l2, scaling, sweeps, cg_steps
        self.users = nn.Embedding(num_users, factors)
        self.items = nn.Embedding(num_items, factors)

    @torch.no_grad()
    def fit(self, split: Split) -> None:
        """Solve `sweeps` times for all users given the items, then for all items given the users.

        Raises:
            ConfigError: `l2` is too small; see `_solve`.
        """
        matrix = positives_matrix(split.train, split.num_users, split.num_items)
        if self.cg_steps:
            self._fit_by_steps(matrix)
            return
        transposed = matrix.T.tocsr()
        items = self.items.weight.double()
        for _ in range(self.sweeps):
            users = self._half_step(matrix, items)
            items = self._half_step(transposed, users)
        self.users.weight.copy_(users)
        self.items.weight.copy_(items)

    def _fit_by_steps(self, matrix: sparse.csr_matrix) -> None:
        """Take `cg_steps` steps for all users, then for all items, `sweeps` times, from the initial factors of both."""
        (by_user, user_order), (by_item, item_order) = als_cg.both_sides(matrix)
        users, items = self.users.weight, self.items.weight
        half_step = partial(als_cg.half_step, alpha=self.alpha, steps=self.cg_steps, go_on=self.go_on)
        penalties = [self._penalty(cells.counts, width) for cells, width in zip((by_user, by_item), matrix.shape[::-1])]
        products = by_user.products(users, items)
        for _ in range(self.sweeps):
            half_step(by_user, users, items, products, penalty=penalties[0])
            products = products.index_select(0, item_order)
            half_step(by_item, items, users, products, penalty=penalties[1])
            products = products.index_select(0, user_order)

    def _penalty(self, positives: Tensor, width: int) -> Tensor:
        """Return the factors (R,) of the squared norms of rows with so many `positives` (R,) of `width` cells."""
        return self.l2 * (self.alpha * positives + width) ** self.scaling

    def _half_step(self, matrix: sparse.csr_matrix, fixed: Tensor) -> Tensor:
        """Return factors (R, D) of the rows of `matrix` (R, C), given those of its columns, `fixed` (C, D)."""
        factors = fixed.shape[1]
        gram = fixed.T @ fixed
        solved = fixed.new_zeros(matrix.shape[0], factors)
        for rows, columns, _, entry in _batches(matrix, factors):
            self.go_on()
            features = fixed[columns] * entry[..., None]  # (B, L, D)
            penalty = self._penalty(entry.sum(1), len(fixed))
            systems = torch.baddbmm(gram, features.mT, features, alpha=self.alpha)
            systems.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
            solved[rows] = _solve(systems, (1 + self.alpha) * features.sum(1), self.l2)
        return solved

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I), roughly from 0 to 1."""
        return self.users(users) @ self.items.weight.T

    @torch.no_grad()
    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I), from factors solved exactly, given the items'."""
        users = self._half_step(histories.matrix(len(self.items.weight)), self.items.weight.cpu().double())
        return users.to(self.items.weight) @ self.items.weight.T

    def user_vectors(self) -> Tensor:
        """(U, D): w_u."""
        return self.users.weight.detach()

    def item_vectors(self) -> Tensor:
        """(I, D): h_i."""
        return self.items.weight.detach()

    def item_embeddings(self) -> Tensor:
        """(I, D): h_i."""
        return self.items.weight.detach()


class ALS(NonGradientRecommender):
    """score = mean + b_u + b_i + x_u . y_i, minimising the squared error of the observed ratings + penalty.

    The penalty of a user with n ratings is l2 n (|x_u|^2 + b_u^2), likewise for items (Zhou et al. 2008, eq. 3; biases
    as in Koren et al. 2009, eq. 5).
    """

    mean: Tensor  # (1,)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        l2: Annotated[float, Field(gt=0)],
        sweeps: Annotated[int, Field(ge=1)],
    ) -> None:
        super().__init__()
        self.l2, self.sweeps = l2, sweeps
        self.users, self.user_bias = nn.Embedding(num_users, factors), nn.Embedding(num_users, 1)
        self.items, self.item_bias = nn.Embedding(num_items, factors), nn.Embedding(num_items, 1)

    @torch.no_grad()
    def fit(self, split: Split) -> None:
        """Solve `sweeps` times, in float64, for all users given the items, then for all items given the users.

        Raises:
            ConfigError: `l2` is too small; see `_solve`.
            DataError: the split has no ratings.
        """
        train = split.train
        if train.ratings is None:
            raise DataError(f"{split.name}: expected ratings, found none; model=als needs them (model=ials does not)")
        mean = float(train.ratings.mean(dtype=np.float64))
        shape = (split.num_users, split.num_items)
        matrix = sparse.csr_matrix((train.ratings - mean, (train.users, train.items)), shape=shape)
        transposed = matrix.T.tocsr()
        items = torch.cat([self.items.weight, self.item_bias.weight], dim=1).double()
        for _ in range(self.sweeps):
            users = self._half_step(matrix, items)
            items = self._half_step(transposed, users)
        for (factors, bias), solved in zip(self._embeddings(), (users, items), strict=True):
            factors.weight.copy_(solved[:, :-1])
            bias.weight.copy_(solved[:, -1:])
        self.keep("mean", torch.tensor([mean]))

    def _embeddings(self) -> tuple[tuple[nn.Embedding, nn.Embedding], tuple[nn.Embedding, nn.Embedding]]:
        return (self.users, self.user_bias), (self.items, self.item_bias)

    def _half_step(self, matrix: sparse.csr_matrix, fixed: Tensor) -> Tensor:
        """Return factors and biases (R, D+1) of the rows of `matrix` (R, C), given those of its columns, `fixed`."""
        width = fixed.shape[1]
        solved = fixed.new_zeros(matrix.shape[0], width)
        for rows, columns, values, entry in _batches(matrix, width):
            self.go_on()
            features = fixed[columns]  # (B, L, D+1)
            residual = (values - features[..., -1]) * entry  # less the bias of the fixed side
            features[..., -1] = 1  # the coefficient of the solved side's bias
            features *= entry[..., None]
            systems = features.mT @ features
            systems.diagonal(dim1=1, dim2=2).add_(self.l2 * entry.sum(1)[:, None])
            solved[rows] = _solve(systems, (features * residual[..., None]).sum(1), self.l2)
        return solved

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I), in the unit of the ratings."""
        return self._predicted(self.users(users), self.user_bias(users))

    @torch.no_grad()
    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> predicted ratings (B, I), from factors and a bias solved exactly, given the items'.

        Raises:
            DataError: `histories` has no ratings.
        """
        if histories.ratings is None:
            raise DataError("fold_in: model ALS learns from ratings; expected one for each item, found none")
        matrix = histories.matrix(len(self.items.weight), histories.ratings.double() - self.mean.double())
        items = torch.cat([self.items.weight, self.item_bias.weight], dim=1).cpu().double()
        solved = self._half_step(matrix, items).to(self.items.weight)
        return self._predicted(solved[:, :-1], solved[:, -1:])

    def _predicted(self, factors: Tensor, bias: Tensor) -> Tensor:
        """Factors (B, D) and biases (B, 1) of users -> predicted ratings (B, I)."""
        return factors @ self.items.weight.T + bias + self.item_bias.weight[:, 0] + self.mean

    def user_vectors(self) -> Tensor:
        """(U, D+2): x_u, b_u + mean, and 1."""
        return with_columns(self.users.weight, self.user_bias.weight + self.mean, 1.0)

    def item_vectors(self) -> Tensor:
        """(I, D+2): y_i, 1, and b_i."""
        return with_columns(self.items.weight, 1.0, self.item_bias.weight)

    def item_embeddings(self) -> Tensor:
        """(I, D): y_i."""
        return self.items.weight.detach()
