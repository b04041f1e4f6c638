"""Exact search, leaving out what is known, and recall."""

import numpy as np
import pytest
import torch

from ncf.retrieval.nearest import Exact, recall, unseen


def test_exact_search_is_the_best_of_all_products() -> None:
    stream = torch.Generator().manual_seed(0)
    vectors, queries = torch.randn(50, 4, generator=stream), torch.randn(6, 4, generator=stream)
    values, items = Exact(vectors).search(queries, 7)
    for row, query in enumerate(queries):
        products = (vectors @ query).numpy()
        assert items[row].tolist() == np.argsort(-products)[:7].tolist()
        np.testing.assert_allclose(values[row], np.sort(products)[::-1][:7], rtol=1e-5)
    assert Exact(vectors).search(queries, 99)[1].shape == (6, 50)


def test_what_a_user_has_is_left_out() -> None:
    values, items = torch.tensor([[9.0, 8, 7, 6], [5, 4, 3, -torch.inf]]), torch.tensor([[3, 1, 2, 0], [0, 2, 1, 0]])
    found = unseen((values, items), (np.array([0, 0, 1], np.int32), np.array([1, 3, 0], np.int32)), 4, 2)
    assert found[0].tolist() == [[7, 6], [4, 3]]
    assert found[1].tolist() == [[2, 0], [2, 1]]


def test_recall_is_the_share_of_the_expected_that_is_found() -> None:
    there = torch.tensor([[True, True], [True, False]])
    assert recall(torch.tensor([[1, 5], [7, 0]]), torch.tensor([[5, 6], [7, 0]]), there) == pytest.approx(2 / 3)
