"""The agent that recommends at random."""

import torch
from toy_worlds import agent, regrets, world

from ncf.simulation import Stream


def test_items_are_uniform_and_say_so() -> None:
    """Chi-square over 80 items and 100 periods of 100 users: within 5 standard deviations of its mean."""
    learner = agent("random", world())
    found = [learner.recommend(torch.arange(100), Stream(0, period)) for period in range(100)]
    counts = torch.bincount(torch.cat([one.items for one in found]), minlength=80)
    chi_square = float(((counts - 125.0) ** 2 / 125).sum())
    assert abs(chi_square - 79) < 5 * (2 * 79) ** 0.5
    assert torch.equal(found[0].propensity, torch.full((100,), 1 / 80, dtype=torch.float64))


def test_its_regret_stays() -> None:
    found = regrets("random", world(), 20)
    assert abs(found[:10].mean() - found[10:].mean()) < 0.1
