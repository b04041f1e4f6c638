"""Two proportions: scipy's and statsmodels' tests, published intervals, the likelihood by brute force, coverage."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from ncf.online.proportions import (
    ScoreEstimate,
    agresti_caffo,
    newcombe,
    proportions,
    score,
    score_interval,
    two_proportions,
    wald,
    wilson,
)
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "ab_references.json").read_text())["two_proportions"]


def counts(name: str) -> tuple[int, int, int, int]:
    """Treatment first, of "50/1000 vs 60/1000", where it is second."""
    control, treatment = (tuple(map(int, arm.split("/"))) for arm in name.split(" vs "))
    return *treatment, *control


@pytest.mark.parametrize("name", REFERENCE)
def test_the_usual_tests_and_intervals(name) -> None:
    own, c = REFERENCE[name], counts(name)
    found = two_proportions(*c).absolute.details
    for key in ("z_pooled", "p_pooled", "z_unpooled", "p_unpooled"):
        assert found[key] == pytest.approx(own[key], rel=1e-8)
    assert found["p_fisher"] == pytest.approx(own["fisher_p"], rel=1e-8)
    assert found["p_yates"] == pytest.approx(own["chi2_yates (the original's default)"][1], rel=1e-8)
    assert found["z_pooled"] ** 2 == pytest.approx(own["chi2_no_yates"][0], rel=1e-8)
    assert found["z_pooled"] == pytest.approx(own["statsmodels_z"][0], rel=1e-8)
    assert wald(*c) == pytest.approx(own["ci95_wald"], rel=1e-8)
    assert newcombe(*c) == pytest.approx(own["ci95_newcombe"], rel=1e-8)
    assert agresti_caffo(*c) == pytest.approx(own["ci95_agresti_caffo"], rel=1e-8)
    assert wilson(*c[:2]) == pytest.approx(own["wilson_b"], rel=1e-8)


def test_the_score_interval_is_the_published_one() -> None:
    """Newcombe (1998), table II, method 6."""
    assert score_interval(56, 70, 48, 80) == pytest.approx((0.0528, 0.3382), abs=5e-5)
    assert score_interval(9, 10, 3, 10) == pytest.approx((0.1700, 0.8406), abs=5e-5)
    assert score_interval(10, 10, 0, 20)[1] == 1
    assert score_interval(10, 10, 0, 20)[0] == pytest.approx(0.7156, abs=5e-5)


def _root_of_statsmodels(c: tuple[int, int, int, int], null: float) -> float:
    """The control's rate under `null` of statsmodels 0.15, where the cubic has successes in place of a size."""
    x, n, y, m = c
    total, successes = n + m, x + y
    a3 = total
    a2 = (n + 2 * m) * null - total - successes
    a1 = (y * null - total - 2 * y) * null + successes  # (m null - ...) is right: Miettinen and Nurminen, p. 225
    a0 = y * null * (1 - null)
    q = (a2 / (3 * a3)) ** 3 - a1 * a2 / (6 * a3**2) + a0 / (2 * a3)
    p = np.sign(q) * np.sqrt((a2 / (3 * a3)) ** 2 - a1 / (3 * a3))
    return float(2 * p * np.cos((np.pi + np.arccos(q / p**3)) / 3) - a2 / (3 * a3))


def test_statsmodels_score_interval_rests_on_rates_that_are_not_the_likeliest() -> None:
    """Its interval, which other tables quote, is reproduced to 1e-8 with its cubic, and that is no maximum."""
    for name in ("50/1000 vs 60/1000", "50/1000 vs 80/1000"):
        c = counts(name)
        x, n, y, m = c
        for end, null in enumerate(REFERENCE[name]["ci95_score"]):
            base = _root_of_statsmodels(c, null)
            rate = base + null
            variance = (rate * (1 - rate) / n + base * (1 - base) / m) * (n + m) / (n + m - 1)
            z = (x / n - y / m - null) / np.sqrt(variance)
            assert abs(z) == pytest.approx(stats.norm.isf(0.025), rel=1e-8)
            assert _log_likelihood(c, null, base) < _log_likelihood(c, null, _likeliest(c, null)) - 1e-5
            assert score_interval(*c)[end] == pytest.approx(null, abs=2e-4)


