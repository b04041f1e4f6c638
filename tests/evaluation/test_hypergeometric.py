"""How ranks among sampled items follow from full ranks: against scipy, and against every draw."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ncf.evaluation import hypergeometric
from ncf.evaluation.hypergeometric import SAMPLED, correction_weights, expected_metrics, probabilities


@pytest.mark.parametrize(("others", "drawn"), [(11, 4), (30, 30), (5, 1), (1446, 99)])
def test_probabilities_are_those_of_scipy(others: int, drawn: int) -> None:
    most = min(drawn + 1, 12)
    expected = [stats.hypergeom(others, above, drawn).pmf(np.arange(most)) for above in range(0, others + 1, 7)]
    np.testing.assert_allclose(probabilities(others, drawn, most)[::7], expected, rtol=1e-9, atol=1e-14)


def test_probabilities_of_all_outcomes_sum_to_one_and_impossible_ones_have_none() -> None:
    table = probabilities(11, 4, 5)
    assert table.shape == (12, 5)
    np.testing.assert_allclose(table.sum(1), 1)
    assert not table[0, 1:].any()  # nobody above, so none of the drawn
    assert not table[11, :4].any()  # everybody above, so all of the drawn
    assert not table[2, 3:].any()


def by_every_draw(above: int, tied: int, candidates: int, drawn: int, cutoff: int) -> tuple[float, float]:
    """HR and NDCG among `drawn` of the others, over every draw and every place among the tied."""
    hits, gains = [], []
    for place in range(above, above + tied):
        for sample in itertools.combinations(range(candidates - 1), drawn):
            rank = 1 + sum(other < place for other in sample)
            hits.append(float(rank <= cutoff))
            gains.append(1 / math.log2(rank + 1) if rank <= cutoff else 0.0)
    return math.fsum(hits) / len(hits), math.fsum(gains) / len(gains)


def test_expected_metrics_are_the_mean_over_every_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(0, 1, 8), (3, 1, 8), (2, 3, 8), (7, 1, 8), (0, 8, 8), (1, 2, 4), (0, 1, 1)]
    above, tied, candidates = np.array(rows).T
    monkeypatch.setattr(hypergeometric, "SAMPLED", 3)
    monkeypatch.setattr(hypergeometric, "_running_totals", hypergeometric._running_totals.__wrapped__)  # no cache
    found = expected_metrics(above, tied, candidates, 2)
    for row, (a, t, n) in enumerate(rows):
        hit, ndcg = by_every_draw(a, t, n, min(3, n - 1), 2)
        assert found["hit@2"][row] == pytest.approx(hit)
        assert found["ndcg@2"][row] == pytest.approx(ndcg)


def test_with_no_more_than_99_others_all_are_drawn_and_the_rank_is_the_full_one() -> None:
    assert SAMPLED == 99
    for candidates in (50, 100):
        found = expected_metrics(np.array([3, 12]), np.array([1, 1]), np.array([candidates] * 2), 10)
        assert found["hit@10"].tolist() == pytest.approx([1, 0])
        assert found["ndcg@10"].tolist() == pytest.approx([1 / math.log2(5), 0])


def test_a_constant_scorer_expects_chance_among_the_sampled() -> None:
    found = expected_metrics(np.array([0]), np.array([1447]), np.array([1447]), 10)
    assert found["hit@10"][0] == pytest.approx(10 / 100)


def test_correction_weights_solve_the_published_system() -> None:
    """Krichene and Rendle 2020, section 5.3, with the probabilities of scipy."""
    full, drawn, gamma = 12, 4, 0.1
    a = np.array([[stats.hypergeom(full - 1, r, drawn).pmf(s) for s in range(drawn + 1)] for r in range(full)])
    weighted = a / np.sqrt(full)
    system = (1 - gamma) * weighted.T @ weighted + gamma * np.diag(a.mean(0))
    metric = 1 / np.arange(1, full + 1)
    expected = np.linalg.solve(system, weighted.T @ (metric / np.sqrt(full)))
    np.testing.assert_allclose(metric @ correction_weights(full, drawn, gamma), expected, atol=1e-12)


def test_the_least_variance_is_the_mean_metric_of_the_full_ranks_that_give_a_sampled_one() -> None:
    """With gamma 1 the estimate at a sampled rank is the expectation of the metric given it, ranks alike beforehand."""
    full, drawn = 12, 4
    chance = probabilities(full - 1, drawn, drawn + 1)
    metric = 1 / np.log2(np.arange(1, full + 1) + 1)
    expected = metric @ chance / chance.sum(0)
    np.testing.assert_allclose(metric @ correction_weights(full, drawn, 1.0), expected)
