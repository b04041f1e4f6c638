"""Shared ones, by both ways, against dense products."""

import numpy as np
import pytest
from scipy import sparse

from ncf.core.rng import numpy_generator
from ncf.models import co_occurrence
from ncf.models.co_occurrence import shared_ones


def binary(rows: int, columns: int, density: float) -> sparse.csr_matrix:
    return sparse.csr_matrix((numpy_generator(0, "synthetic").random((rows, columns)) < density).astype(float))


@pytest.mark.parametrize("advantage", [0, 10**9], ids=["sparse", "dense"])
@pytest.mark.parametrize("shape", [(70, 40, 130), (3, 9, 64), (1, 5, 1), (0, 5, 3)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_both_ways_equal_the_dense_product(
    advantage: int, shape: tuple[int, int, int], density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_occurrence, "_ADVANTAGE", advantage)
    rows, length, columns = shape
    vectors, others = binary(rows, length, density), binary(length, columns, density)
    shared = shared_ones(vectors, others)
    assert shared.dtype == np.float64
    assert np.array_equal(shared, vectors.toarray() @ others.toarray())


def test_the_dense_way_is_taken_for_many_ones_only() -> None:
    for density, dense in ((0.5, True), (0.001, False)):
        vectors = binary(500, 400, density)
        assert co_occurrence._is_dense(vectors, vectors.T.tocsr()) is dense


def test_counts_beyond_what_float32_holds_exactly_are_summed_sparsely(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = binary(50, 40, 1.0)
    assert co_occurrence._is_dense(vectors, vectors.T.tocsr())
    monkeypatch.setattr(co_occurrence, "_LARGEST_COUNT", 40)
    assert not co_occurrence._is_dense(vectors, vectors.T.tocsr())