def _log_likelihood(c: tuple[int, int, int, int], null: float, base: float) -> float:
    x, n, y, m = c
    return float(stats.binom.logpmf(x, n, base + null) + stats.binom.logpmf(y, m, base))


def _likeliest(c: tuple[int, int, int, int], null: float) -> float:
    ends = max(0.0, -null) + 1e-12, min(1.0, 1 - null) - 1e-12
    return float(optimize.minimize_scalar(lambda base: -_log_likelihood(c, null, base), bounds=ends, method="bounded",
                                          options={"xatol": 1e-13}).x)  # fmt: skip


def test_the_score_has_the_likeliest_rates() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = (int(v) for v in rng.integers(2, 60, 2))
        c = int(rng.integers(1, n)), n, int(rng.integers(1, m)), m
        null = float(rng.uniform(-0.9, 0.9))
        base = _likeliest(c, null)
        rate = base + null
        variance = (rate * (1 - rate) / n + base * (1 - base) / m) * (n + m) / (n + m - 1)
        assert score(*c, null) == pytest.approx((c[0] / n - c[2] / m - null) / np.sqrt(variance), rel=1e-4)


def test_interval_p_and_region_agree() -> None:
    e = two_proportions(60, 1000, 50, 1000).absolute
    assert isinstance(e, ScoreEstimate)
    assert e.p(e.low) == pytest.approx(0.05, rel=1e-9)
    assert e.p(e.high) == pytest.approx(0.05, rel=1e-9)
    assert e.p() == pytest.approx(2 * stats.norm.sf(e.details["z_pooled"] * np.sqrt(1999 / 2000)), rel=1e-12)
    low, high = e.ends(0.9)
    assert e.p_equivalent((low, 1.0)) == pytest.approx(0.05, rel=1e-9)
    assert e.finding((low - 1e-6, high + 1e-6)) == "equivalent"
    assert e.finding((low + 1e-6, high)) == "undecided"
    with pytest.raises(StatisticsError, match="lower end first"):
        e.p_equivalent((1.0, 0.0))


def test_swapped_arms_and_units() -> None:
    low, high = score_interval(7, 30, 15, 40)
    assert score_interval(15, 40, 7, 30) == pytest.approx((-high, -low), abs=1e-10)
    values, treated = np.repeat([1, 0, 1, 0], [7, 23, 15, 25]), np.repeat([True, False], [30, 40])
    found = proportions(values, treated)
    e = found.absolute
    assert (e.low, e.high) == pytest.approx((low, high))
    assert e.n == 70
    assert e.influence is not None
    assert np.sqrt(e.influence @ e.influence) / 70 == pytest.approx(e.standard_error, rel=1e-12)
    assert found.relative is not None
    assert found.relative.value == pytest.approx(7 / 30 / (15 / 40) - 1, rel=1e-12)


@pytest.mark.parametrize(
    "c", [(0, 5, 0, 5), (5, 5, 0, 5), (0, 5, 5, 5), (1, 1, 0, 1), (0, 1, 0, 1), (10**6, 2 * 10**6, 1, 3)]
)
def test_degenerate_counts_have_an_interval(c) -> None:
    found = two_proportions(*c).absolute
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert 0 <= found.p() <= 1


def test_an_arm_without_successes_has_no_relative_effect() -> None:
    found = proportions(np.array([0, 0, 1, 0]), np.array([1, 1, 0, 0]))
    assert found.relative is None


