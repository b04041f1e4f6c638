"""MMR equals a search that tries every item at each step."""

import pytest
import torch
from candidate_lists import ITEMS, brute_force, candidates

from ncf.retrieval.mmr import MMR
from ncf.retrieval.similarity import Vectors, cosine


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("table", [True, False])
def test_each_step_takes_the_best_of_all(weight: float, seed: int, table: bool) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(seed)))
    vectors[3] = 0  # of no length
    vectors[4] = vectors[5]
    found, alike = candidates(seed), vectors @ vectors.T
    relevance = found.relevance()

    def value(row: int, chosen: list[int], at: int) -> float:
        item = found.items[row, at]
        near = max((float(alike[item, found.items[row, j]]) for j in chosen), default=0.0)
        return float(weight * relevance[row, at]) - (1 - weight) * near

    mine = MMR(weight, cosine(vectors) if table else Vectors(vectors)).choose(found, 6)
    assert mine.tolist() == brute_force(found, 6, value)


def test_by_hand() -> None:
    """Relevance 1, .9, 0; the first two are the same item in all but name: the third comes second."""
    found = candidates(fewer=False)
    found = type(found)(found.users[:1], torch.tensor([[0, 1, 2]]), torch.tensor([[10.0, 9, 0]]))
    similarity = cosine(torch.tensor([[1.0, 0], [1, 0], [0, 1]]))
    assert MMR(0.5, similarity).choose(found, 3).tolist() == [[0, 2, 1]]  # .45 - .5 < 0
    assert MMR(0.6, similarity).choose(found, 3).tolist() == [[0, 1, 2]]  # .54 - .4 > 0
