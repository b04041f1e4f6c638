"""Simulated power of the exact Wilcoxon test on few pairs: that of a plain simulation, study by study."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats.paired import wilcoxon_of_many
from ncf.stats.small_power import critical_sum, simulated_power


def by_hand(effect: float, seeds: int, level: float, draws: int) -> tuple[float, float]:
    d = np.random.default_rng(seeds).normal(effect, 1, (draws, seeds))
    share = float((wilcoxon_of_many(d)[0] <= level).mean())
    return share, np.sqrt(share * (1 - share) / draws)


@pytest.mark.parametrize("seeds", [6, 8, 10, 19])
@pytest.mark.parametrize("level", [0.05, 0.0125])
@pytest.mark.parametrize("effect", [0.3, -0.9, 1.5])
def test_power_is_that_of_a_plain_simulation(effect: float, seeds: int, level: float) -> None:
    found, (share, error) = simulated_power(2 * effect, 2.0, seeds, level), by_hand(effect, seeds, level, 20_000)
    assert abs(found.value - share) <= 3 * np.hypot(found.error, error) + 1e-12
    assert found.error <= 0.0036


@pytest.mark.parametrize(("seeds", "level"), [(8, 0.05), (10, 0.0125), (15, 0.05), (19, 0.01)])
def test_without_effect_it_is_the_size_of_the_exact_test(seeds: int, level: float) -> None:
    size = simulated_power(0.0, 1.0, seeds, level).value
    assert level / 2 < size <= level
    close = simulated_power(1e-9, 1.0, seeds, level)
    assert abs(close.value - size) <= 3 * close.error


def test_the_critical_value_is_tabled() -> None:
    """Wilcoxon's table: T = 8 at 10 pairs and 0.05, two-sided, is W = 55 - 8; at 5 pairs there is none."""
    assert critical_sum(10, 0.05) == 47
    assert critical_sum(5, 0.05) is None
    assert simulated_power(100.0, 1.0, 5, 0.05).value == 0


def test_the_same_design_has_the_same_power_and_more_effect_no_less() -> None:
    powers = [simulated_power(effect, 1.0, 12, 0.05).value for effect in np.linspace(0, 3, 40)]
    assert (np.diff(powers) >= 0).all()
    assert simulated_power(0.7, 1.0, 12, 0.05) == simulated_power(0.7, 1.0, 12, 0.05)
    assert powers[-1] == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 8, 10, 12, 15, 19])
def test_power_is_exact_over_effects_and_levels(seeds: int) -> None:
    for level in (0.05, 0.0125, 0.005):
        for effect in (0.2, 0.5, 0.8, 1.2, 1.8):
            found, (share, error) = simulated_power(effect, 1.0, seeds, level), by_hand(effect, seeds, level, 200_000)
            assert abs(found.value - share) <= 4 * np.hypot(found.error, error) + 1e-12


def test_of_two_pairs_it_is_known_in_closed_form() -> None:
    """At level 0.5 both have to agree in sign: P = Phi(d)^2 + Phi(-d)^2."""
    found = simulated_power(0.8, 1.0, 2, 0.5)
    assert abs(found.value - (stats.norm.cdf(0.8) ** 2 + stats.norm.sf(0.8) ** 2)) <= 3 * found.error
