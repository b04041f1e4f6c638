"""Interrupted series: exact lines, the Newey-West sum by hand, and its level under autocorrelation."""

import numpy as np
import pytest

from ncf.causal.interrupted import interrupted
from ncf.stats.checks import StatisticsError

T, CHANGE = 24, 12
TIMES = np.arange(T)


def test_a_broken_line_is_found_exactly() -> None:
    y = 3 + 0.5 * TIMES + np.where(TIMES >= CHANGE, 4 + 0.25 * (TIMES - CHANGE), 0)
    found = interrupted(y, CHANGE)
    assert found.level.value == pytest.approx(4)
    assert found.slope.value == pytest.approx(0.25)
    assert found.before.value == pytest.approx(0.5)
    assert found.level.standard_error == pytest.approx(0, abs=1e-10)


def test_the_jump_is_at_the_change_and_not_at_the_beginning() -> None:
    y = 0.5 * TIMES + np.where(TIMES >= CHANGE, 4 + 1.0 * (TIMES - CHANGE), 0)
    x = np.stack([np.ones(T), TIMES, TIMES >= CHANGE, (TIMES >= CHANGE) * TIMES], 1).astype(float)
    assert np.linalg.lstsq(x, y, rcond=None)[0][2] == pytest.approx(4 - 12)  # extrapolated to the beginning
    assert interrupted(y, CHANGE).level.value == pytest.approx(4)


def test_errors_are_newey_and_wests() -> None:
    y = np.random.default_rng(0).normal(size=T)
    x = np.stack([np.ones(T), TIMES - CHANGE, TIMES >= CHANGE, (TIMES >= CHANGE) * (TIMES - CHANGE)], 1).astype(float)
    inverse = np.linalg.inv(x.T @ x)
    e = y - x @ (inverse @ x.T @ y)
    for lags in (0, 3):
        middle = sum(
            max(0.0, 1 - abs(s - t) / (lags + 1)) * e[s] * e[t] * np.outer(x[s], x[t])
            for s in range(T)
            for t in range(T)
        )
        expected = np.sqrt(np.diag(inverse @ middle @ inverse) * T / (T - 4))
        found = interrupted(y, CHANGE, lags=lags)
        assert found.level.standard_error == pytest.approx(expected[2], rel=1e-9)
        assert found.slope.standard_error == pytest.approx(expected[3], rel=1e-9)
        assert found.lags == lags


def test_autocorrelation_undoes_errors_without_lags_more_than_those_with() -> None:
    rng, runs, length = np.random.default_rng(1), 600, 200
    rejected = {0: 0, 10: 0}
    for _ in range(runs):
        noise = rng.normal(size=length)
        for t in range(1, length):
            noise[t] += 0.6 * noise[t - 1]
        for lags in rejected:
            rejected[lags] += interrupted(noise, 100, lags=lags).level.p() <= 0.05
    assert rejected[0] / runs > 0.2
    assert rejected[10] < 0.6 * rejected[0]


def test_a_constant_changes_nothing_and_the_sign_flips_with_the_outcome() -> None:
    y = np.random.default_rng(2).normal(size=T)
    one, moved, flipped = interrupted(y, CHANGE), interrupted(y + 100, CHANGE), interrupted(-y, CHANGE)
    assert moved.level.value == pytest.approx(one.level.value, abs=1e-9)
    assert flipped.level.value == pytest.approx(-one.level.value)


@pytest.mark.parametrize(("length", "change", "lags"), [(5, 3, None), (24, 2, None), (24, 22, None), (24, 12, 24)])
def test_series_that_are_too_short_are_refused(length: int, change: int, lags: int | None) -> None:
    with pytest.raises(StatisticsError):
        interrupted(np.arange(float(length)), change, lags=lags)
