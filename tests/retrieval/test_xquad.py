"""xQuAD equals a search that tries every item at each step."""

import pytest
from candidate_lists import GENRES, brute_force, candidates, genres, tastes

from ncf.retrieval.xquad import XQuAD


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_each_step_takes_the_best_of_all(weight: float, seed: int) -> None:
    found, table, wanted = candidates(seed), genres(seed), tastes(seed)
    relevance = found.relevance()
    share = [[float(g) / max(1.0, float(row.sum())) for g in row] for row in table]

    def value(row: int, chosen: list[int], at: int) -> float:
        total = 0.0
        for g in range(GENRES):
            left = float(wanted[row, g]) * share[int(found.items[row, at])][g]
            for j in chosen:
                left *= 1 - share[int(found.items[row, j])][g]
            total += left
        return weight * float(relevance[row, at]) + (1 - weight) * total

    assert XQuAD(weight, table, wanted).choose(found, 6).tolist() == brute_force(found, 6, value)
