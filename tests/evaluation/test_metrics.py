"""Every metric: against every order of the tied, against torchmetrics, worked by hand, and identities between them."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional import retrieval

from ncf.evaluation.metrics import METRICS, Metric, Ties, columns
from ncf.evaluation.ranking import Ranks

RULES: list[Ties] = ["average", "optimistic", "pessimistic"]
HIT, NDCG, MRR = METRICS["hit"], METRICS["ndcg"], METRICS["mrr"]
CUT = sorted(name for name, metric in METRICS.items() if metric.cut)


def ranks_of(*rows: tuple[int, int, int]) -> Ranks:
    """Rows of (above, tied, candidates)."""
    above, tied, candidates = torch.tensor(rows).T
    index = torch.arange(len(rows))
    return Ranks(index, index, above, tied, candidates)


def found(name: str, ranks: Ranks, k: int, ties: Ties = "average") -> Tensor:
    """The metric of each positive, cut off at k if it has a cut-off."""
    metric = METRICS[name]
    return metric(ranks, k if metric.cut else None, ties)


def gain(name: str, place: int, k: int) -> float:
    """The metric of a positive at `place`, by its textbook definition for one relevant item."""
    if name in ("mrr", "mrr_all"):
        return 1 / place
    if place > k:
        return 0.0
    return {"hit": 1.0, "recall": 1.0, "precision": 1 / k, "ndcg": 1 / math.log2(place + 1), "map": 1 / place}[name]


def by_every_order(name: str, scores: list[int], k: int, ties: Ties) -> float:
    """Sort the candidates in every order of the tied; the positive is candidate 0."""
    gains = []
    for order in itertools.permutations(range(len(scores))):
        ranking = sorted(order, key=lambda i: -scores[i])  # stable: ties keep the order of this permutation
        place = ranking.index(0) + 1
        gains.append((len(scores) - place) / (len(scores) - 1) if name == "auc" else gain(name, place, k))
    if ties == "average" or name == "auc":
        return math.fsum(gains) / len(gains)
    return max(gains) if ties == "optimistic" else min(gains)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.integers(0, 2), min_size=2, max_size=6),
    k=st.integers(1, 7),
    ties=st.sampled_from(RULES),
)
def test_a_metric_is_what_every_order_of_the_tied_gives(name: str, scores: list[int], k: int, ties: Ties) -> None:
    above = sum(s > scores[0] for s in scores)
    ranks = ranks_of((above, scores.count(scores[0]), len(scores)))
    assert float(found(name, ranks, k, ties)) == pytest.approx(by_every_order(name, scores, k, ties), abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"auc"}))
@settings(max_examples=30, deadline=None)
@given(above=st.integers(0, 2000), tied=st.integers(1, 500), k=st.integers(1, 100), below=st.integers(0, 100))
def test_average_is_the_mean_over_the_shared_places(name: str, above: int, tied: int, k: int, below: int) -> None:
    ranks = ranks_of((above, tied, above + tied + below))
    expected = math.fsum(gain(name, above + 1 + j, k) for j in range(tied)) / tied
    assert float(found(name, ranks, k)) == pytest.approx(expected, abs=1e-12)


def test_worked_example() -> None:
    ranks = ranks_of((0, 1, 100), (2, 1, 100), (10, 1, 100))
    expected = {
        "hit": [1, 1, 0], "recall": [1, 1, 0], "precision": [0.1, 0.1, 0],
        "ndcg": [1, 0.5, 0],  # 1 / log2(4): log base 2
        "map": [1, 1 / 3, 0], "mrr": [1, 1 / 3, 1 / 11], "mrr_all": [1, 1 / 3, 1 / 11],
        "auc": [1, 97 / 99, 89 / 99],
    }  # fmt: skip
    assert set(expected) == set(METRICS)
    for name, values in expected.items():
        assert found(name, ranks, 10).tolist() == pytest.approx(values), name
        assert found(name, ranks, 10).dtype == torch.float64


def test_a_constant_scorer_gets_exactly_chance() -> None:
    ranks = ranks_of((0, 1447, 1447), (0, 1391, 1391))
    for k in (5, 10, 20):
        assert HIT(ranks, k, "average").tolist() == [k / 1447, k / 1391]
        assert HIT(ranks, k, "optimistic").tolist() == [1, 1]
        assert HIT(ranks, k, "pessimistic").tolist() == [0, 0]
    for ties in RULES:
        assert METRICS["auc"](ranks, None, ties).tolist() == [0.5, 0.5]


def test_without_other_candidates_the_area_under_the_curve_is_no_number() -> None:
    assert METRICS["auc"](ranks_of((0, 1, 1)), None, "average").isnan().all()


ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=20)
EPS = 1e-12


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, ties=st.sampled_from(RULES), k=st.integers(1, 120))
def test_metrics_are_ordered_as_their_gains_are(rows: list[tuple[int, int]], ties: Ties, k: int) -> None:
    ranks = ranks_of(*((a, t, a + t + 3) for a, t in rows))
    at_k = {name: METRICS[name](ranks, k, ties) for name in CUT}
    assert (at_k["ndcg"] <= at_k["hit"] + EPS).all()
    assert (at_k["map"] <= at_k["ndcg"] + EPS).all()
    assert (at_k["map"] <= MRR(ranks, None, ties) + EPS).all()
    assert torch.equal(at_k["recall"], at_k["hit"])
    torch.testing.assert_close(at_k["precision"] * k, at_k["hit"])
    for name in ("hit", "ndcg", "map"):
        assert (at_k[name] <= METRICS[name](ranks, k + 1, ties) + EPS).all()
    assert (HIT(ranks, 1, ties) <= MRR(ranks, None, ties) + EPS).all()
    assert torch.equal(HIT(ranks, 1, ties), NDCG(ranks, 1, ties))
    beyond = int(ranks.candidates.max())
    torch.testing.assert_close(METRICS["map"](ranks, beyond, ties), MRR(ranks, None, ties))


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, k=st.integers(1, 120))
def test_optimistic_average_and_pessimistic_are_ordered(name: str, rows: list[tuple[int, int]], k: int) -> None:
    ranks = ranks_of(*((a, t, a + t + 3) for a, t in rows))
    best, mean, worst = (found(name, ranks, k, ties) for ties in ("optimistic", "average", "pessimistic"))
    assert (best >= mean - EPS).all()
    assert (mean >= worst - EPS).all()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("ties", RULES)
def test_leading_dimensions_stay(name: str, ties: Ties) -> None:
    flat = ranks_of((3, 2, 50), (0, 4, 50), (7, 1, 50), (12, 3, 50))
    pair = Ranks(flat.users[:2], flat.items[:2], flat.above.view(2, 2), flat.tied.view(2, 2), flat.candidates[:2])
    assert torch.equal(found(name, pair, 10, ties).flatten(), found(name, flat, 10, ties))


@pytest.mark.parametrize("name", METRICS)
def test_the_gain_of_a_place_is_the_metric_of_a_positive_that_stands_there(name: str) -> None:
    places = 12
    ranks = ranks_of(*((place, 1, places) for place in range(places)))
    scale = places if name == "precision" else 1
    torch.testing.assert_close(METRICS[name].gains(places), scale * found(name, ranks, places))


def test_columns_come_metric_by_metric_each_at_every_cutoff() -> None:
    made = columns(["ndcg", "mrr", "hit"], [5, 1])
    assert list(made) == ["ndcg@5", "ndcg@1", "mrr", "hit@5", "hit@1"]
    assert made["ndcg@1"] == (NDCG, 1)
    assert made["mrr"] == (MRR, None)


def test_a_metric_of_ones_own_is_one_class_with_its_gains() -> None:
    class Square(Metric):
        def gains(self, places: int) -> Tensor:
            return torch.arange(places, 0, -1, dtype=torch.float64).square()

    assert Square()(ranks_of((0, 1, 9), (1, 2, 9), (3, 1, 9)), 3, "average").tolist() == [9, (4 + 1) / 2, 0]
    assert Square()(ranks_of((1, 1, 9)), None, "average").tolist() == [64]


def test_a_metric_without_gains_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Metric()  # type: ignore[abstract]


LIBRARY: dict[str, Any] = {
    "hit": retrieval.retrieval_hit_rate, "ndcg": retrieval.retrieval_normalized_dcg,
    "mrr": retrieval.retrieval_reciprocal_rank, "mrr_all": retrieval.retrieval_reciprocal_rank,
    "precision": retrieval.retrieval_precision, "recall": retrieval.retrieval_recall,
    "map": retrieval.retrieval_average_precision, "auc": retrieval.retrieval_auroc,
}  # fmt: skip


def cases() -> list[tuple[Tensor, int]]:
    """Scores (n,) > 0, as the library wants them, with many ties, and which is the positive's."""
    stream = torch.Generator().manual_seed(0)
    sizes = torch.randint(2, 12, (40,), generator=stream).tolist()
    return [
        (torch.randint(1, 5, (n,), generator=stream).double(), int(torch.randint(n, (1,), generator=stream)))
        for n in sizes
    ]


