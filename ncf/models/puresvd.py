"""PureSVD (Cremonesi, Koren and Turrin 2010): the truncated SVD of the matrix, with missing entries as zero."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor

from ncf.core.rng import generator
from ncf.core.roles import Role
from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows

_OVERSAMPLING = 10  # directions beyond those that are kept (Halko et al. 2011, section 4.2)


class PureSVD(NonGradientRecommender):
    """score(u) = r_u Q Q', with r_u the user's row and Q (I, D) the leading right singular vectors (eq. 9)."""

    item_factors: Tensor  # (I, D)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        factors: Annotated[int, Field(ge=1)],
        power_iterations: Annotated[Annotated[int, Field(ge=0)] | None, Role(since=None)],
    ) -> None:
        super().__init__()
        if factors >= min(num_users, num_items):
            raise ConfigError(
                f"model.factors: expected fewer than {min(num_users, num_items)}, the number of users or items, "
                f"got {factors}"
            )
        self.num_users, self.num_items, self.factors = num_users, num_items, factors
        self.power_iterations = power_iterations

    def fit(self, split: Split) -> None:
        """Compute the truncated SVD, to convergence or with `power_iterations`."""
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        found = self._converged if self.power_iterations is None else self._randomised
        self.keep("item_factors", found(matrix))
        self.keep_history(matrix)

    def _converged(self, matrix: sparse.csr_matrix) -> np.ndarray:
        """Return Q (I, D) by Lanczos iteration (ARPACK) from a fixed start vector."""
        start = np.ones(min(matrix.shape))
        _, _, right = svds(self._stoppable(matrix), k=self.factors, v0=start, return_singular_vectors="vh")
        return np.ascontiguousarray(right[::-1].T)

    def _randomised(self, matrix: sparse.csr_matrix) -> Tensor:
        """Return an approximate Q (I, D) by subspace iteration from a fixed random start (Halko et al. 2011, 4.4)."""
        narrow = matrix.astype(np.float32)
        width = min(self.factors + _OVERSAMPLING, *matrix.shape)
        basis = torch.randn(matrix.shape[1], width, generator=generator(0, "initialisation"))
        for _ in range(1 + (self.power_iterations or 0)):
            self.go_on()
            basis = torch.linalg.qr(torch.from_numpy(narrow.T @ (narrow @ basis.numpy()))).Q
        image = torch.from_numpy(narrow @ basis.numpy()).double()
        vectors = torch.linalg.eigh(image.T @ image).eigenvectors.flip(1)[:, : self.factors]
        return basis.double() @ vectors

    def _stoppable(self, matrix: sparse.csr_matrix) -> LinearOperator:
        """Return `matrix` as an operator whose products, of which ARPACK asks for hundreds, can stop the fit."""
        transposed = matrix.T

        def times(vectors: np.ndarray) -> np.ndarray:
            self.go_on()
            return matrix @ vectors

        def transposed_times(vectors: np.ndarray) -> np.ndarray:
            return transposed @ vectors

        return LinearOperator(
            matrix.shape, times, transposed_times, matmat=times, rmatmat=transposed_times, dtype=matrix.dtype
        )

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self.fold_in(self.histories(users))

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I): r Q Q'."""
        return self._projected(histories) @ self.item_factors.T

    def user_vectors(self) -> Tensor:
        """(U, D): r_u Q."""
        return self._projected(self.histories(torch.arange(self.num_users, device=self.item_factors.device)))

    def item_vectors(self) -> Tensor:
        """(I, D): Q."""
        return self.item_factors

    def item_embeddings(self) -> Tensor:
        """(I, D): Q."""
        return self.item_factors

    def _projected(self, histories: Histories) -> Tensor:
        """`histories` of B users -> r Q (B, D)."""
        return sum_rows(self.item_factors, histories.items, histories.counts)
