"""Group-sequential bounds against rpact's, and everything else against what a simulated Brownian motion does."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ncf.online.sequential import analyse, bounds, crossing, drift_for, fractions, spending
from ncf.stats.checks import StatisticsError

DESIGNS = json.loads((Path(__file__).parent / "reference" / "group_sequential_rpact.json").read_text())["designs"]
KINDS = {
    "P": {"kind": "pocock"},
    "OF": {"kind": "obrien_fleming"},
    "Lan-DeMets asOF one-sided .025": {"kind": "obrien_fleming_spending", "alpha": 0.025, "sided": 1},
    "Lan-DeMets asP one-sided .025": {"kind": "pocock_spending", "alpha": 0.025, "sided": 1},
}


def paths(drift: float, t: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """z (count, K) of experiments at the fractions t."""
    steps = np.diff(t, prepend=0)
    moves = np.random.default_rng(seed).normal(drift * steps, np.sqrt(steps), (count, len(t)))
    return np.cumsum(moves, 1) / np.sqrt(t)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: f"{d['looks']} {d['type']}")
def test_bounds_are_those_of_rpact(design: dict) -> None:  # type: ignore[type-arg]
    expected = np.array([np.inf if b is None else b for b in design["bounds"]])
    found = bounds(design["looks"], **KINDS[design["type"]])
    known = np.isfinite(expected)  # rpact gives no bound beyond 8 standard errors
    np.testing.assert_allclose(found[known], expected[known], atol=1e-4)
    assert (found[~known] > 8).all()


@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming", "pocock_spending", "obrien_fleming_spending"])
@pytest.mark.parametrize("looks", [1, 7, [0.1, 0.15, 0.6, 1.0]])
def test_all_looks_together_spend_alpha(kind: str, looks: int | list[float]) -> None:
    limits = bounds(looks, alpha=0.03, kind=kind)
    assert crossing(limits, looks).total == pytest.approx(0.03, abs=1e-8)


def test_one_look_is_the_z_test() -> None:
    for kind in ("pocock", "obrien_fleming", "pocock_spending", "obrien_fleming_spending"):
        assert bounds(1, kind=kind) == pytest.approx(stats.norm.isf(0.025), abs=1e-8)
    assert crossing(np.array([1.5]), 1, drift=0.7).upper[0] == pytest.approx(stats.norm.sf(0.8), abs=1e-12)
    assert crossing(np.array([1.5]), 1, drift=0.7).lower[0] == pytest.approx(stats.norm.cdf(-2.2), abs=1e-12)


def test_crossing_probabilities_are_those_of_simulated_paths() -> None:
    t, runs = np.array([0.2, 0.5, 0.7, 1.0]), 200_000
    limits = np.array([2.4, np.nan, 2.2, 1.9])
    found = crossing(limits, t, drift=1.5)
    z = paths(1.5, t, runs)
    stops = np.abs(z) >= np.nan_to_num(limits, nan=np.inf)
    first = np.where(stops.any(1), stops.argmax(1), -1)
    for k in range(4):
        for side, expected in ((1, found.upper[k]), (-1, found.lower[k])):
            share = np.mean((first == k) & (np.sign(z[:, k]) == side))
            assert share == pytest.approx(expected, abs=4 * np.sqrt(expected / runs) + 1e-12)


def test_spending_is_increasing_and_ends_at_alpha() -> None:
    t = np.linspace(0.05, 1, 20)
    for kind in ("obrien_fleming_spending", "pocock_spending"):
        spent = spending(t, 0.025, kind)
        assert (np.diff(spent) > 0).all()
        assert spent[-1] == pytest.approx(0.025, rel=1e-12)


def test_power_is_reached_at_the_drift_for_it() -> None:
    limits = bounds(5)
    drift = drift_for(limits, 5, 0.8)
    assert crossing(limits, 5, drift=drift).upper.sum() == pytest.approx(0.8, abs=1e-7)
    inflation = (drift / (stats.norm.isf(0.025) + stats.norm.isf(0.2))) ** 2
    assert inflation == pytest.approx(1.028, abs=5e-4)  # Jennison and Turnbull 2000, table 2.4


def test_a_test_that_goes_on_has_repeated_intervals_and_no_p() -> None:
    limits = bounds(5)
    found = analyse([0.1], [0.05], limits, 5)
    assert (found.stopped, found.p, found.median) == (False, None, None)
    assert (found.low, found.high) == pytest.approx((0.1 - limits[0] * 0.05, 0.1 + limits[0] * 0.05))


def test_one_look_gives_the_usual_p_and_interval() -> None:
    found = analyse([0.1], [0.05], bounds(1), 1)
    assert found.p == pytest.approx(2 * stats.norm.sf(2), rel=1e-7)
    assert (found.low, found.median, found.high) == pytest.approx((0.1 - 0.098, 0.1, 0.1 + 0.098), abs=1e-5)


def test_at_the_ends_of_the_interval_the_outcome_is_as_rare_as_it_should_be() -> None:
    t, limits, runs = fractions(3), bounds(3, kind="pocock"), 100_000
    seen = np.array([2.0, 2.6])  # crosses at the second look
    found = analyse(seen / np.sqrt(t[:2]), 1 / np.sqrt(t[:2]), limits, t)
    assert (found.look, found.stopped) == (2, True)
    for drift, chance in ((found.low, 0.025), (found.median or 0, 0.5), (found.high, 0.975), (0.0, (found.p or 0) / 2)):
        z = paths(drift, t, runs, seed=5)
        higher = (z[:, 0] >= limits[0]) | ((np.abs(z[:, 0]) < limits[0]) & (z[:, 1] >= 2.6))
        assert higher.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / runs))


@pytest.mark.parametrize("path", [[0.0, 16.0], [0.0, 0.0, 25.0], [0.0, -40.0], [0.0, 0.0, 0.0, 0.0, 9.0]])
def test_a_path_that_jumps_has_an_interval(path: list[float]) -> None:
    limits = bounds(5)
    found = analyse(path, np.ones(len(path)), limits, 5)
    sign = np.sign(path[-1])
    assert found.p is not None
    ends = sorted(abs(end) for end in (found.low, found.median or 0.0, found.high))
    assert found.low < (found.median or 0.0) < found.high
    t = fractions(5)[: len(path)]
    for end, chance in zip(ends, (0.025, 0.5, 0.975), strict=True):  # crossing before, or going as far as here
        inner = crossing(np.append(limits[: len(path) - 1], abs(path[-1])), t, drift=end / np.sqrt(t[-1]))
        assert inner.upper.sum() == pytest.approx(chance, abs=1e-6)
    assert np.sign(found.median or 0.0) == sign


@pytest.mark.parametrize("z", [3.0, 6.0, 9.0, 12.0])
def test_swapped_arms_have_the_same_p_and_mirrored_intervals(z: float) -> None:
    up, down = (analyse([0.0, sign * z], [1.0, 1.0], bounds(2), 2) for sign in (1, -1))
    assert up.p == down.p
    assert (up.low, up.median, up.high) == (-down.high, -(down.median or 0.0), -down.low)
    alone = [analyse([sign * z], [1.0], bounds(1), 1).p for sign in (1, -1)]
    assert alone == pytest.approx([2 * stats.norm.sf(z)] * 2, rel=1e-9)


@pytest.mark.slow
def test_stagewise_intervals_cover_and_their_median_is_unbiased() -> None:
    t, limits, drift, runs = fractions(3), bounds(3, kind="pocock"), 2.0, 4000
    inside, below, p = [], [], []
    for row in paths(drift, t, runs, seed=3):
        found = analyse(row / np.sqrt(t), 1 / np.sqrt(t), limits, t)  # the effect is the drift
        inside.append(found.low <= drift <= found.high)
        below.append((found.median or 0) < drift)
    for row in paths(0.0, t, runs, seed=4):
        p.append(analyse(row / np.sqrt(t), 1 / np.sqrt(t), limits, t).p)
    error = np.sqrt(0.95 * 0.05 / runs)
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * error)
    assert np.mean(below) == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / runs))
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=3 * error)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / runs))


def test_the_interval_that_forgets_the_looks_does_not_cover_and_its_effect_is_too_large() -> None:
    t, limits, drift, runs = fractions(3), bounds(3, kind="pocock"), 1.0, 100_000
    z = paths(drift, t, runs)
    stops = np.abs(z) >= limits
    at = np.where(stops.any(1), stops.argmax(1), 2)
    effect, error = z[np.arange(runs), at] / np.sqrt(t[at]), 1 / np.sqrt(t[at])
    assert np.mean(np.abs(effect - drift) < stats.norm.isf(0.025) * error) < 0.93
    assert effect.mean() > drift + 0.1


def test_swapping_arms_mirrors_everything() -> None:
    limits, errors = bounds(4), np.array([0.2, 0.15, 0.1])
    one, other = (analyse(sign * np.array([0.3, 0.2, 0.35]), errors, limits, 4) for sign in (1, -1))
    assert one.p == pytest.approx(other.p, rel=1e-9)
    assert (one.low, one.high, one.median) == pytest.approx((-other.high, -other.low, -(other.median or 0)), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bounds(0), "looks"),
        (lambda: bounds([0.5, 0.5, 1.0]), "increase"),
        (lambda: bounds([0.5, 1.5]), "increase"),
        (lambda: bounds(3, alpha=0), "alpha"),
        (lambda: bounds(3, kind="bonferroni"), "kind"),
        (lambda: bounds(3, sided=3), "sided"),
        (lambda: crossing(np.array([2.0, 2.0]), 3), "3 positive ones"),
        (lambda: crossing(np.array([-2.0]), 1), "positive"),
        (lambda: analyse([1.0, 1.0], [1.0, 1.0], np.array([2.0]), 1), "at most the 1 planned"),
        (lambda: analyse([1.0], [0.0], np.array([2.0]), 1), "positive standard errors"),
        (lambda: drift_for(np.array([2.0]), 1, 1.2), "power"),
    ],
)
def test_bad_plans_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()
