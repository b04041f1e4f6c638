import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.evaluation.metrics import hit, mrr, ndcg
from ncf.evaluation.ranking import Ranks

TIES = ["average", "optimistic", "pessimistic"]


def ranks_of(*rows: tuple[int, int, int]) -> Ranks:
    """Rows of (above, tied, candidates)."""
    above, tied, candidates = torch.tensor(rows).T
    index = torch.arange(len(rows))
    return Ranks(index, index, above, tied, candidates)


def gain(name: str, place: int, k: int) -> float:
    if name == "mrr":
        return 1 / place
    return 0.0 if place > k else 1.0 if name == "hit" else 1 / math.log2(place + 1)


def value(name: str, ranks: Ranks, k: int, ties: str) -> float:
    return float(mrr(ranks, ties) if name == "mrr" else {"hit": hit, "ndcg": ndcg}[name](ranks, k, ties))


def by_every_order(name: str, scores: list[int], k: int, ties: str) -> float:
    """Sort the candidates in every order of the tied; the positive is candidate 0."""
    places = set()
    for order in itertools.permutations(range(len(scores))):
        ranking = sorted(order, key=lambda i: -scores[i])  # stable: ties keep the order of this permutation
        places.add((order, ranking.index(0) + 1))
    gains = [gain(name, place, k) for _, place in places]
    return {"average": math.fsum(gains) / len(gains), "optimistic": max(gains), "pessimistic": min(gains)}[ties]


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    k=st.integers(1, 7),
    ties=st.sampled_from(TIES),
    name=st.sampled_from(["hit", "ndcg", "mrr"]),
)
def test_agrees_with_every_order_of_the_tied(scores, k, ties, name):
    above = sum(s > scores[0] for s in scores)
    ranks = ranks_of((above, scores.count(scores[0]), len(scores)))
    assert value(name, ranks, k, ties) == pytest.approx(by_every_order(name, scores, k, ties), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    above=st.integers(0, 2000), tied=st.integers(1, 500), k=st.integers(1, 100), below=st.integers(0, 100),
    name=st.sampled_from(["hit", "ndcg", "mrr"]),
)  # fmt: skip
def test_average_is_the_mean_over_the_shared_places(above, tied, k, below, name):
    ranks = ranks_of((above, tied, above + tied + below))
    expected = math.fsum(gain(name, above + 1 + j, k) for j in range(tied)) / tied
    assert value(name, ranks, k, "average") == pytest.approx(expected, abs=1e-12)


def test_worked_example():
    ranks = ranks_of((0, 1, 100), (2, 1, 100), (10, 1, 100))
    assert hit(ranks, 10, "average").tolist() == [1, 1, 0]
    assert ndcg(ranks, 10, "average").tolist() == pytest.approx([1, 0.5, 0])  # 1 / log2(4): log base 2
    assert mrr(ranks, "average").tolist() == pytest.approx([1, 1 / 3, 1 / 11])


def test_a_constant_scorer_gets_exactly_chance():
    ranks = ranks_of((0, 1447, 1447), (0, 1391, 1391))
    for k in (5, 10, 20):
        assert hit(ranks, k, "average").tolist() == [k / 1447, k / 1391]
        assert hit(ranks, k, "optimistic").tolist() == [1, 1]
        assert hit(ranks, k, "pessimistic").tolist() == [0, 0]


rows = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(rows=rows, ties=st.sampled_from(TIES), k=st.integers(1, 120))
def test_identities(rows, ties, k):
    ranks, eps = ranks_of(*((a, t, a + t + 3) for a, t in rows)), 1e-12
    assert (ndcg(ranks, k, ties) <= hit(ranks, k, ties) + eps).all()
    assert (hit(ranks, k, ties) <= hit(ranks, k + 1, ties) + eps).all()
    assert (ndcg(ranks, k, ties) <= ndcg(ranks, k + 1, ties) + eps).all()
    assert (hit(ranks, 1, ties) <= mrr(ranks, ties) + eps).all()
    assert torch.equal(hit(ranks, 1, ties), ndcg(ranks, 1, ties))


@settings(max_examples=100, deadline=None)
@given(rows=rows, k=st.integers(1, 120))
def test_optimistic_average_pessimistic_are_ordered(rows, k):
    ranks, eps = ranks_of(*((a, t, a + t + 3) for a, t in rows)), 1e-12
    for metric in (lambda ties: hit(ranks, k, ties), lambda ties: ndcg(ranks, k, ties), lambda ties: mrr(ranks, ties)):
        assert (metric("optimistic") >= metric("average") - eps).all()
        assert (metric("average") >= metric("pessimistic") - eps).all()


@pytest.mark.parametrize("ties", TIES)
def test_leading_dimensions_stay(ties):
    flat = ranks_of((3, 2, 50), (0, 4, 50), (7, 1, 50), (12, 3, 50))
    pair = Ranks(flat.users[:2], flat.items[:2], flat.above.view(2, 2), flat.tied.view(2, 2), flat.candidates[:2])
    assert torch.equal(ndcg(pair, 10, ties).flatten(), ndcg(flat, 10, ties))
