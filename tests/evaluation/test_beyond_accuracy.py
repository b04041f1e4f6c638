"""Against torchmetrics, which has no notion of ties: its values averaged over every place a tied positive may take."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ncf.evaluation import Ranks, extra
from ncf.evaluation.metrics import hit, mrr, ndcg

retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
ROWS = 40


def cases() -> list[tuple[Tensor, int]]:
    """Scores (n,) > 0, as the library wants them, with many ties, and which is the positive's."""
    stream = torch.Generator().manual_seed(0)
    sizes = torch.randint(2, 12, (ROWS,), generator=stream).tolist()
    return [(torch.randint(1, 5, (n,), generator=stream).double(), int(torch.randint(n, (1,), generator=stream)))
            for n in sizes]  # fmt: skip


def ranks_of(rows: list[tuple[Tensor, int]]) -> Ranks:
    above = torch.tensor([int((s > s[p]).sum()) for s, p in rows])
    tied = torch.tensor([int((s == s[p]).sum()) for s, p in rows])
    return Ranks(
        torch.arange(ROWS), torch.tensor([p for _, p in rows]), above, tied, torch.tensor([len(s) for s, _ in rows])
    )


def expected(function, scores: Tensor, positive: int, **options: int) -> float:
    """The library's value, averaged over the places among its ties that the positive may take."""
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
        values.append(float(function(moved, target, **options)))
    return sum(values) / tied


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize(
    ("ours", "library"),
    [
        (hit, "retrieval_hit_rate"),
        (ndcg, "retrieval_normalized_dcg"),
        (extra.precision, "retrieval_precision"),
        (extra.recall, "retrieval_recall"),
        (extra.average_precision, "retrieval_average_precision"),
    ],
)
def test_metrics_at_k_agree_with_torchmetrics(ours, library, k):
    rows = cases()
    theirs = [expected(getattr(retrieval, library), *row, top_k=k) for row in rows]
    np.testing.assert_allclose(ours(ranks_of(rows), k, "average").numpy(), theirs, rtol=0, atol=1e-6)


def test_mrr_and_auc_agree_with_torchmetrics():
    rows = cases()
    theirs = [expected(retrieval.retrieval_reciprocal_rank, *row) for row in rows]
    np.testing.assert_allclose(mrr(ranks_of(rows), "average").numpy(), theirs, rtol=0, atol=1e-6)
    theirs = [expected(retrieval.retrieval_auroc, *row) for row in rows]
    np.testing.assert_allclose(extra.auc(ranks_of(rows)).numpy(), theirs, rtol=0, atol=1e-6)


def test_lists_by_hand():
    lists = np.array([[0, 1], [0, 2]])
    popularity = np.array([8, 4, 0, 2])
    assert extra.coverage(lists, 4) == 0.75
    assert extra.gini(lists, 4) == pytest.approx(sum(abs(a - b) for a in (2, 1, 1, 0) for b in (2, 1, 1, 0)) / (2 * 16))
    assert extra.gini(np.arange(4)[None], 4) == 0
    assert extra.novelty(lists, popularity, 16) == pytest.approx((1 + 2 + 1 + 4) / 4)
    assert extra.average_popularity(lists, popularity) == 5


def test_groups_hold_all_and_equal_sizes_stay_together():
    sizes = np.array([1, 1, 1, 1, 2, 5, 9, 9, 9])
    group = extra.groups(sizes, 3)
    assert group.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2] or all(len(set(group[sizes == s])) == 1 for s in sizes)
    means = extra.by_group(torch.arange(9.0), group)
    assert sum(n for n, _ in means.values()) == 9
    assert sum(n * m for n, m in means.values()) == 36
