"""Calibration equals a search that tries every item at each step, and the divergence is scipy's."""

import numpy as np
import pytest
import torch
from candidate_lists import brute_force, candidates, genres, tastes
from scipy.stats import entropy

from ncf.retrieval.calibrated import SMOOTHING, Calibrated, divergence


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_each_step_takes_the_best_of_all(weight: float, seed: int) -> None:
    found, table, wanted = candidates(seed), genres(seed), tastes(seed)
    relevance = found.relevance().double()
    share = (table / table.sum(1, keepdim=True).clamp(min=1)).double().numpy()

    def value(row: int, chosen: list[int], at: int) -> float:
        places = [*chosen, at]
        q = share[found.items[row, places].numpy()].mean(0)
        p = wanted[row].double().numpy()
        smooth = (1 - SMOOTHING) * q + SMOOTHING * p
        lost = sum(p[g] * np.log(p[g] / smooth[g]) for g in np.flatnonzero(p))
        return weight * float(relevance[row, places].sum()) - (1 - weight) * lost

    assert Calibrated(weight, table, wanted).choose(found, 6).tolist() == brute_force(found, 6, value)


def test_the_divergence_is_scipys() -> None:
    p, q = torch.tensor([0.2, 0.8, 0.0]).double(), torch.tensor([0.5, 0.2, 0.3]).double()
    assert float(divergence(p, q)) == pytest.approx(entropy(p, 0.99 * q + 0.01 * p))
    assert float(divergence(p, p)) == pytest.approx(0, abs=1e-12)
    assert float(divergence(torch.zeros(3), q)) == 0
