"""The posterior against a brute-force grid, its limits, and its calibration."""

import numpy as np
import pytest
from scipy import stats

from experiments.tuned_losses.bayes import posterior

SETTINGS = {"share": 0.018, "margin": 0.05, "effect_sd": 0.1, "block_sd": 0.1}


def test_against_a_grid_over_both_parameters() -> None:
    y, noise = np.array([0.02, 0.09, -0.03, 0.05, 0.11]), 0.03**2
    mus, taus = np.linspace(-0.4, 0.4, 801), np.linspace(0.0005, 0.4995, 400)
    overlap = 0.018 / 1.018
    shape = (1 - overlap) * np.eye(5) + overlap
    logs = np.array([
        [stats.multivariate_normal.logpdf(y, np.full(5, mu), (tau**2 + noise) * shape) for mu in mus[::10]]
        for tau in taus[::10]
    ])  # fmt: skip
    logs += stats.norm.logpdf(mus[::10], 0, 0.1) + stats.norm.logpdf(taus[::10], 0, 0.1)[:, None]
    weight = np.exp(logs - logs.max())
    of_mu = weight.sum(0) / weight.sum()
    found = posterior(y, noise, **SETTINGS)
    assert found.mean == pytest.approx(of_mu @ mus[::10], abs=1e-3)
    assert found.above == pytest.approx(
        of_mu[mus[::10] > 0.05].sum() + of_mu[np.isclose(mus[::10], 0.05)].sum() / 2, abs=5e-3
    )
    assert found.between == pytest.approx((weight.sum(1) / weight.sum()) @ taus[::10], abs=1e-3)


def test_limits() -> None:
    y = np.full(24, 0.08) + np.linspace(-0.01, 0.01, 24)
    sure = posterior(y, 1e-6, **SETTINGS)
    assert (sure.above > 0.99, sure.below < 1e-6) == (True, True)
    assert sure.low < 0.08 < sure.high
    mirrored = posterior(-y, 1e-6, **SETTINGS)
    assert mirrored.below == pytest.approx(sure.above)
    assert (mirrored.low, mirrored.high) == pytest.approx((-sure.high, -sure.low))
    assert posterior(y, 1e3, **SETTINGS).mean == pytest.approx(0, abs=1e-3)  # nothing was seen: the prior is left


@pytest.mark.slow
def test_intervals_cover_what_is_drawn_from_the_priors() -> None:
    rng, studies, overlap = np.random.default_rng(5), 300, 0.018 / 1.018
    covered = 0
    for _ in range(studies):
        mu, tau = 0.1 * rng.normal(), abs(0.1 * rng.normal())
        size = np.sqrt(tau**2 + 0.03**2)
        y = mu + size * (np.sqrt(overlap) * rng.normal() + np.sqrt(1 - overlap) * rng.normal(size=12))
        found = posterior(y, 0.03**2, **SETTINGS)
        covered += found.low <= mu <= found.high
    assert abs(covered / studies - 0.95) < 3 * np.sqrt(0.95 * 0.05 / studies)
