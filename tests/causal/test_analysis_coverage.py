"""Where the assumptions hold, estimates are unbiased and intervals cover; wrong methods are seen to be wrong."""

from collections.abc import Callable

import numpy as np
import pytest
from lalonde import reference
from observed import drawn, truth, within
from scipy.special import expit

from ncf.causal.adjusted import aipw, standardise
from ncf.causal.double import Predicted, interactive, partially_linear, predict
from ncf.causal.matching import Rule, matching
from ncf.causal.propensity import given, scores
from ncf.causal.units import Units, units
from ncf.causal.weighting import ipw, weighted
from ncf.stats.estimate import Estimate

RUNS = 2000
Method = Callable[[Units, np.ndarray], Estimate]
METHODS: dict[str, tuple[str, Method]] = {
    **{f"ipw {k}": (k, lambda u, e, k=k: ipw(u, scores(u), estimand=k)) for k in ("ATE", "ATT", "ATC", "ATO")},
    "ipw, known scores": ("ATE", lambda u, e: ipw(u, given(e))),
    "Horvitz-Thompson": ("ATE", lambda u, e: ipw(u, scores(u), normalised=False)),
    **{f"standardise {k}": (k, lambda u, e, k=k: standardise(u, estimand=k)) for k in ("ATE", "ATT")},
    **{f"aipw {k}": (k, lambda u, e, k=k: aipw(u, scores(u), estimand=k)) for k in ("ATE", "ATT")},
    **{f"match {k}": (k, lambda u, e, k=k: matching(u, scores(u), estimand=k)) for k in ("ATE", "ATT", "ATC")},
    **{f"match, known scores {k}": (k, lambda u, e, k=k: matching(u, given(e), estimand=k)) for k in ("ATE", "ATT")},
    "match 1:3": ("ATT", lambda u, e: matching(u, scores(u), Rule(3), estimand="ATT")),
    **{f"dml {k}": (k, lambda u, e, k=k: interactive(u, predict(u), estimand=k)) for k in ("ATE", "ATT")},
    "dml, three divisions": ("ATE", lambda u, e: interactive(u, predict(u, repeats=3))),
    "dml, partially linear": ("ATO", lambda u, e: partially_linear(u, predict(u, interactive=False))),
}  # fmt: skip


def runs(method: Method, count: int, n: int = 1000, **drawing: float) -> np.ndarray:
    """Rows (estimate, low, high) of simulated samples."""
    found = [method(*drawn([17, run], n, **drawing)) for run in range(count)]
    return np.array([[e.value, e.low, e.high] for e in found])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_unbiased_and_covering(name: str) -> None:
    estimand, method = METHODS[name]
    within(runs(method, RUNS), truth(estimand))


def test_the_naive_difference_never_covers() -> None:
    found = runs(lambda u, e: weighted(u, np.ones(len(u))), 200)
    assert ((found[:, 1] <= 2) & (found[:, 2] >= 2)).mean() < 0.05
    with pytest.raises(AssertionError):
        within(found, 2.0)


def test_matching_the_treated_is_not_the_effect_on_all() -> None:
    """What is printed as an ATE is the ATT."""
    found = runs(lambda u, e: matching(u, scores(u)), 120)
    within(found, truth("ATT"))
    assert abs(found[:, 0].mean() - truth("ATE")) > 10 * found[:, 0].std() / np.sqrt(120)


def original(seed: int) -> Units:
    """1,000 users who opt in by what moves the outcome too; the effect is 5 (as the references' simulation has it)."""
    rng = np.random.default_rng([4, seed])
    activity, tenure = rng.normal(size=(2, 1000))
    d = (rng.random(1000) < expit(-1 + 0.8 * activity + 0.3 * tenure)) * 1.0
    return units(d, 30 + 2 * activity + tenure + 5 * d + rng.normal(0, 5, 1000), np.column_stack([activity, tenure]))


def robinson(some: Units, labels: bool) -> Estimate:
    """The partially linear effect, from probabilities or from labels in their place."""
    found = predict(some, interactive=False)
    score = (found.score > 0.5) * 1.0 if labels else found.score
    return partially_linear(some, Predicted(score, outcome=found.outcome))


@pytest.mark.slow
def test_double_ml_on_labels_does_not_cover_and_on_probabilities_does() -> None:
    wrong, right = (
        np.array([[e.value, e.low, e.high] for e in (robinson(original(run), labels) for run in range(150))])
        for labels in (True, False)
    )
    within(right, 5.0)
    covered = ((wrong[:, 1] <= 5) & (wrong[:, 2] >= 5)).mean()
    assert covered < 0.01, covered
    assert wrong[:, 0].mean() < 4.5
    assert reference("original_run_04")["monte_carlo_04_ate5"]["coverage95"]["dml_original"] == 0


def test_an_error_that_takes_estimated_scores_as_known_is_too_large() -> None:
    found = [(ipw(u, s).value, ipw(u, s).standard_error, ipw(u, given(s.values)).standard_error)
             for u, _ in (drawn([18, run], 600) for run in range(300)) for s in (scores(u),)]  # fmt: skip
    values, stacked, known = np.array(found).T
    error = values.std() / np.sqrt(2 * 300)
    assert abs(stacked.mean() - values.std()) < 3 * error
    assert known.mean() - values.std() > 6 * error