def by_library(name: str, scores: Tensor, positive: int, k: int) -> float:
    """torchmetrics knows no ties: its value, averaged over the places among its ties that the positive may take."""
    tied = int((scores == scores[positive]).sum())
    target = torch.zeros(len(scores), dtype=torch.bool)
    target[positive] = True
    values = []
    for place in range(tied):
        moved = scores + torch.linspace(0, 0.01, len(scores), dtype=scores.dtype)
        others = torch.tensor([i for i in range(len(scores)) if scores[i] == scores[positive] and i != positive])
        broken = moved[others].sort(descending=True).values if len(others) else moved[:0]
        edges = torch.cat([torch.tensor([scores[positive] + 0.5]), broken, torch.tensor([scores[positive] - 0.1])])
        moved[positive] = (edges[place] + edges[place + 1]) / 2
        values.append(float(LIBRARY[name](moved, target, **({"top_k": k} if METRICS[name].cut else {}))))
    return sum(values) / tied


@pytest.mark.parametrize("name", METRICS)
def test_metrics_agree_with_torchmetrics(name: str) -> None:
    rows = cases()
    ranks = ranks_of(*((int((s > s[p]).sum()), int((s == s[p]).sum()), len(s)) for s, p in rows))
    for k in (1, 3, 20) if METRICS[name].cut else (1,):
        theirs = [by_library(name, *row, k) for row in rows]
        np.testing.assert_allclose(found(name, ranks, k).numpy(), theirs, rtol=0, atol=1e-6)
