"""Simultaneous bands: the critical value of independent and of equal estimates, and coverage of all together."""

import numpy as np
import pytest
from panels import simulated

from ncf.causal.bands import sup_t
from ncf.causal.twfe import event_study
from ncf.stats.checks import StatisticsError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_critical_value_of_one_estimate_is_the_normal_one_and_grows_with_more() -> None:
    one = rng(1).normal(size=(500, 1))
    assert sup_t(one, draws=20_000, rng=rng(2)) == pytest.approx(1.96, abs=0.05)
    assert sup_t(np.repeat(one, 5, 1), draws=20_000, rng=rng(2)) == pytest.approx(1.96, abs=0.05)
    many = sup_t(rng(3).normal(size=(500, 20)), draws=20_000, rng=rng(2))
    assert many == pytest.approx(3.02, abs=0.06)  # the quantile (1 + 0.95^(1/20)) / 2 of the normal


@pytest.mark.parametrize("runs", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_bands_cover_all_effects_together_where_intervals_do_not(runs: int) -> None:
    inside, each = 0, 0
    for panel in simulated(runs, 9, rho=0.0, units=60, effect=0.5):
        study = event_study(panel, draws=199, rng=rng(1))
        truth = np.where(study.times >= 0, 0.5, 0.0)
        bands = np.array(study.bands)
        inside += bool(((bands[:, 0] <= truth) & (truth <= bands[:, 1])).all())
        each += all(e.low <= v <= e.high for e, v in zip(study.estimates, truth, strict=True))
    error = np.sqrt(0.95 * 0.05 / runs)
    assert inside / runs > 0.95 - 3 * error - 0.02  # 199 draws, 60 units
    assert each / runs < 0.9


@pytest.mark.parametrize("influence", [np.zeros(5), np.zeros((1, 2)), np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_what_has_no_error_has_no_band(influence: np.ndarray) -> None:
    with pytest.raises(StatisticsError):
        sup_t(influence, rng=rng())


@pytest.mark.parametrize("settings", [{"draws": 9}, {"level": 1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(StatisticsError):
        sup_t(rng().normal(size=(9, 2)), rng=rng(), **settings)  # type: ignore[arg-type]
