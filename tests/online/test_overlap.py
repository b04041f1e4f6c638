"""Overlapping experiments: dependence of assignments and interaction of effects, not overlap itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ncf.online.means import welch
from ncf.online.overlap import overlap, overlaps
from ncf.online.segments import heterogeneity
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "original_run_06.json").read_text())["overlap"]
RNG = np.random.default_rng(7)
N = 20_000
A = RNG.integers(0, 2, N)


def test_an_independent_overlap_is_no_bias_and_its_interaction_is_found() -> None:
    """The reference's experiments: effect 0.2 in one arm of the other and none in the other."""
    b = RNG.integers(0, 2, N)
    y = 0.2 * A - 0.2 * A * b + RNG.normal(size=N)
    found = overlap("a", "b", A, b, y)
    assert found.p_dependence > 0.001
    assert found.interaction == pytest.approx(-0.2, abs=0.12)
    assert found.check().state == "warning"
    assert "interact" in found.check().says
    average = welch(y, A).absolute
    assert abs(average.value - REFERENCE["average effect over the other's arms"]) <= 3 * average.standard_error


def test_dependent_assignments_leak() -> None:
    b = np.where(RNG.random(N) < 0.8, A, 1 - A)
    y = 0.2 * A + 0.2 * b + RNG.normal(size=N)
    e = welch(y, A).absolute
    leaked = REFERENCE["dependent assignment (80% same bucket), effect 0.2 each: mean estimate"]
    assert abs(e.value - leaked) <= 3 * e.standard_error
    assert abs(e.value - REFERENCE["truth"]) > 3 * e.standard_error
    found = overlap("a", "b", A, b, y)
    assert found.cramer_v == pytest.approx(0.6, abs=0.02)
    assert "depend on each other" in found.check().says


def test_by_hand_and_scipy() -> None:
    b = (RNG.random(N) < 0.2).astype(int)
    y = RNG.normal(size=N) * (1 + A)
    found = overlap("a", "b", A, b, y)
    table = [[np.sum((i == A) & (b == j)) for j in (0, 1)] for i in (0, 1)]
    assert found.p_dependence == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-10)
    cell = {(i, j): y[(i == A) & (b == j)] for i in (0, 1) for j in (0, 1)}
    z = sum((1 if i == j else -1) * cell[i, j].mean() for i, j in cell) / np.sqrt(
        sum(v.var(ddof=1) / len(v) for v in cell.values())
    )
    assert found.p_interaction == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-8)
    swapped = overlap("b", "a", b, A, y)
    assert swapped.p_interaction == pytest.approx(found.p_interaction, rel=1e-8)


def test_of_three_arms_the_interaction_is_cochrans_q() -> None:
    b = RNG.choice(3, N, p=[0.6, 0.3, 0.1])
    y = RNG.normal(size=N) * np.array([1, 2, 4])[b]
    own = [welch(y[b == j], A[b == j]).absolute for j in range(3)]
    q = heterogeneity(np.array([e.value for e in own]), np.array([e.standard_error for e in own]))
    assert overlap("a", "b", A, b, y).p_interaction == pytest.approx(q, rel=1e-8)


def test_more_arms_names_and_every_pair() -> None:
    y = RNG.normal(size=N)
    found = overlaps({"a": A, "b": RNG.choice(["x", "y", "z"], N), "c": RNG.choice(["u", "none"], N)}, y)
    assert [(o.first, o.second) for o in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found[0].interaction is None
    assert found[0].p_interaction is not None
    assert all(o.check().state == "ok" for o in found)


def test_p_values_are_uniform_without_any_overlap() -> None:
    """Two arms and three, of other sizes and spreads."""
    rng, runs, found = np.random.default_rng(3), 600, []
    for _ in range(runs):
        a, b = rng.integers(0, 2, 400), rng.choice(3, 400, p=[0.6, 0.3, 0.1])
        pair = overlap("a", "b", a, b, rng.normal(size=400) * np.array([1, 1, 4])[b])
        found.append((pair.p_dependence, pair.p_interaction, pair.p_second))
    rejected = (np.array(found, float) <= 0.1).mean(0)
    assert (np.abs(rejected - 0.1) <= 3 * np.sqrt(0.09 / runs) + 0.02).all()  # + 0.02: Wald's test of some 20 units


def test_too_few_units_for_an_interaction() -> None:
    found = overlap("a", "b", np.array([0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 1]), np.arange(5.0))
    assert (found.p_interaction, found.p_second) == (None, None)
    assert overlap("a", "b", A, A ^ 1, np.ones(N)).p_interaction is None


def test_refusals() -> None:
    with pytest.raises(StatisticsError, match="two arms"):
        overlap("a", "b", A, np.zeros(N), np.arange(float(N)))
    with pytest.raises(StatisticsError, match="an arm for each"):
        overlap("a", "b", A[:5], A, np.arange(float(N)))


def test_equal_values_neither_interact_nor_differ() -> None:
    n = 20_000
    found = overlap("a", "b", np.arange(n) % 3 == 0, np.arange(n) % 7 < 3, np.full(n, 0.1))
    assert all(p is None or p == 1 for p in (found.p_interaction, found.p_second))


def test_the_same_assignment_of_three_arms_is_as_strong_as_can_be() -> None:
    arms = np.arange(900) % 3
    assert overlap("a", "b", arms, arms, np.arange(900.0)).cramer_v == pytest.approx(1)
