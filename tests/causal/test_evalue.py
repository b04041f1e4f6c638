"""E-values against published numbers and their definition."""

import numpy as np
import pytest

from ncf.causal.evalue import odds_ratio, risk_ratio, standardised
from ncf.stats.checks import StatisticsError


def test_the_published_example() -> None:
    """Smoking and lung cancer: VanderWeele and Ding (2017), RR 10.73 [8.02, 14.36], E-values 20.95 and 15.52."""
    found = risk_ratio(10.73, 8.02, 14.36)
    assert found.estimate == pytest.approx(20.95, abs=0.005)
    assert found.limit == pytest.approx(15.52, abs=0.005)


def test_a_protective_ratio_is_the_inverse_of_a_harmful_one() -> None:
    one, other = risk_ratio(0.8, 0.71, 0.91), risk_ratio(1 / 0.8, 1 / 0.91, 1 / 0.71)
    assert one.estimate == pytest.approx(other.estimate)
    assert one.limit == pytest.approx(other.limit)
    assert one.estimate == pytest.approx(1.809, abs=0.001)
    assert one.limit == pytest.approx(1.429, abs=0.001)


def test_the_bound_is_attained() -> None:
    """A confounder with both ratios E leaves exactly no effect: the joint bounding factor is E² / (2E - 1)."""
    for ratio in (1.0, 1.2, 3.9, 40.0):
        e = risk_ratio(ratio).estimate
        assert e * e / (2 * e - 1) == pytest.approx(ratio)


def test_an_interval_with_no_effect_needs_no_confounder() -> None:
    assert risk_ratio(1.4, 0.9, 2.0).limit == 1
    assert risk_ratio(1.0, 0.9, 1.1).estimate == 1
    assert np.isnan(risk_ratio(1.4).limit)


def test_odds_ratios_of_common_outcomes_count_at_their_root() -> None:
    assert odds_ratio(4, 2.25, 9).estimate == pytest.approx(risk_ratio(2).estimate)
    assert odds_ratio(4, 2.25, 9).limit == pytest.approx(risk_ratio(1.5).estimate)
    assert odds_ratio(4, rare=True).estimate == pytest.approx(risk_ratio(4).estimate)


def test_standardised_differences() -> None:
    found = standardised(0.5, 0.1)
    assert found.ratio == pytest.approx(np.exp(0.455))
    assert found.estimate == pytest.approx(risk_ratio(np.exp(0.91 * 0.5)).estimate)
    assert found.limit == pytest.approx(risk_ratio(np.exp(0.91 * 0.5 - 0.91 * 1.96 * 0.1)).estimate)
    assert standardised(-0.5, 0.1).limit == pytest.approx(found.limit)
    assert standardised(0.1, 0.1).limit == 1
    assert standardised(0.5).estimate == found.estimate
    assert np.isfinite(standardised(80, 1e3).limit)


@pytest.mark.parametrize("call", [lambda: risk_ratio(0), lambda: risk_ratio(-2), lambda: odds_ratio(2, -1, 3),
                                  lambda: standardised(float("nan")), lambda: standardised(1, -1)])  # fmt: skip
def test_what_is_no_ratio_is_refused(call: object) -> None:
    with pytest.raises(StatisticsError):
        call()  # type: ignore[operator]


def test_an_effect_of_a_thousand_deviations_has_an_e_value() -> None:
    found = standardised(1e6, 0.1)
    assert found.estimate > 1e80
    assert found.limit > 1e80
    assert standardised(-1e6, 0.1).estimate == pytest.approx(found.estimate)
