"""Draws: the same however they are stacked, with the means that the truth says, for any design."""

import numpy as np
import pytest
import torch
from toy_services import policy, service

from ncf.service import Sample, samples
from ncf.service.sample import linearised


@pytest.mark.parametrize("name", ["ranked", "plackett_luce"])
def test_a_replication_is_the_same_whichever_it_is_stacked_with(name: str) -> None:
    made = service(policy(name), learning=0.2)
    together, alone = Sample(made, range(3)), Sample(made, range(2, 3))
    for key in ("base", "enthusiasm", "counts", "clicks_a", "clicks_b"):
        assert torch.equal(getattr(together, key)[2], getattr(alone, key)[0])
    assert torch.equal(together.order(1)[2], alone.order(1)[0])
    assert not torch.equal(together.base[0], together.base[1])


def test_samples_cover_all_replications_in_order() -> None:
    numbers = [r for sample in samples(service(users=20_000, regions=40), 5) for r in sample.replications]
    assert numbers == list(range(5))


@pytest.mark.parametrize("name", ["ranked", "plackett_luce", "epsilon_mixed"])
def test_clicks_a_session_have_the_means_that_the_truth_says(name: str) -> None:
    made = service(policy(name), users=5_000, learning=0.5, satiation=0.1, half_life=3.0)
    sample = Sample(made, range(8))
    sessions = sample.counts[:, :, 1:].double()
    for arm, clicks in enumerate((sample.clicks_a, sample.clicks_b)):
        ratio = clicks[:, :, 1:].sum((1, 2)) / sessions.sum((1, 2))
        gain = made.world.familiarity(torch.arange(6)) if arm else torch.ones(6, dtype=torch.float64)
        truth = float(made.values[arm].mean() * (made.day_factor[1:] * gain).mean())
        assert abs(float(ratio.mean()) - truth) <= 3 * float(ratio.std()) / len(ratio) ** 0.5
    before = sample.clicks_a[:, :, 0].sum(1) / sample.counts[:, :, 0].sum(1)
    assert abs(float(before.mean() - made.values[0].mean())) <= 3 * float(before.std()) / 8**0.5


def test_sessions_differ_between_users_as_asked() -> None:
    counts = Sample(service(users=100_000, activity=0.7), range(1)).counts[0, :, 1:].double().sum(1)
    mean = 0.5 * 6
    assert abs(float(counts.mean()) - mean) <= 3 * float(counts.std()) / 100_000**0.5
    assert float(counts.var()) == pytest.approx(mean + (0.7 * mean) ** 2, rel=0.1)  # Poisson, and of the users


def test_clicks_follow_enthusiasm_and_regions_cancel() -> None:
    sample = Sample(service(users=40_000, regions=20, enthusiasm=0.6), range(1))
    h = sample.enthusiasm[0]
    high, low = (sample.clicks_a[0][mask].sum() / sample.counts[0][mask].sum() for mask in (h > 0, h <= 0))
    assert float(high / low) == pytest.approx(1.3 / 0.7, rel=0.1)
    regions = torch.stack([sample.factor[0][sample.region == g].mean() for g in range(20)])
    assert float(regions.mean()) == pytest.approx(1, abs=3 * 0.6 * 3**-0.5 / 40_000**0.5)


def test_linearised_clicks_differ_between_groups_as_ratios_do() -> None:
    sessions = np.array([1.0, 3.0, 2.0, 2.0])  # both groups have four
    values = linearised(np.array([1.0, 2.0, 0.0, 1.0]), sessions)
    assert values[:2].mean() - values[2:].mean() == pytest.approx(3 / 4 - 1 / 4)
    assert values.mean() == pytest.approx(1 / 2)
    assert (linearised(np.zeros(3), np.zeros(3)) == 0).all()
