"""What lists are like, on lists small enough to work out by hand."""

import math

import numpy as np
import pytest
import torch

from ncf.retrieval import lists
from ncf.retrieval.similarity import Table

NAN = float("nan")


def test_ndcg_of_one_and_of_several_positives() -> None:
    relevant = torch.tensor([[False, True, False], [True, False, True], [False, False, False]])
    found = lists.ndcg(relevant, torch.tensor([1, 5, 2]))
    ideal = 1 + 1 / math.log2(3) + 0.5  # of five positives three fit
    assert found.tolist() == pytest.approx([1 / math.log2(3), 1.5 / ideal, 0])


def test_similarity_is_the_mean_over_pairs_and_undefined_for_fewer_than_two() -> None:
    table = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1, -0.2], [0.1, -0.2, 1]])
    items = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 0], [0, 0, 0]])
    there = torch.tensor([[True] * 3, [True, True, False], [True, False, False], [False] * 3])
    found = lists.intra_list_similarity(items, there, Table(table))
    assert found.tolist() == pytest.approx([0.4 / 3, -0.2, NAN, NAN], nan_ok=True)


def test_serendipity_counts_what_is_relevant_and_not_popular() -> None:
    items, expected = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[3, 9, 8, 7]])
    relevant = torch.tensor([[True, False, False, True]])
    assert lists.serendipity(items, relevant, expected).tolist() == [0.25]


def test_a_list_with_the_users_own_mixture_is_calibrated() -> None:
    genres = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    tastes = torch.tensor([[0.5, 0.5], [1, 0], [0, 0]])
    items = torch.tensor([[0, 1], [1, 1], [0, 2]])
    there = torch.ones(3, 2, dtype=torch.bool)
    found = lists.miscalibration(items, there, genres, tastes)
    assert found.tolist() == pytest.approx([0, math.log(1 / 0.01), 0], abs=1e-6)
    there[0, 1] = False
    smooth = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005)
    assert float(lists.miscalibration(items, there, genres, tastes)[0]) == pytest.approx(smooth, abs=1e-5)


def test_metrics_of_the_catalogue_count_only_what_is_there() -> None:
    there = torch.tensor([[True, True], [True, False]])
    found = lists.of_catalogue(torch.tensor([[0, 1], [0, 3]]), there, np.array([4, 2, 1, 1]), 8)
    assert found["coverage"] == 0.5
    assert found["popularity"] == pytest.approx(10 / 3)
    assert found["novelty"] == pytest.approx((1 + 1 + 2) / 3)
