"""Confidence sequences: identities, limits, and coverage of every look at once."""

import numpy as np
import pytest
from scipy import stats

from ncf.online.always_valid import asymptotic_half_width, msprt, msprt_half_width, safe_proportions
from ncf.stats.checks import StatisticsError

RNG = np.random.default_rng(8)


def walks(runs: int, looks: int, mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Running means (runs, looks) of standard normal numbers, and their standard errors."""
    n = np.arange(1, looks + 1)
    return np.cumsum(RNG.normal(mean, 1, (runs, looks)), 1) / n, np.broadcast_to(1 / np.sqrt(n), (runs, looks))


def test_the_mixture_ratio_is_the_integral_over_effects() -> None:
    effect, error, tau = 0.4, 0.2, 0.3
    theta = np.linspace(-4, 4, 80_001)
    ratio = stats.norm.pdf(effect, theta, error) / stats.norm.pdf(effect, 0, error)
    mixed = np.trapezoid(ratio * stats.norm.pdf(theta, 0, tau), theta)
    assert msprt(np.array([effect]), np.array([error]), tau)[0] == pytest.approx(min(1, 1 / mixed), rel=1e-6)


def test_p_falls_below_alpha_where_the_sequence_excludes_zero() -> None:
    effects, errors = walks(500, 60, 0.3)
    excluded = np.abs(effects) > msprt_half_width(errors, 0.2)
    first = np.maximum.accumulate(excluded, 1)
    np.testing.assert_array_equal(first, msprt(effects, errors, 0.2) < 0.05)


@pytest.mark.parametrize("kind", ["mixture", "asymptotic"])
def test_no_look_of_many_leaves_the_truth_out_too_often(kind: str) -> None:
    runs, looks = 4000, 400
    effects, errors = walks(runs, looks, 0.1)
    n = np.arange(1, looks + 1.0)
    half = msprt_half_width(errors, 0.1) if kind == "mixture" else asymptotic_half_width(n, np.ones(looks), 200)
    missed = (np.abs(effects - 0.1) > half).any(1).mean()
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    naive = (np.abs(effects - 0.1) > 1.96 * errors).any(1).mean()
    assert naive > 0.3  # an interval for one look, looked at 400 times


def test_the_asymptotic_sequence_is_narrowest_where_it_is_tuned() -> None:
    n = np.array([500.0])
    best = asymptotic_half_width(n, np.ones(1), 500)[0]
    for other in (100, 300, 450, 550, 900, 5000):
        assert asymptotic_half_width(n, np.ones(1), other)[0] > best


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.8])
def test_nobody_gains_by_the_safe_test_under_equal_rates(rate: float) -> None:
    runs, sizes = 200_000, np.tile([4, 2], (5, 1))
    new = RNG.binomial(sizes, rate, (runs, 5, 2))
    wealth = safe_proportions(new, sizes)
    assert (wealth.mean(0) <= 1 + 4 * wealth.std(0) / np.sqrt(runs)).all()


def test_the_expected_gain_of_a_block_is_at_most_one_at_every_rate() -> None:
    before, block = np.array([3, 0]), np.array([4, 2])
    sizes = np.stack([block, block])
    s = np.array([(i, j) for i in range(5) for j in range(3)])
    wealth = safe_proportions(np.stack([np.broadcast_to(before, s.shape), s], 1), sizes)
    gains = wealth[:, 1] / wealth[:, 0]
    for rate in np.linspace(0.01, 0.99, 99):
        chance = stats.binom.pmf(s[:, 0], 4, rate) * stats.binom.pmf(s[:, 1], 2, rate)
        assert chance @ gains <= 1 + 1e-12
    seen = (before + 0.18) / (block + 0.36)
    mean = float(seen @ block) / 6
    chance = stats.binom.pmf(s[:, 0], 4, mean) * stats.binom.pmf(s[:, 1], 2, mean)
    assert chance @ gains == pytest.approx(1, abs=1e-12)  # at the mean of its two estimates nothing is lost either


def test_the_first_block_of_the_safe_test_says_nothing() -> None:
    assert safe_proportions(np.array([[3, 0]]), np.array([[5, 5]]))[0] == pytest.approx(1)


def test_infinite_errors_are_looks_without_information() -> None:
    assert msprt(np.array([0.0, 5.0]), np.array([np.inf, 0.1]), 1.0)[0] == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: msprt(np.zeros(3), np.ones(2), 1.0),
        lambda: msprt(np.zeros(2), np.zeros(2), 1.0),
        lambda: msprt(np.zeros(2), np.ones(2), 0.0),
        lambda: msprt_half_width(np.ones(2), 1.0, level=1.0),
        lambda: asymptotic_half_width(np.zeros(1), np.ones(1), 5),
        lambda: asymptotic_half_width(np.ones(1), np.ones(1), 0),
        lambda: safe_proportions(np.array([[3, 6]]), np.array([[5, 5]])),
        lambda: safe_proportions(np.array([[3]]), np.array([[5, 5]])),
    ],
)
def test_bad_input_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError):
        call()
