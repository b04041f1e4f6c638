"""Strata: by hand, in the limits, and where plain means compare other mixtures."""

import numpy as np
import pytest

from ncf.online.means import welch
from ncf.online.stratified import stratified
from ncf.stats.checks import StatisticsError

RNG = np.random.default_rng(1)
N = 400
STRATA = RNG.choice(["de", "fr", "us"], N, p=[0.5, 0.3, 0.2])
TREATED = RNG.random(N) < np.where(STRATA == "us", 0.8, 0.3)
Y = RNG.normal(0, 1, N) + 3 * (STRATA == "us") + 0.5 * TREATED


def test_by_hand() -> None:
    value = variance = 0.0
    for name in ("de", "fr", "us"):
        own = name == STRATA
        a, b = Y[own & TREATED], Y[own & ~TREATED]
        value += own.mean() * (a.mean() - b.mean())
        variance += own.mean() ** 2 * (a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    e = stratified(Y, TREATED, STRATA).absolute
    assert (e.value, e.standard_error) == pytest.approx((value, np.sqrt(variance)), rel=1e-12)
    assert e.influence is not None
    assert np.sqrt(e.influence @ e.influence) / N == pytest.approx(e.standard_error, rel=1e-12)
    assert e.influence.mean() == pytest.approx(0, abs=1e-12)
    assert e.details["strata"] == 3
    assert e.effective_n < N


def test_one_stratum_is_welch() -> None:
    e, plain = stratified(Y, TREATED, np.zeros(N)).absolute, welch(Y, TREATED).absolute
    assert (e.value, e.standard_error, e.low) == pytest.approx(
        (plain.value, plain.standard_error, plain.low), rel=1e-10
    )
    assert e.effective_n == pytest.approx(N)


def test_plain_means_are_wrong_where_shares_differ() -> None:
    e, plain = stratified(Y, TREATED, STRATA).absolute, welch(Y, TREATED).absolute
    assert abs(e.value - 0.5) <= 3 * e.standard_error
    assert plain.low > 0.5  # Simpson: the treated are of the high stratum


def test_metamorphic() -> None:
    e = stratified(Y, TREATED, STRATA).absolute
    assert stratified(Y + 9, TREATED, STRATA).absolute.value == pytest.approx(e.value, rel=1e-9)
    assert stratified(Y, ~TREATED, STRATA).absolute.value == pytest.approx(-e.value, rel=1e-12)
    order = RNG.permutation(N)
    again = stratified(Y[order], TREATED[order], STRATA[order]).absolute
    assert again.standard_error == pytest.approx(e.standard_error, rel=1e-10)


def test_a_stratum_without_an_arm_is_refused() -> None:
    with pytest.raises(StatisticsError, match="in every stratum, got 0 in 'us'"):
        stratified(Y, TREATED & (STRATA != "us"), STRATA)
    with pytest.raises(StatisticsError, match="missing"):
        stratified(Y, TREATED, np.where(STRATA == "us", None, STRATA))


@pytest.mark.slow
def test_coverage() -> None:
    rng, runs, hits = np.random.default_rng(6), 4000, 0
    for _ in range(runs):
        y = rng.normal(0, 1 + (STRATA == "fr"), N) + 3 * (STRATA == "us") + 0.5 * TREATED
        e = stratified(y, TREATED, STRATA).absolute
        hits += e.low <= 0.5 <= e.high
    assert abs(hits / runs - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / runs)


def test_equal_values_show_no_effect_by_rounding() -> None:
    n = 20_000
    treated, strata = np.arange(n) % 10 < 3, np.arange(n) // 10 % 7
    found = stratified(np.full(n, 0.1), treated, strata).absolute
    assert (found.value, found.p()) == (0, 1)
