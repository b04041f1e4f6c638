"""How many ones two binary vectors share, for all pairs: exact integers by whichever of two products is cheaper.

A sparse product touches each pair of ones that meet, in scattered places. Summing rows of a dense table touches all
pairs of a one and a column, but in order and several at once, which is faster unless the ones are few.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional as F

_WIDTH = 64  # columns of the table at a time, to stay in the processor's cache
_ADVANTAGE = 32  # cells of a dense sum in the time of one of a sparse product; measured 50 to 60, with the cache's help
_LARGEST_COUNT = 2**24  # of consecutive integers in float32


def shared_ones(vectors: sparse.csr_matrix, others: sparse.csr_matrix) -> np.ndarray:
    """Return the (B, R) float64 product of the binary `vectors` (B, N) and `others` (N, R)."""
    if _is_dense(vectors, others):
        return np.concatenate(list(_summed(vectors, others)), axis=1, dtype=np.float64)
    return (vectors @ others).toarray()


def _is_dense(vectors: sparse.csr_matrix, others: sparse.csr_matrix) -> bool:
    """Return whether the dense way is the faster one, and exact."""
    length, columns = others.shape
    meeting = int(np.diff(others.indptr)[vectors.indices].sum(dtype=np.int64))
    # The table is filled and read from memory once, which takes a few times as long as a sum from the cache.
    return length < _LARGEST_COUNT and (vectors.nnz + 8 * length) * columns <= _ADVANTAGE * meeting


def _summed(vectors: sparse.csr_matrix, others: sparse.csr_matrix) -> Iterator[np.ndarray]:
    """Yield the product (B, `_WIDTH` or what is left) float32, some columns at a time."""
    length, columns = others.shape
    by_column = others.tocsc()
    rows, starts = torch.from_numpy(vectors.indices), torch.from_numpy(vectors.indptr)
    for left in range(0, columns, _WIDTH):
        bounds = by_column.indptr[left : left + _WIDTH + 1]
        table = np.zeros((length, len(bounds) - 1), np.float32)
        ones = by_column.indices[bounds[0] : bounds[-1]]
        table[ones, np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))] = 1
        yield F.embedding_bag(rows, torch.from_numpy(table), starts, mode="sum", include_last_offset=True).numpy()
