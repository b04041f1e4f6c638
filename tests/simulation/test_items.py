"""Means of items, against hand-computed values and a world drawn from the model."""

import pytest
import torch

from ncf.simulation.items import ItemMeans


def test_before_any_reward_nothing_is_known() -> None:
    means, variances = ItemMeans(3).posterior()
    assert torch.equal(means, torch.zeros(3).double())
    assert torch.equal(variances, torch.ones(3).double())


def test_many_rewards_give_their_mean_and_none_the_overall_one() -> None:
    model = ItemMeans(3)
    stream = torch.Generator().manual_seed(0)
    items = torch.arange(2).repeat(5000)
    rewards = items * 2.0 + torch.randn(10_000, generator=stream, dtype=torch.float64)
    model.add(items, rewards)
    means, variances = model.posterior()
    assert torch.allclose(means[:2], torch.stack([rewards[items == k].mean() for k in range(2)]), atol=1e-3)
    assert float(means[2]) == pytest.approx(float(rewards.mean()))
    assert float(variances[0]) == pytest.approx(1 / 5000, rel=0.1)
    assert float(variances[2]) > 1


def test_posteriors_cover_the_truth() -> None:
    """500 items with N(1, .5^2) means and five rewards each of spread 1: standardised errors have variance 1."""
    stream = torch.Generator().manual_seed(1)
    truth = 1 + 0.5 * torch.randn(500, generator=stream, dtype=torch.float64)
    items = torch.arange(500).repeat(5)
    model = ItemMeans(500)
    model.add(items, truth[items] + torch.randn(2500, generator=stream, dtype=torch.float64))
    means, variances = model.posterior()
    standardised = (means - truth) / variances.sqrt()
    assert float(standardised.square().mean()) == pytest.approx(1, abs=5 * (2 / 500) ** 0.5)


def test_its_state_is_whole() -> None:
    one, other = ItemMeans(2), ItemMeans(2)
    one.add(torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))
    other.load(one.state())
    assert torch.equal(one.posterior()[0], other.posterior()[0])


def test_five_rewards_by_hand() -> None:
    """Within 4 / 2 = 2; between (36 - 2 x 2) / (5 - 9 / 5) = 10; overall mean 5."""
    model = ItemMeans(3)
    model.add(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1.0, 3, 5, 7, 9]).double())
    means, variances = model.posterior()
    assert means.tolist() == pytest.approx([2.5 / 1.1, 6.5 / 1.1, 5 / 0.6])
    assert variances.tolist() == pytest.approx([1 / 1.1, 1 / 1.1, 1 / 0.6])
