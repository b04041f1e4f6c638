"""Designs: other programs' sizes, published inflation, and that what is planned is attained."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ncf.online.sample_size import (
    days,
    design,
    detectable_mean,
    detectable_proportion,
    looks_factor,
    means_n,
    means_power,
    proportions_n,
)
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "ab_references.json").read_text())["sample_size"]


@pytest.mark.parametrize("name", ["0.1->0.11", "0.05->0.06", "0.1->0.12"])
def test_sizes_of_proportions(name) -> None:
    own = REFERENCE[name]
    base, other = map(float, name.split("->"))
    for formula, key in (("unpooled", "n_per_arm_unpooled"), ("pooled", "n_per_arm_pooled (Fleiss)"),
                         ("arcsine", "cohen_h_statsmodels")):  # fmt: skip
        assert proportions_n(base, other - base, formula=formula) == pytest.approx(own[key], rel=1e-8)


def test_sizes_of_means_and_what_is_detectable() -> None:
    assert means_n(0.2, 1.0) == pytest.approx(REFERENCE["t_test d=0.2 alpha .05 power .8"], rel=1e-8)
    expected = REFERENCE["mde p=.10 n=1500/arm (the original's 30 days x 50)"]
    assert detectable_proportion(0.1, 1500) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [2, 3, 10, 1000, 1e7])
@pytest.mark.parametrize("alpha", [0.05, 1e-5])
def test_size_and_detectable_effect_invert_each_other(n, alpha) -> None:
    effect = detectable_mean(2.0, n, alpha=alpha)
    assert means_n(effect, 2.0, alpha=alpha) == pytest.approx(n, rel=1e-6)
    assert means_power(effect, 2.0, n, alpha=alpha) == pytest.approx(0.8, abs=1e-9)


def test_unequal_shares_take_more_units() -> None:
    equal = proportions_n(0.1, 0.02) / 0.5
    assert proportions_n(0.1, 0.02, share=0.1) / 0.1 > 2 * equal
    assert means_n(0.2, 1, share=0.25) / 0.25 == pytest.approx(means_n(0.2, 1, share=0.75) / 0.75, rel=1e-9)


def test_looks_cost_what_jennison_and_turnbull_print() -> None:
    """Tables 2.2 and 2.4, alpha 0.05, power 0.8, K = 5."""
    assert looks_factor(5) == pytest.approx(1.028, abs=5e-4)
    assert looks_factor(5, kind="pocock") == pytest.approx(1.229, abs=5e-4)


def test_the_whole_design() -> None:
    plain = design(baseline=0.1, effect=0.01, per_day=1000)
    assert (plain.n_per_arm, plain.n, plain.days) == (14751, 29502, 30)
    assert plain.detectable == pytest.approx(0.01, rel=1e-4)
    assert design(baseline=0.1, relative=0.1).n == plain.n
    found = design(baseline=0.1, effect=0.01, arms=3, icc=0.1, cluster_size=25, correlation=0.5, looks=5)
    assert found.factors["clusters"] == pytest.approx(3.4)
    assert found.factors["covariate"] == pytest.approx(0.75)
    assert found.alpha == 0.025
    assert found.n == 3 * found.n_per_arm
    back = design(baseline=0.1, n=found.n, arms=3, icc=0.1, cluster_size=25, correlation=0.5, looks=5)
    assert back.effect == pytest.approx(0.01, rel=1e-4)
    assert design(baseline=10, sd=3, effect=0.5).n_per_arm == np.ceil(means_n(0.5, 3))
    assert design(baseline=0, sd=3, effect=0.5).relative is None
    assert days(1001, 1000) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"baseline": 0.1}, "one of effect="),
        ({"baseline": 0.1, "effect": 0.1, "relative": 1.0}, "both effect= and relative="),
        ({"baseline": 0.1, "effect": 0.1, "n": 100}, "got both"),
        ({"baseline": 0.1, "effect": 0.95}, "base \\+ effect"),
        ({"baseline": 1.1, "effect": 0.95}, "baseline: expected a rate between 0 and 1, or sd="),
        ({"baseline": 0.1, "effect": 0.0}, "not zero"),
        ({"baseline": 0.1, "effect": 0.1, "icc": 0.1}, "together"),
        ({"baseline": 0.1, "effect": 0.1, "arms": 1}, "arms"),
        ({"baseline": 0.99, "n": 10}, "no increase"),
        ({"baseline": 0.1, "effect": 0.1, "power": 0.01}, "power"),
        ({"baseline": 0.1, "effect": 0.1, "per_day": 0}, "per_day"),
        ({"baseline": 0.1, "effect": 0.1, "looks": 3, "bounds": "haybittle"}, "bounds: expected one of"),
    ],
)
def test_refusals(arguments, says) -> None:
    with pytest.raises(StatisticsError, match=says):
        design(**arguments)


def test_a_planned_design_attains_its_power() -> None:
    """20,000 simulated experiments of the size that was planned."""
    rng, runs = np.random.default_rng(1), 20_000
    n = design(baseline=0.1, effect=0.03).n_per_arm
    x, y = rng.binomial(n, 0.13, runs), rng.binomial(n, 0.1, runs)
    pooled = (x + y) / (2 * n)
    power = np.mean((x - y) / n / np.sqrt(pooled * (1 - pooled) * 2 / n) > stats.norm.isf(0.025))
    assert abs(power - 0.8) <= 3 * np.sqrt(0.16 / runs) + 0.003  # the formula's own error at this size
    n = design(baseline=5, sd=2, effect=0.5).n_per_arm
    a, b = rng.normal(5.5, 2, (2000, n)), rng.normal(5, 2, (2000, n))
    assert abs(np.mean(stats.ttest_ind(a, b, axis=1).pvalue <= 0.05) - 0.8) <= 3 * np.sqrt(0.16 / 2000)
