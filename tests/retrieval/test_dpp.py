"""The greedy search for the most probable list: its volumes are numpy's determinants."""

import numpy as np
import pytest
import torch
from candidate_lists import ITEMS, brute_force, candidates, genres

from ncf.retrieval.dpp import DPP, RIDGE
from ncf.retrieval.similarity import cosine


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("repeated", [False, True])
def test_each_step_adds_most_to_relevance_and_log_determinant(weight: float, seed: int, repeated: bool) -> None:
    stream = torch.Generator().manual_seed(seed)
    vectors = genres(seed) if repeated else torch.randn(ITEMS, 12, generator=stream)
    unit = torch.nn.functional.normalize(vectors.double())
    kernel = unit @ unit.T
    kernel.diagonal().fill_(1 + RIDGE)  # an item about which nothing is known has a volume too
    found = candidates(seed)
    relevance = found.relevance().double()

    def value(row: int, chosen: list[int], at: int) -> float:
        items = found.items[row, [*chosen, at]]
        sign, volume = np.linalg.slogdet(kernel[items][:, items].numpy())
        assert sign > 0
        return weight * float(relevance[row, [*chosen, at]].sum()) + (1 - weight) * volume

    mine = DPP(weight, cosine(vectors)).choose(found, 6)
    for row, (ours, theirs) in enumerate(zip(mine.tolist(), brute_force(found, 6, value), strict=True)):
        for step, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one != other:  # what is repeated has a volume of RIDGE, which float32 similarities know to 1e-3 of it
                assert repeated
                assert value(row, ours[:step], one) == pytest.approx(value(row, ours[:step], other), abs=0.02)
                break


def test_what_is_the_same_comes_last() -> None:
    found = candidates(fewer=False)
    found = type(found)(found.users[:1], torch.tensor([[0, 1, 2, 3]]), torch.tensor([[4.0, 3, 2, 1]]))
    same = cosine(torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
    assert DPP(0.5, same).choose(found, 4).tolist() == [[0, 2, 1, 3]]
