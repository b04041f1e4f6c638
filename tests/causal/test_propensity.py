"""Scores, trimming, overlap, and who is refused for lack of it."""

import numpy as np
import pytest
from lalonde import SPECIFICATIONS, lalonde, reference
from observed import drawn
from scipy import optimize

from ncf.causal.propensity import arm_sizes, best_trim, given, no_overlap, overlap, scores, support, trim
from ncf.causal.units import read_units
from ncf.causal.weighting import weights
from ncf.stats.checks import StatisticsError

UNITS, TRUE = drawn(5, 900)


@pytest.mark.parametrize(("name", "columns"), SPECIFICATIONS)
def test_lalondes_scores(name: str, columns: list[str]) -> None:
    expected = reference("lalonde")["propensity"][name]
    found = scores(read_units(lalonde(), "treat", "re78", columns)).values
    treated = lalonde()["treat"] == 1
    assert found[treated].mean() == pytest.approx(expected["ps_mean_treated"], rel=1e-6)
    assert found[~treated].mean() == pytest.approx(expected["ps_mean_control"], rel=1e-6)
    assert (found.min(), found.max()) == pytest.approx((expected["ps_min"], expected["ps_max"]), rel=1e-6)
    np.testing.assert_allclose(found[:3], expected["first_treated_rows"], rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5])
def test_a_score_of_0_or_1_is_refused(bad: float) -> None:
    with pytest.raises(StatisticsError, match=r"between 0 and 1, got .* at position 1 \(1 such\)"):
        given([0.2, bad, 0.4])


def test_scores_by_other_learners_are_out_of_fold() -> None:
    class Memory:
        """A classifier that knows every unit it has seen."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Memory":
            self.seen = dict(zip(x[:, 0], y))
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            p = np.array([0.1 + 0.8 * self.seen[v] if v in self.seen else 0.5 for v in x[:, 0]])
            return np.column_stack([1 - p, p])

    np.testing.assert_array_equal(scores(UNITS, Memory(), count=5).values, 0.5)
    assert scores(UNITS, Memory(), count=5).design is None


def test_trimming_keeps_the_bounds() -> None:
    np.testing.assert_array_equal(trim(np.array([0.1, 0.05, 0.9, 0.95]), 0.1, 0.9), [True, False, True, False])
    with pytest.raises(StatisticsError, match="0 <= low < high <= 1"):
        trim(TRUE, 0.9, 0.1)


def test_the_best_bounds_minimise_the_variance() -> None:
    e = np.clip(np.random.default_rng(0).beta(0.6, 0.6, 20_000), 1e-4, 1 - 1e-4)

    def variance(low: float) -> float:
        kept = (e > low) & (e < 1 - low)
        return float((1 / (e * (1 - e)))[kept].mean() / kept.mean())

    low, high = best_trim(e)
    assert low + high == pytest.approx(1)
    best = optimize.minimize_scalar(variance, bounds=(0.001, 0.3), method="bounded").fun
    assert variance(low) == pytest.approx(best, rel=1e-3)
    assert best_trim(np.full(50, 0.4)) == (0.0, 1.0)


def test_overlap_is_counted() -> None:
    bins = overlap(UNITS.treatment, TRUE, 10)
    assert bins["treated"].sum() == UNITS.treatment.sum()
    assert bins["untreated"].sum() == (1 - UNITS.treatment).sum()
    found = support(np.array([1, 1, 0, 0.0]), np.array([0.3, 0.8, 0.2, 0.5]))
    assert found["score_low_treated"] == 0.3
    assert found["share_off_support"] == 0.5


def test_no_overlap_is_an_arm_that_tells_as_much_as_few_units() -> None:
    d = np.r_[np.ones(100), np.zeros(1000)]
    even, heavy = np.ones(1100), np.ones(1100)
    assert no_overlap(d, even, "ATE") is None
    heavy[0] = 1000
    assert "100 treated units tell as much as 1.2; expected at least 30" in (no_overlap(d, heavy, "ATE") or "")
    heavy[0], heavy[100:] = 1, 1e-9
    heavy[100:150] = 1  # 50 untreated that count: enough for the treated, not for all
    assert "1,000 untreated units tell as much as 50.0; expected at least 100" in (no_overlap(d, heavy, "ATE") or "")
    assert no_overlap(d, heavy, "ATT") is None
    assert no_overlap(d, heavy, "ATO") is None
    assert arm_sizes(d, heavy) == pytest.approx((100, 50))


def test_lalonde_has_no_overlap_for_the_ate() -> None:
    frame = lalonde()
    own = scores(read_units(frame, "treat", "re78", SPECIFICATIONS[0][1])).values
    d = frame["treat"].to_numpy()
    assert "185 treated units tell as much as 14.8" in (no_overlap(d, weights(d, own), "ATE") or "")
    assert no_overlap(d, weights(d, own, "ATT"), "ATT") is None


@pytest.mark.parametrize(("score", "advice"), [(0.0, "smoother model"), (-1.2, "not its logit")])
def test_scores_that_are_none_say_why(score: float, advice: str) -> None:
    with pytest.raises(StatisticsError, match=advice):
        given(np.array([0.5, score, 0.4]))
