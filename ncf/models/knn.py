"""Nearest neighbours over binary vectors: of users (Resnick et al. 1994) and of items (Sarwar et al. 2001).

With a and b the numbers of positives of two users (or items), n the number they share and N the vector length:

    cosine    n / sqrt(a b)
    pearson   (n - a b / N) / sqrt(a (1 - a / N) b (1 - b / N)), the cosine of the centred vectors

times n / (n + shrinkage), which shrinks similarities based on few shared positives (Bell and Koren 2007).
The k highest positive similarities of each are kept; ties go to the lower index.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from ncf.data.split import Split
from ncf.models.co_occurrence import shared_ones
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows
from ncf.models.recency import Decay, HalfLife, recent

Similarity = Literal["cosine", "pearson"]

_CHUNK_BYTES = 2**26  # of the dense block of shared positives
_STRIP = 64  # rows of it at a time, whose similarities stay in the processor's cache


def neighbours(
    vectors: sparse.csr_matrix,
    k: int,
    similarity: Similarity,
    shrinkage: float,
    go_on: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest rows of each row of the binary `vectors` (R, N): their indices (R, k) and similarities (R, k).

    If a row has fewer than k neighbours of positive similarity, the rest have similarity 0; k is capped at R.
    `go_on` is called after each block of rows; what it raises ends the search.
    """
    found, start = [], 0
    for block in _blocks(vectors, vectors.T.tocsr(), similarity, shrinkage):
        own = np.arange(len(block))
        block[own, start + own] = 0
        start += len(block)
        found.append(_nearest(block, k))
        go_on()
    indices, values = zip(*found)
    return np.concatenate(indices), np.concatenate(values)


def neighbours_of(
    vectors: sparse.csr_matrix, others: sparse.csr_matrix, k: int, similarity: Similarity, shrinkage: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find, as `neighbours` does, the nearest columns of the binary `others` (N, R) to each row of `vectors` (B, N)."""
    found = [_nearest(block, k) for block in _blocks(vectors, others, similarity, shrinkage)]
    return tuple(map(np.concatenate, zip(*found)))  # type: ignore[return-value]


def _blocks(
    vectors: sparse.csr_matrix, others: sparse.csr_matrix, similarity: Similarity, shrinkage: float
) -> Iterator[np.ndarray]:
    """Yield similarities (B, R) of the rows of `vectors` (B, N) to the columns of `others` (N, R), a block at a time.

    A block is (rows, R) float64, none of it negative; there is at least one.
    """
    length, columns = others.shape
    sizes = np.diff(vectors.indptr).astype(np.float64)
    other_sizes = np.bincount(others.indices, minlength=columns).astype(np.float64)
    step = max(1, _CHUNK_BYTES // (8 * columns))
    for start in range(0, max(1, vectors.shape[0]), step):
        found = shared_ones(vectors[start : start + step], others)
        for first in range(0, max(1, len(found)), _STRIP):
            shared, own = found[first : first + _STRIP], sizes[start + first : start + step, None][:_STRIP]
            block = _similarity(shared, own, other_sizes, length, similarity)
            if shrinkage:
                block *= shared / (shared + shrinkage)
            yield np.maximum(block, 0, out=block)


def _similarity(shared: np.ndarray, a: np.ndarray, b: np.ndarray, length: int, similarity: Similarity) -> np.ndarray:
    if similarity == "cosine":
        inner, squared_norms = shared, a * b
    else:
        inner, squared_norms = shared - a * b / length, a * (1 - a / length) * b * (1 - b / length)
    return np.divide(inner, np.sqrt(squared_norms), out=np.zeros_like(shared), where=squared_norms > 0)


def _nearest(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the k highest of each row of `block` (B, R), k capped at R, and their values: (B, k)."""
    k = min(k, block.shape[1])
    least = np.partition(block, block.shape[1] - k, axis=1)[:, -k, None]
    taken = block >= least
    if (tied := taken.sum(1) > k).any():
        above, equal = block[tied] > least[tied], block[tied] == least[tied]
        taken[tied] = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdims=True)))
    chosen = taken.nonzero()[1].reshape(len(block), k)  # lower indices first, which the stable sort keeps
    values = np.take_along_axis(block, chosen, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)


class _NearestNeighbours(NonGradientRecommender):
    """The settings that both share, and the neighbours that they keep."""

    neighbours: Tensor  # (U or I, k)
    similarities: Tensor  # (U or I, k)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        k: Annotated[int, Field(ge=1)],
        similarity: Similarity,
        shrinkage: Annotated[float, Field(ge=0)],
    ) -> None:
        super().__init__()
        self.num_users, self.num_items = num_users, num_items
        self.k, self.similarity, self.shrinkage = k, similarity, shrinkage

    def keep_neighbours(self, vectors: sparse.csr_matrix) -> None:
        """Find and keep the nearest rows of each row of `vectors` (R, N)."""
        indices, values = neighbours(vectors, self.k, self.similarity, self.shrinkage, self.go_on)
        self.keep("neighbours", indices)
        self.keep("similarities", values)


class UserKNN(_NearestNeighbours):
    """score(u, i) = sum of similarities to those of u's k nearest users who have item i."""

    raters: Tensor  # (N,) users, ordered by item
    rater_counts: Tensor  # (I,)

    def fit(self, split: Split) -> None:
        """Find the neighbours of each user."""
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        self.keep_neighbours(matrix)
        by_item = matrix.T.tocsr()
        self.keep("raters", by_item.indices)
        self.keep("rater_counts", np.diff(by_item.indptr))

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self._scored(self.neighbours[users], self.similarities[users])

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I), from the nearest of all training users.

        A training user is among the neighbours of a new user with the same items, but not among their own.
        """
        by_item = Histories(self.raters, self.rater_counts).matrix(self.num_users)  # (I, U)
        found = neighbours_of(histories.matrix(self.num_items), by_item, self.k, self.similarity, self.shrinkage)
        indices, values = (torch.from_numpy(array).to(self.raters.device) for array in found)
        return self._scored(indices, values.float())

    def _scored(self, neighbours: Tensor, values: Tensor) -> Tensor:
        """Neighbours (B, k) and similarities (B, k) -> scores (B, I)."""
        weights = torch.zeros(self.num_users, len(neighbours), device=neighbours.device)
        columns = torch.arange(len(neighbours), device=neighbours.device)[:, None]
        weights[neighbours, columns] = values
        return sum_rows(weights, self.raters, self.rater_counts).T


class ItemKNN(_NearestNeighbours):
    """score(u, i) = sum of similarities to those of i's k nearest items that user u has, times their recency."""

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        k: Annotated[int, Field(ge=1)],
        similarity: Similarity,
        shrinkage: Annotated[float, Field(ge=0)],
        decay: Decay,
        half_life: HalfLife,
    ) -> None:
        super().__init__(num_users, num_items, k=k, similarity=similarity, shrinkage=shrinkage)
        self.decay, self.half_life = decay, half_life

    def fit(self, split: Split) -> None:
        """Find the neighbours of each item."""
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        self.keep_neighbours(matrix.T.tocsr())
        self.keep_history(recent(matrix, split.train, self.decay, self.half_life))

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self.fold_in(self.histories(users))

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I)."""
        seen = histories.dense(self.num_items).T.contiguous()  # (I, B)
        return F.embedding_bag(self.neighbours, seen, per_sample_weights=self.similarities, mode="sum").T
