"""Expected sampled metrics against simulation, enumeration and the identities they must obey."""

import itertools

import numpy as np
import pytest
from ncf.report.sampled import SAMPLED, _hypergeometric, _running_totals, expected_metrics
from scipy.stats import hypergeom


def expect(above: list[int], tied: list[int], candidates: list[int], cutoff: int = 10) -> dict[str, np.ndarray]:
    return expected_metrics(np.array(above), np.array(tied), np.array(candidates), cutoff)


def test_agrees_with_a_simulation_of_the_draw() -> None:
    rng = np.random.default_rng(0)
    above, candidates = 200, 1391
    drawn = np.array([(rng.permutation(candidates - 1)[:SAMPLED] < above).sum() for _ in range(20_000)])
    got = expect([above], [1], [candidates])
    assert got["hit@10"][0] == pytest.approx((drawn < 10).mean(), abs=0.012)
    assert got["ndcg@10"][0] == pytest.approx(np.where(drawn < 10, 1 / np.log2(drawn + 2), 0).mean(), abs=0.01)


def test_agrees_with_every_draw_enumerated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.report.sampled.SAMPLED", 3)
    _running_totals.cache_clear()
    above, others = 4, 7
    ranks = [sum(item < above for item in draw) for draw in itertools.combinations(range(others), 3)]
    got = expect([above], [1], [others + 1], cutoff=2)
    assert got["hit@2"][0] == pytest.approx(np.mean([rank < 2 for rank in ranks]))
    _running_totals.cache_clear()
    assert got["ndcg@2"][0] == pytest.approx(np.mean([1 / np.log2(rank + 2) if rank < 2 else 0 for rank in ranks]))


def test_the_top_item_always_hits_and_the_last_of_many_never() -> None:
    got = expect([0, 1390], [1, 1], [1391, 1391])
    assert got["hit@10"].tolist() == pytest.approx([1.0, 0.0])
    assert got["ndcg@10"].tolist() == pytest.approx([1.0, 0.0])


def test_few_candidates_are_all_drawn_so_that_the_full_metric_comes_out() -> None:
    got = expect([3, 12], [1, 1], [50, 50])
    assert got["hit@10"].tolist() == pytest.approx([1.0, 0.0])
    assert got["ndcg@10"].tolist() == pytest.approx([1 / np.log2(5), 0.0])


def test_a_constant_scorer_gets_chance() -> None:
    got = expect([0], [1000], [1000])
    assert got["hit@10"][0] == pytest.approx(10 / 100)


def test_ties_average_over_their_places() -> None:
    tied = expect([5], [4], [800])
    apart = expect([5, 6, 7, 8], [1, 1, 1, 1], [800] * 4)
    for name, values in apart.items():
        assert tied[name][0] == pytest.approx(values.mean())


@pytest.mark.parametrize(("others", "drawn"), [(1390, 99), (120, 99), (99, 99), (30, 30)])
def test_agrees_with_scipy(others: int, drawn: int) -> None:
    above = np.arange(others + 1)[:, None]
    assert _hypergeometric(others, drawn, 10) == pytest.approx(hypergeom.pmf(np.arange(10), others, above, drawn))
