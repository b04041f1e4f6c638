"""Every metric where users have several positives: against every order of the tied, torchmetrics, and ranx."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional import retrieval

from ncf.evaluation.hypergeometric import first_of_several
from ncf.evaluation.metrics import METRICS, Metric, Ties
from ncf.evaluation.ranking import Ranks

RULES: list[Ties] = ["average", "optimistic", "pessimistic"]
List = tuple[list[int], int]
"""The scores of a user's candidates, and how many of the first of them are positives."""


def ranks_of(lists: list[List], order: list[int] | None = None) -> Ranks:
    """A row for each positive of each user, in this order of the rows."""
    rows = [
        (user, item, sum(s > scores[item] for s in scores), scores.count(scores[item]), len(scores))
        for user, (scores, positives) in enumerate(lists)
        for item in range(positives)
    ]
    return Ranks(*torch.tensor([rows[i] for i in order or range(len(rows))]).T)


def by_user(name: str, ranks: Ranks, k: int, ties: Ties = "average") -> list[float]:
    """The metric of each user, from 0 on: the mean over the user's rows."""
    metric = METRICS[name]
    values = metric(ranks, k if metric.cut else None, ties)
    assert values.dtype == torch.float64
    assert values.shape == ranks.users.shape
    return [float(values[ranks.users == user].mean()) for user in range(int(ranks.users.max()) + 1)]


def textbook(name: str, relevant: list[bool], k: int) -> float:
    """The metric of one sorted list, by its usual definition."""
    places = [place for place, positive in enumerate(relevant, 1) if positive]
    within, total = [place for place in places if place <= k], sum(relevant)
    if name == "auc":
        others = [place for place, positive in enumerate(relevant, 1) if not positive]
        return sum(a < b for a in places for b in others) / (total * len(others))
    values = {
        "hit": bool(within),
        "recall": len(within) / total,
        "precision": len(within) / k,
        "mrr": 1 / places[0],
        "mrr_all": sum(1 / place for place in places) / total,
        "map": sum((n + 1) / place for n, place in enumerate(within)) / min(k, total),
        "ndcg": sum(1 / math.log2(p + 1) for p in within) / sum(1 / math.log2(j + 2) for j in range(min(k, total))),
    }
    return float(values[name])


def by_every_order(name: str, scores: list[int], positives: int, k: int, ties: Ties) -> float:
    """Sort the candidates in every order of the tied, or with the positives first or last among them."""
    relevant = [i < positives for i in range(len(scores))]
    if ties != "average" and name != "auc":
        sign = -1 if ties == "optimistic" else 1
        ranking = sorted(range(len(scores)), key=lambda i: (-scores[i], sign * relevant[i]))
        return textbook(name, [relevant[i] for i in ranking], k)
    values = []
    for order in itertools.permutations(range(len(scores))):
        ranking = sorted(order, key=lambda i: -scores[i])  # stable: ties keep the order of this permutation
        values.append(textbook(name, [relevant[i] for i in ranking], k))
    return math.fsum(values) / len(values)


@st.composite
def lists(draw: Any, largest: int = 6) -> List:
    """Scores with many ties; at least one candidate is no positive."""
    scores = draw(st.lists(st.integers(0, 2), min_size=2, max_size=largest))
    return scores, draw(st.integers(1, len(scores) - 1))


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(users=st.lists(lists(), min_size=1, max_size=3), k=st.integers(1, 7), ties=st.sampled_from(RULES),
       order=st.randoms(use_true_random=False))  # fmt: skip
def test_a_user_has_what_every_order_of_the_tied_gives(
    name: str, users: list[List], k: int, ties: Ties, order: Any
) -> None:
    rows = sum(positives for _, positives in users)
    ranks = ranks_of(users, order.sample(range(rows), rows))
    expected = [by_every_order(name, *user, k, ties) for user in users]
    assert by_user(name, ranks, k, ties) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", RULES)
@pytest.mark.parametrize("name", METRICS)
def test_every_short_list_has_what_every_order_of_the_tied_gives(name: str, ties: Ties) -> None:
    short = [(list(s), p) for n in (2, 3, 4) for s in itertools.product(range(2), repeat=n) for p in range(1, n)]
    for k in (1, 2, 3):
        expected = [by_every_order(name, *user, k, ties) for user in short]
        assert by_user(name, ranks_of(short), k, ties) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", RULES)
