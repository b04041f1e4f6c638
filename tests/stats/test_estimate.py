"""Estimates: errors, intervals and tests that follow from what each unit contributes."""

import numpy as np
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.estimate import by_cluster, difference, effective_size, estimate, mean_estimate, table

RNG = np.random.default_rng(20)
VALUES = RNG.normal(3, 2, 50)


def test_a_mean_has_the_t_interval_and_p_of_scipy() -> None:
    found = mean_estimate(VALUES, estimand="mean", method="mean", level=0.9)
    expected = stats.ttest_1samp(VALUES, 2.5)
    assert found.value == pytest.approx(VALUES.mean(), rel=1e-14)
    assert found.standard_error == pytest.approx(stats.sem(VALUES), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.9), rel=1e-12)
    assert found.ends(0.9) == pytest.approx((found.low, found.high), rel=1e-12)
    assert found.p(2.5) == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.influence is not None
    assert found.influence.mean() == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(found.value + found.influence, VALUES, rtol=1e-12)


def test_cluster_errors_are_those_of_the_clusters_sums() -> None:
    clusters = np.repeat(np.arange(10), 5)
    found = mean_estimate(VALUES, estimand="mean", method="mean", clusters=clusters)
    means = VALUES.reshape(10, 5).mean(1)  # of equal sizes: the mean of cluster means and its t interval
    assert found.standard_error == pytest.approx(stats.sem(means), rel=1e-12)
    assert found.degrees == 9
    names = np.array([f"c{c}" for c in clusters])
    assert mean_estimate(VALUES, estimand="mean", method="mean", clusters=names).standard_error == pytest.approx(
        found.standard_error, rel=1e-14
    )
    np.testing.assert_allclose(by_cluster(VALUES, clusters), VALUES.reshape(10, 5).sum(1))


def test_a_difference_on_the_same_units_is_the_paired_one() -> None:
    other = VALUES + RNG.normal(0.3, 0.1, 50)
    paired = difference(
        mean_estimate(other, estimand="mean", method="b"), mean_estimate(VALUES, estimand="mean", method="a")
    )
    expected = stats.ttest_rel(other, VALUES)
    assert paired.value == pytest.approx((other - VALUES).mean(), rel=1e-12)
    assert paired.p() == pytest.approx(expected.pvalue, rel=1e-8)
    assert paired.method == "b - a"


@pytest.mark.parametrize(
    ("shift", "spread", "finding"),
    [(3, 0.1, "better"), (-3, 0.1, "worse"), (0, 0.1, "equivalent"), (0.2, 8, "undecided")],
)
def test_findings_against_a_region(shift: float, spread: float, finding: str) -> None:
    noise = np.random.default_rng(0).normal(0, spread, 40)
    found = mean_estimate(shift + noise - noise.mean(), estimand="mean", method="mean")
    assert found.finding((-1, 1)) == finding
    inside = stats.ttest_1samp(noise - noise.mean() + shift, -1, alternative="greater").pvalue
    above = stats.ttest_1samp(noise - noise.mean() + shift, 1, alternative="less").pvalue
    assert found.p_equivalent((-1, 1)) == pytest.approx(max(inside, above), rel=1e-9)


def test_without_spread_there_is_no_doubt() -> None:
    found = mean_estimate(np.ones(5), estimand="mean", method="mean")
    assert (found.standard_error, found.p(), found.p(1.0)) == (0, 0, 1)
    assert found.finding((-2, 2)) == "equivalent"
    assert found.finding((-0.5, 0.5)) == "better"


def test_effective_size_of_equal_and_of_lone_weights() -> None:
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_size(np.array([1e-9, 5.0, 0.0])) == pytest.approx(1)
    assert effective_size(np.array([1e90, 1e90])) == pytest.approx(2)


def test_a_table_has_every_number_and_warning() -> None:
    found = mean_estimate(VALUES, estimand="policy value", method="IPS").noting("few", "odd", largest_weight=3.0)
    frame = table([found])
    assert frame.loc[0, "warnings"] == "few; odd"
    assert frame.loc[0, "largest_weight"] == 3
    assert frame.loc[0, "p"] == found.p()


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_estimate(np.array([1.0]), estimand="m", method="m"),
        lambda: mean_estimate(np.array([1.0, np.nan]), estimand="m", method="m"),
        lambda: mean_estimate(VALUES, estimand="m", method="m", level=1.0),
        lambda: mean_estimate(VALUES, estimand="m", method="m", clusters=np.zeros(50)),
        lambda: mean_estimate(VALUES, estimand="m", method="m", clusters=np.zeros(3)),
        lambda: estimate(float("nan"), VALUES, estimand="m", method="m"),
        lambda: estimate(1.0, VALUES, estimand="m", method="m", lost=50),
        lambda: mean_estimate(VALUES, estimand="m", method="m").finding((1, -1)),
        lambda: mean_estimate(VALUES, estimand="m", method="m").finding(None),
        lambda: mean_estimate(VALUES, estimand="m", method="m").p_equivalent((1, 2, 3)),
        lambda: mean_estimate(VALUES, estimand="m", method="m", weights=np.ones(2)),
        lambda: by_cluster(VALUES, 3),
        lambda: table([None]),
        lambda: effective_size(np.array([-1.0, 2.0])),
        lambda: effective_size(np.zeros(3)),
        lambda: difference(
            mean_estimate(VALUES, estimand="m", method="m"), mean_estimate(VALUES[:9], estimand="m", method="m")
        ),
    ],
)
def test_bad_input_is_a_statistics_error(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError):
        call()


def test_a_printed_estimate_is_a_line() -> None:
    found = estimate(1.0, np.arange(500.0), estimand="ATE", method="mean")
    assert "value=1.0" in repr(found)
    assert len(repr(found)) < 300  # without the 500 influences
