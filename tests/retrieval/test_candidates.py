"""Candidates and their relevance."""

import torch
from candidate_lists import candidates

from ncf.retrieval.candidates import Candidates, best


def test_relevance_is_between_the_last_candidate_and_the_best() -> None:
    found = Candidates(torch.arange(3), torch.zeros(3, 3, dtype=torch.int64),
                       torch.tensor([[4.0, 3, 2], [5, 5, -torch.inf], [-torch.inf] * 3]))  # fmt: skip
    assert found.relevance().tolist() == [[1, 0.5, 0], [0, 0, 0], [0, 0, 0]]


def test_the_best_come_first_and_what_is_ruled_out_is_no_candidate() -> None:
    found = best(torch.tensor([0]), torch.tensor([[1.0, 3, -torch.inf, 3]]), 9)
    assert found.items[0, :3].tolist() == [1, 3, 0]
    assert found.there.tolist() == [[True, True, True, False]]


def test_positions_that_hold_nothing_have_no_score() -> None:
    items, scores = candidates().at(torch.tensor([[2, 0, -1]] * 7))
    assert (scores[:, 2] == -torch.inf).all()
    assert items[0, :2].tolist() == candidates().items[0, [2, 0]].tolist()