@pytest.mark.parametrize("name", METRICS)
def test_with_one_positive_a_user_the_value_is_the_same_to_the_bit_beside_users_of_several(
    name: str, ties: Ties
) -> None:
    rng = np.random.default_rng(0)
    singles = [(rng.integers(0, 4, 30).tolist(), 1) for _ in range(40)]
    for k in (1, 3, 10, 40):
        alone = by_user(name, ranks_of(singles), k, ties)
        beside = by_user(name, ranks_of([*singles, ([1, 1, 0, 1], 3)]), k, ties)
        assert alone == beside[:-1]


@pytest.mark.parametrize("ties", RULES)
@pytest.mark.parametrize("name", METRICS)
def test_stacked_models_have_the_values_of_each_alone(name: str, ties: Ties) -> None:
    rng = np.random.default_rng(1)
    models = [ranks_of([(rng.integers(0, 3, 9).tolist(), positives) for positives in (3, 1, 4)]) for _ in range(3)]
    stacked = replace(models[0], **{key: torch.stack([getattr(m, key) for m in models]) for key in ("above", "tied")})
    k = 4 if METRICS[name].cut else None
    found = METRICS[name](stacked, k, ties)
    for model, values in zip(models, found, strict=True):
        assert torch.equal(values, METRICS[name](model, k, ties))


def test_a_perfect_list_has_the_best_value_and_a_reversed_one_the_worst() -> None:
    best, worst = ranks_of([([9, 8, 7, 1, 2, 3], 3)]), ranks_of([([1, 2, 3, 9, 8, 7], 3)])
    for name in set(METRICS) - {"precision", "recall", "mrr_all"}:
        assert by_user(name, best, 2) == pytest.approx([1]), name
        assert by_user(name, worst, 2) == pytest.approx([1 / 4 if name == "mrr" else 0]), name
    assert by_user("mrr_all", best, 2) == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3])
    assert by_user("mrr_all", worst, 2) == pytest.approx([(1 / 4 + 1 / 5 + 1 / 6) / 3])
    assert by_user("precision", best, 2) == by_user("precision", best, 3) == [1]
    assert by_user("precision", best, 6) == [0.5]
    assert (by_user("recall", best, 2), by_user("recall", best, 3)) == (pytest.approx([2 / 3]), [1])


def test_a_constant_scorer_gets_chance() -> None:
    """Of 1,000 candidates, 7 positives: hypergeometric."""
    ranks = ranks_of([([0] * 1000, 7)])
    assert by_user("recall", ranks, 10) == pytest.approx([0.01])
    assert by_user("precision", ranks, 10) == pytest.approx([0.007])
    assert by_user("auc", ranks, 10) == [0.5]
    none = math.prod((993 - i) / (1000 - i) for i in range(10))
    assert by_user("hit", ranks, 10) == pytest.approx([1 - none], rel=1e-12)
    places = np.arange(1, 995)
    chance = np.array([math.comb(1000 - j, 6) / math.comb(1000, 7) for j in places.tolist()])
    assert by_user("mrr", ranks, 10) == pytest.approx([(chance / places).sum()], rel=1e-12)


def test_means_are_over_users_not_over_positives() -> None:
    ranks = ranks_of([([9, 8, 1, 2], 2), ([1, 5, 6, 7], 1)])
    values = METRICS["recall"](ranks, 2, "average")
    assert values.tolist() == [1, 1, 0]
    assert ranks.mean(values) == 0.5


def test_positives_that_were_ranked_apart_are_not_taken_together() -> None:
    ranks = replace(ranks_of([([0, 0, 0, 0], 2)]), apart=True)
    assert METRICS["hit"](ranks, 1, "average").tolist() == [0.25, 0.25]
    assert ranks.mean(METRICS["hit"](ranks, 1, "average")) == 0.25


def test_a_metric_of_ones_own_is_the_mean_over_the_positives() -> None:
    class Square(Metric):
        def gains(self, places: int) -> Tensor:
            return torch.arange(places, 0, -1, dtype=torch.float64).square()

    assert Square()(ranks_of([([9, 7, 8, 1], 2)]), 3, "average").tolist() == [9, 1]


