"""Means, ratios and adjusted means of two arms, against scipy, tea-tasting and simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ncf.online.means import adjusted, cuped, ratio, welch
from ncf.online.proportions import two_proportions
from ncf.stats.checks import StatisticsError

HERE = Path(__file__).parent / "reference"
REFERENCE = json.loads((HERE / "ab_references.json").read_text())
DATA = pd.read_csv(HERE / "ab_data.csv")
TREATED = DATA["variant"].to_numpy() == 1
Y, PRE, CLICKS, SESSIONS = (DATA[name].to_numpy(np.float64) for name in ("y", "pre", "clicks", "sessions"))


def near(value: float, reference: float) -> bool:
    """Within 1e-8 of the reference, relatively."""
    return value == pytest.approx(reference, rel=1e-8)


def test_welch_as_scipy_and_two_packages_compute_it() -> None:
    found, own, packaged = welch(Y, TREATED), REFERENCE["means"]["welch"], REFERENCE["tea_tasting"]["welch"]
    e = found.absolute
    assert near(e.value, own["diff"])
    assert near(e.value / e.standard_error, own["t"])
    assert near(e.p(), own["p"])
    assert near(e.degrees, own["df"])
    assert (e.low, e.high) == pytest.approx(own["ci95"], rel=1e-8)
    assert near(found.control, packaged["control"])
    assert near(found.treatment, packaged["treatment"])
    assert found.relative is not None
    for ours, theirs in (("value", ""), ("low", "_ci_lower"), ("high", "_ci_upper")):
        assert near(getattr(found.relative, ours), packaged[f"rel_effect_size{theirs}"])
    assert near(e.low, REFERENCE["spotify_confidence_ttest"]["ci_lower"])


def test_cuped_with_each_slope() -> None:
    own, packaged = REFERENCE["means"]["cuped"], REFERENCE["tea_tasting"]["cuped"]
    found = cuped(Y, PRE, TREATED)
    e = found.absolute
    assert near(e.value, own["pooled_theta"]["diff"])
    assert near(e.value / e.standard_error, own["pooled_theta"]["t"])
    assert near(e.p(), own["pooled_theta"]["p"])
    assert (e.low, e.high) == pytest.approx(
        (packaged["effect_size_ci_lower"], packaged["effect_size_ci_upper"]), rel=1e-8
    )
    assert found.relative is not None
    assert near(found.relative.low, packaged["rel_effect_size_ci_lower"])
    assert near(found.relative.high, packaged["rel_effect_size_ci_upper"])
    moved = adjusted(Y, PRE, TREATED)
    assert near(moved[~TREATED].var(ddof=1) / Y[~TREATED].var(ddof=1), own["variance_ratio"])
    within = cuped(Y, PRE, TREATED, theta="within").absolute
    assert near(within.value, own["diff"])
    assert near(within.value / within.standard_error, own["t"])
    assert near(within.p(), own["p"])
    assert within.value == pytest.approx(REFERENCE["means"]["ancova"]["diff"], rel=1e-9)
    assert cuped(Y, PRE, TREATED, theta="arms").absolute.value == pytest.approx(
        REFERENCE["means"]["lin"]["diff"], rel=1e-9
    )
    r = np.corrcoef(Y, PRE)[0, 1]
    assert e.details["variance_ratio"] == pytest.approx(1 - r**2, abs=2e-3)


def test_a_ratio_by_the_delta_method() -> None:
    found, own = ratio(CLICKS, SESSIONS, TREATED), REFERENCE["means"]["ratio_clicks_per_session"]
    e, packaged = found.absolute, REFERENCE["tea_tasting"]["ratio"]
    assert near(found.control, own["r0"])
    assert near(found.treatment, own["r1"])
    assert near(e.standard_error, own["se_delta"])
    assert near(e.p(), own["p"])
    assert (e.low, e.high) == pytest.approx(
        (packaged["effect_size_ci_lower"], packaged["effect_size_ci_upper"]), rel=1e-8
    )
    assert found.relative is not None
    assert near(found.relative.high, packaged["rel_effect_size_ci_upper"])
    x, m, y, k = (int(v[arm].sum()) for arm in (TREATED, ~TREATED) for v in (CLICKS, SESSIONS))
    wrong = two_proportions(x, m, y, k).absolute.details["z_pooled"]  # every session a unit of its own
    assert near(wrong, own["wrong_z_sessions_as_units"])


def test_with_one_session_each_a_ratio_is_a_mean() -> None:
    a, b = ratio(Y + 10, np.ones(len(Y)), TREATED).absolute, welch(Y + 10, TREATED).absolute
    assert (a.value, a.standard_error) == pytest.approx((b.value, b.standard_error), rel=1e-12)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(lambda y, t: welch(y, t), id="welch"),
        pytest.param(lambda y, t: cuped(y, PRE, t), id="cuped"),
        pytest.param(lambda y, t: cuped(y, np.column_stack([PRE, SESSIONS]), t), id="cuped of two"),
    ],
)
def test_a_constant_the_order_and_the_names_of_arms(method) -> None:
    e = method(Y, TREATED).absolute
    shifted = method(Y + 1000, TREATED).absolute
    assert (shifted.value, shifted.standard_error) == pytest.approx((e.value, e.standard_error), rel=1e-9)
    swapped = method(Y, ~TREATED).absolute
    assert (swapped.value, swapped.low) == pytest.approx((-e.value, -e.high), rel=1e-12)
    scaled = method(3 * Y, TREATED).absolute
    assert scaled.p() == pytest.approx(e.p(), rel=1e-9)


def test_the_order_of_units_is_irrelevant() -> None:
    order = np.random.default_rng(1).permutation(len(Y))
    for one, other in (
        (welch(Y, TREATED), welch(Y[order], TREATED[order])),
        (ratio(CLICKS, SESSIONS, TREATED), ratio(CLICKS[order], SESSIONS[order], TREATED[order])),
        (cuped(Y, PRE, TREATED), cuped(Y[order], PRE[order], TREATED[order])),
    ):
        assert one.absolute.value == pytest.approx(other.absolute.value, rel=1e-10)
        np.testing.assert_allclose(one.absolute.influence[order], other.absolute.influence, rtol=1e-7, atol=1e-9)


def test_a_ratio_of_an_adjusted_metric_is_as_precise_as_its_covariate_allows() -> None:
    plain, found = ratio(CLICKS, SESSIONS, TREATED), cuped(CLICKS, SESSIONS, TREATED, denominator=SESSIONS)
    assert found.absolute.value == pytest.approx(plain.absolute.value, abs=3 * plain.absolute.standard_error)
    assert found.absolute.details["variance_ratio"] <= 1.0001
    noise = cuped(CLICKS, np.random.default_rng(0).normal(size=len(Y)), TREATED, denominator=SESSIONS)
    assert noise.absolute.details["variance_ratio"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ratio(np.ones(4), np.array([1, 1, 0, 0]), np.array([1, 1, 0, 0])), "denominator wherever"),
        (lambda: ratio(np.zeros(4), np.array([1, 1, 0, 0]), np.array([1, 1, 0, 0])), "zeros only"),
        (lambda: ratio(np.ones(4), np.array([1, 1, -1, 1]), np.array([1, 1, 0, 0])), "no negative"),
        (lambda: welch(np.ones(3), np.array([1, 0, 0])), "at least 2 units"),
        (lambda: welch(np.ones(3), np.array([1, 2, 0])), "0 or 1"),
        (lambda: welch(np.array([1.0, np.nan, 2, 3]), np.array([1, 1, 0, 0])), "finite"),
        (lambda: cuped(np.arange(4.0), np.ones(4), np.array([1, 1, 0, 0])), "values that vary"),
        (lambda: cuped(np.arange(4.0), np.arange(3), np.array([1, 1, 0, 0])), "covariates"),
        (lambda: cuped(np.arange(4.0), np.arange(4), np.array([1, 1, 0, 0]), theta="own"), "theta"),
    ],
)
def test_refusals(call, says) -> None:
    with pytest.raises(StatisticsError, match=says):
        call()


def test_units_without_sessions_are_counted_and_noted() -> None:
    found = ratio(np.array([1, 0, 2, 0.0]), np.array([2, 0, 3, 1.0]), np.array([1, 1, 0, 0])).absolute
    assert found.details["zero_denominators"] == 1


def test_sessions_as_units_say_more_than_they_know() -> None:
    """The wrong method: sessions of a user that go together, taken as independent."""
    rng, runs, n, wrong, right = np.random.default_rng(8), 400, 300, 0, 0
    for _ in range(runs):
        sessions = 1 + rng.poisson(5, n)
        clicks = rng.binomial(sessions, rng.beta(1, 4, n))
        treated = np.arange(n) < n // 2
        right += ratio(clicks, sessions, treated).absolute.p() <= 0.05
        x, m = clicks[treated].sum(), sessions[treated].sum()
        y, k = clicks[~treated].sum(), sessions[~treated].sum()
        pooled = (x + y) / (m + k)
        z = (x / m - y / k) / np.sqrt(pooled * (1 - pooled) * (1 / m + 1 / k))
        wrong += abs(z) > stats.norm.isf(0.025)
    error = 3 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(right / runs - 0.05) <= error
    assert wrong / runs > 0.05 + 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("method", ["welch", "cuped", "ratio"])
def test_bias_coverage_and_type_one_error(method) -> None:
    """4,000 experiments of 400 units with an effect, and as many without."""
    rng, runs, n = np.random.default_rng(11), 4000, 400
    treated = np.arange(n) % 2 == 0
    values, covered, rejected = [], 0, 0
    for effect in (0.3, 0.0):
        for _ in range(runs):
            pre = rng.gamma(2, 1, n)
            if method == "ratio":
                under = 1 + rng.poisson(pre)
                top = rng.poisson(under * pre / 4 * np.where(treated, 1 + effect, 1.0))
                found = ratio(top, under, treated).absolute
                truth = effect * ((2 + 6) / 4 / 3)  # E[(1 + N) pre] = E[pre + pre²] / 4 / E[1 + pre] of Gamma(2, 1)
            else:
                y = pre + rng.normal(0, 1 + pre / 2) + effect * treated
                found = (welch(y, treated) if method == "welch" else cuped(y, pre, treated)).absolute
                truth = effect
            if effect:
                values.append(found.value - truth)
                covered += found.low <= truth <= found.high
            else:
                rejected += found.p() <= 0.05
    bias, error = np.mean(values), np.std(values) / np.sqrt(runs)
    assert abs(bias) <= 3 * error
    assert abs(covered / runs - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(rejected / runs - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("scale", [1e-18, 1e-9, 1e9, 1e18])
def test_the_unit_of_a_covariate_changes_nothing(scale: float) -> None:
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 2000))
    values, treated = first + second + rng.normal(size=2000), rng.random(2000) < 0.5
    plainly, scaled = (cuped(values, np.column_stack([first, second * s]), treated).absolute for s in (1.0, scale))
    assert (scaled.value, scaled.standard_error) == pytest.approx((plainly.value, plainly.standard_error), rel=1e-9)
