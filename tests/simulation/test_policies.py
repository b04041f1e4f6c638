"""Propensities are the frequencies of what is recommended."""

import pytest
import torch

from ncf.simulation.policies import greedy

SCORES = torch.tensor([[0.1, 0.9, 0.5, 0.2]])


@pytest.mark.parametrize(("epsilon", "temperature"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.3, 0.4), (1.0, 0.0)])
def test_propensities_are_frequencies(epsilon: float, temperature: float) -> None:
    """Over 40,000 users with the same scores, each item's share within 5 standard errors of its propensity."""
    count = 40_000
    found = greedy(SCORES.expand(count, 4), torch.Generator().manual_seed(0), epsilon, temperature)
    soft = torch.softmax(SCORES[0].double() / temperature, 0) if temperature else torch.eye(4)[1].double()
    expected = (1 - epsilon) * soft + epsilon / 4
    for item in range(4):
        share = float((found.items == item).double().mean())
        p = float(expected[item])
        assert abs(share - p) <= 5 * (p * (1 - p) / count) ** 0.5
        own = found.propensity[found.items == item]
        assert torch.allclose(own, torch.full_like(own, p))
    assert torch.equal(found.predicted, SCORES[0, found.items].double())


@pytest.mark.parametrize("scores", [SCORES, SCORES.double() * 1e300])
def test_the_lowest_temperature_recommends_the_best(scores: torch.Tensor) -> None:
    found = greedy(scores, torch.Generator().manual_seed(0), 0.0, 5e-324)
    assert found.items.tolist() == [1]
    assert found.propensity.tolist() == [1.0]