def test_the_first_of_several_is_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    tied = torch.from_numpy(rng.integers(2, 30, 50))
    positives = torch.from_numpy(rng.integers(1, tied.numpy() + 1))
    before = torch.from_numpy(rng.integers(0, 9, 50))
    gains = 1 / torch.arange(1, 41, dtype=torch.float64)
    whole = first_of_several(before, tied, positives, gains)
    for row, (b, t, r) in enumerate(zip(before.tolist(), tied.tolist(), positives.tolist(), strict=True)):
        chance = [math.comb(t - j, r - 1) / math.comb(t, r) / (b + j) for j in range(1, t + 1)]
        assert float(whole[row]) == pytest.approx(math.fsum(chance), rel=1e-12)
    monkeypatch.setattr("ncf.evaluation.hypergeometric._AT_ONCE", 64)
    assert torch.equal(first_of_several(before, tied, positives, gains), whole)
    assert first_of_several(before[:0], tied[:0], positives[:0], gains).shape == (0,)


LIBRARY: dict[str, Any] = {
    "hit": retrieval.retrieval_hit_rate, "ndcg": retrieval.retrieval_normalized_dcg,
    "mrr": retrieval.retrieval_reciprocal_rank, "precision": retrieval.retrieval_precision,
    "recall": retrieval.retrieval_recall, "auc": retrieval.retrieval_auroc,
}  # fmt: skip


@pytest.mark.parametrize("name", LIBRARY)
def test_untied_lists_agree_with_torchmetrics(name: str) -> None:
    stream = torch.Generator().manual_seed(0)
    for positives in range(1, 9):
        scores = torch.randperm(25, generator=stream) + 1
        ranks, target = ranks_of([(scores.tolist(), positives)]), torch.arange(25) < positives
        for k in (1, 3, 10, 25) if METRICS[name].cut else (1,):
            theirs = LIBRARY[name](scores / 26, target, **({"top_k": k} if METRICS[name].cut else {}))
            assert by_user(name, ranks, k) == pytest.approx([float(theirs)], abs=1e-6)


# ranx 0.3.21 (Bassani 2022) on these lists, of which the first 1, 2, 4, 7 and 12 candidates are the positives:
# evaluate(Qrels({user: {item: 1}}), Run({user: {item: score}}), metric, return_mean=False).
RANX_LISTS: list[List] = [
    ([9, 11, 1, 3, 2, 4, 6, 7, 0, 10, 5, 8], 1),
    ([11, 6, 9, 3, 7, 8, 1, 0, 10, 4, 5, 2], 2),
    ([10, 11, 2, 6, 4, 7, 5, 3, 0, 8, 9, 1], 4),
    ([3, 16, 1, 22, 24, 9, 21, 15, 6, 0, 12, 29, 11, 14, 27, 18, 17, 25, 10, 2, 20, 26, 5, 4, 8, 13, 7, 23, 19, 28], 7),
    ([2, 0, 19, 10, 15, 4, 29, 1, 23, 7, 9, 6, 28, 14, 26, 5, 20, 11, 16, 27, 12, 3, 17, 13, 21, 18, 24, 8, 25, 22],
     12),
]  # fmt: skip
RANX = {
    "hit_rate@3": [1.0, 1.0, 1.0, 0.0, 1.0],
    "hit_rate@10": [1.0, 1.0, 1.0, 1.0, 1.0],
    "ndcg@3": [0.5, 0.613147192765, 0.765360636989, 0.0, 0.469278726023],
    "ndcg@10": [0.5, 0.831554629584, 0.888583759593, 0.267372775149, 0.293455688397],
    "precision@3": [0.333333333333, 0.333333333333, 0.666666666667, 0.0, 0.333333333333],
    "precision@10": [0.1, 0.2, 0.4, 0.3, 0.2],
    "recall@3": [1.0, 0.5, 0.5, 0.0, 0.083333333333],
    "recall@10": [1.0, 1.0, 1.0, 0.428571428571, 0.166666666667],
    "map@3": [0.333333333333, 0.5, 0.5, 0.0, 0.083333333333],
    "map@10": [0.333333333333, 0.666666666667, 0.725, 0.107142857143, 0.107142857143],
    "mrr@100": [0.333333333333, 1.0, 1.0, 0.166666666667, 1.0],
    "map@100": [0.333333333333, 0.666666666667, 0.725, 0.248201579482, 0.373425893197],
}


@pytest.mark.parametrize("column", RANX)
def test_untied_lists_agree_with_ranx(column: str) -> None:
    """But for the largest average precision there can be: ranx divides by R, so that no list of k < R items has 1."""
    name, k = column.replace("hit_rate", "hit").split("@")
    found = by_user(name, ranks_of(RANX_LISTS), int(k))
    if name == "map":
        found = [value * min(int(k), positives) / positives for value, (_, positives) in zip(found, RANX_LISTS)]
    assert found == pytest.approx(RANX[column], abs=1e-11)
