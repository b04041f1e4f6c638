"""Matching: LaLonde's pairs and effects under every rule, and errors against formulas written out."""

import numpy as np
import pytest
from lalonde import SPECIFICATIONS, lalonde, reference
from observed import drawn

from ncf.causal.balance import balance
from ncf.causal.matching import Rule, matched, matching, pairs
from ncf.causal.propensity import Scores, given, scores
from ncf.causal.units import Units, read_units, units
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(10, 400)


def rule_of(key: str) -> Rule:
    """The rule that a key of the references names."""
    scale, caliper, replace, ties = key.split("|")
    return Rule(
        replace=replace == "replace=True", ties=ties.removeprefix("ties="), scale="score" if scale == "ps" else "logit",
        caliper=None if caliper == "none" else 0.2 if "sd" in caliper else float(caliper), relative="sd" in caliper,
    )  # fmt: skip


@pytest.fixture(scope="module", params=SPECIFICATIONS, ids=["simple", "mixtape"])
def specification(request: pytest.FixtureRequest) -> tuple[dict, Units, Scores]:
    """The references of a specification, the units and their scores."""
    name, columns = request.param
    everyone = read_units(lalonde(), "treat", "re78", columns)
    return reference("lalonde")["matching"][name], everyone, scores(everyone)


def test_lalondes_matches(specification: tuple[dict, Units, Scores]) -> None:
    expected, everyone, own = specification
    assert len(expected) == 21
    for key, values in expected.items():
        sample = matched(everyone, own.values, rule_of(key))
        assert sample.value == pytest.approx(values["att"], rel=1e-6), key
        assert sample.counted.sum() == values["treated_matched"]
        assert (sample.used > 0).sum() == values["distinct_controls"]
        table = balance(everyone, sample.weights, "treated").set_index("confounder")["smd_after"]
        for name, difference in values["smd_after_treated_sd"].items():
            assert table[name] == pytest.approx(difference, rel=1e-6, abs=1e-9)
        naive = sample.effect[sample.counted]
        assert naive.std(ddof=1) / np.sqrt(len(naive)) == pytest.approx(values["se_pairs_naive"], rel=1e-6)


def test_an_estimate_says_what_it_rests_on(specification: tuple[dict, Units, Scores]) -> None:
    expected, everyone, own = specification
    found = matching(everyone, own, Rule(scale="score"))
    values = expected["ps|none|replace=True|ties=average"]
    assert found.details["effective_stand_ins"] == pytest.approx(values["control_ess"], rel=1e-6)
    assert found.details["matched"] == 185
    assert found.details["ties_first"] == pytest.approx(expected["ps|none|replace=True|ties=first"]["att"], rel=1e-6)
    assert abs(found.details["ties_last"] - found.details["ties_first"]) > 500  # the order of the file
    assert 0.1 < found.details["tied_share"] < 0.3
    near = matching(everyone, own, Rule(scale="score", caliper=0.001))
    assert ("have no match" in " ".join(near.warnings)) == (near.details["unmatched"] > 18.5)


def test_pairs_are_treated_and_untreated(specification: tuple[dict, Units, Scores]) -> None:
    expected, everyone, own = specification
    treated, untreated = pairs(everyone, own.values, Rule(scale="score", replace=False))
    assert len(set(untreated)) == 185
    assert everyone.treatment[treated].min() == 1
    assert everyone.treatment[untreated].max() == 0
    difference = everyone.outcome[treated] - everyone.outcome[untreated]
    assert difference.mean() == pytest.approx(expected["ps|none|replace=False|ties=first"]["att"], rel=1e-6)


def written_out(some: Units, e: np.ndarray, k: int, estimand: str) -> tuple[float, float]:
    """Effect and error of Abadie and Imbens (2006), with a matrix of distances and no ties."""
    d, y, n = some.treatment == 1, some.outcome, len(some)
    position = np.log(e / (1 - e))
    distance = np.abs(position[:, None] - position)
    effect, used = np.empty(n), np.zeros(n)
    among = {"ATE": np.ones(n, bool), "ATT": d, "ATC": ~d}[estimand]
    for i in range(n):
        other = np.flatnonzero(d != d[i])
        near = other[np.argsort(distance[i, other])[:k]]
        effect[i] = (y[i] - y[near].mean()) * (1 if d[i] else -1)
        if among[i]:
            used[near] += 1
    variance = np.empty(n)
    for i in range(n):
        own = np.flatnonzero((d == d[i]) & (np.arange(n) != i))
        near = own[np.argsort(distance[i, own])[:2]]
        variance[i] = 2 / 3 * (y[i] - y[near].mean()) ** 2
    value = effect[among].mean()
    spread = ((effect[among] - value) ** 2).sum()
    if estimand == "ATE":
        extra = ((used / k) ** 2 + (2 * k - 1) / k * used / k) * variance
    else:
        extra = used * (used - 1) / k**2 * variance + np.where(among, 0, 0)
        extra = np.where(among, 0, (used / k) ** 2 - used / k**2) * variance
    return float(value), float(np.sqrt(spread + extra.sum()) / among.sum())


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC"])
@pytest.mark.parametrize("k", [1, 4])
def test_abadie_and_imbens_error(estimand: str, k: int) -> None:
    value, error = written_out(UNITS, TRUE, k, estimand)
    found = matching(UNITS, given(TRUE), Rule(k), estimand=estimand)
    assert found.value == pytest.approx(value, rel=1e-10)
    assert found.standard_error == pytest.approx(error, rel=1e-10)
    assert found.influence is not None
    assert (found.influence**2).sum() / len(UNITS) ** 2 == pytest.approx(error**2, rel=1e-10)
    own = scores(UNITS)
    assert found.standard_error != matching(UNITS, own, Rule(k), estimand=estimand).standard_error


def test_an_estimated_score_makes_the_ate_more_precise() -> None:
    own = scores(UNITS)
    assert matching(UNITS, own, estimand="ATE").standard_error < (
        matching(UNITS, given(own.values), estimand="ATE").standard_error
    )


def test_the_order_of_units_a_constant_and_swapped_arms() -> None:
    coarse = given(np.round(TRUE, 2))  # many ties
    order = np.random.default_rng(3).permutation(400)
    base = matching(UNITS, coarse)
    moved = matching(UNITS.take(order), given(coarse.values[order]))
    assert moved.value == pytest.approx(base.value, rel=1e-10)
    assert moved.standard_error == pytest.approx(base.standard_error, rel=1e-8)
    shifted = matching(units(UNITS.treatment, UNITS.outcome + 7, UNITS.confounders), coarse)
    assert shifted.value == pytest.approx(base.value, rel=1e-10)
    swapped = units(1 - UNITS.treatment, UNITS.outcome, UNITS.confounders)
    flipped = matching(swapped, given(1 - coarse.values), estimand="ATC")
    assert flipped.value == pytest.approx(-base.value, rel=1e-10)
    assert flipped.standard_error == pytest.approx(base.standard_error, rel=1e-8)


def test_refusals() -> None:
    with pytest.raises(StatisticsError, match="caliper: expected a positive number, got 0"):
        Rule(caliper=0)
    with pytest.raises(StatisticsError, match="neighbours: expected a whole number"):
        Rule(neighbours=0)
    with pytest.raises(StatisticsError, match="ties: expected one of average, first, last"):
        Rule(ties="random")
    far = units([1, 1, 0, 0], [1, 2, 3, 4], [1.0, 2, 3, 5])
    with pytest.raises(StatisticsError, match=r"expected units within the caliper 0\.001, found none"):
        matching(far, given([0.1, 0.2, 0.8, 0.9]), Rule(caliper=0.001))