@pytest.mark.parametrize("c", [(-1, 5, 0, 5), (6, 5, 0, 5), (1, 0, 0, 5), (1.5, 5, 0, 5)])
def test_impossible_counts_are_refused(c) -> None:
    with pytest.raises(StatisticsError, match=r"successes|observations"):
        two_proportions(*c)


def test_units_that_are_neither_0_nor_1_are_refused() -> None:
    with pytest.raises(StatisticsError, match="0 or 1"):
        proportions(np.array([0, 2, 1, 1]), np.array([1, 1, 0, 0]))


def _coverage(interval, n: int, m: int, p: float, q: float) -> float:
    """The exact coverage, summed over all tables."""
    a, b = stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, q)
    total = 0.0
    for x in range(n + 1):
        for y in range(m + 1):
            low, high = interval(x, n, y, m)
            total += a[x] * b[y] * (low <= p - q <= high)
    return total


def test_the_score_interval_covers_where_walds_does_not() -> None:
    """Enumerated: 20 against 20 at rates 0.05 and 0.1."""
    assert _coverage(score_interval, 20, 20, 0.05, 0.1) >= 0.93
    assert _coverage(wald, 20, 20, 0.02, 0.02) < _coverage(score_interval, 20, 20, 0.02, 0.02)
    assert _coverage(wald, 10, 10, 0.1, 0.1) < 0.95 or _coverage(wald, 10, 10, 0.5, 0.5) < 0.93


@pytest.mark.slow
def test_coverage_and_type_one_error() -> None:
    rng, runs, n = np.random.default_rng(3), 4000, 500
    x, y = rng.binomial(n, 0.13, runs), rng.binomial(n, 0.1, runs)
    found = [two_proportions(int(a), n, int(b), n).absolute for a, b in zip(x, y, strict=True)]
    error = 3 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(np.mean([e.low <= 0.03 <= e.high for e in found]) - 0.95) <= error
    assert abs(np.mean([e.value for e in found]) - 0.03) <= 3 * np.std([e.value for e in found]) / np.sqrt(runs)
    x, y = rng.binomial(n, 0.1, runs), rng.binomial(n, 0.1, runs)
    rejected = [two_proportions(int(a), n, int(b), n).absolute.p() <= 0.05 for a, b in zip(x, y, strict=True)]
    assert abs(np.mean(rejected) - 0.05) <= error


@pytest.mark.parametrize("flipped", [False, True])
def test_rare_events_among_many_depend_on_their_counts_alone(flipped: bool) -> None:
    limits, p = [], []
    for n in (10**6, 10**8, 10**10, 10**12):
        counts = (n - 1, n, n - 3, n) if flipped else (3, n, 1, n)
        limits.append(n * np.array(score_interval(*counts)))
        p.append(two_proportions(*counts).absolute.p())
    np.testing.assert_allclose(limits, [limits[-1]] * 4, rtol=1e-5)  # a few in 10^6: Poisson but for one part in 10^6
    assert p == pytest.approx([0.3173105] * 4, rel=1e-5)  # 2 / sqrt(3 + 1) = 1


def test_the_restricted_rates_are_those_of_greatest_likelihood() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        n, m = rng.integers(1, 60, 2)
        x, y, null = rng.integers(0, n + 1), rng.integers(0, m + 1), rng.uniform(-0.95, 0.95)
        low, high = max(0.0, -null), min(1.0, 1 - null)

        def depth(base: float, x=x, n=n, y=y, m=m, null=null) -> float:
            return -float(stats.binom.logpmf(x, n, base + null) + stats.binom.logpmf(y, m, base))

        best = optimize.minimize_scalar(depth, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        base = np.clip(best, low, high)
        if min(base - low, high - base) < 1e-4:  # the minimum lies at an end
            continue
        spread = (base + null) * (1 - base - null) / n + base * (1 - base) / m
        expected = (x / n - y / m - null) / np.sqrt(spread * (n + m) / (n + m - 1))
        assert score(int(x), int(n), int(y), int(m), null) == pytest.approx(expected, rel=1e-5)
