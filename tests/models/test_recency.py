"""Recency: ages by hand, halves at every half-life, and what models do with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_models import SPLIT
from toys import pairs

from ncf.data.split import Pairs
from ncf.errors import DataError
from ncf.models.ease import EASE
from ncf.models.knn import ItemKNN
from ncf.models.non_gradient import positives_matrix
from ncf.models.recency import ages, recent

DAY = 86_400
TRAIN = replace(
    pairs([(0, 3), (0, 1), (0, 2), (2, 0), (2, 1)]), timestamps=np.array([5 * DAY, DAY, 5 * DAY, 9 * DAY, 2 * DAY])
)


def test_ages_count_from_the_last_positive_of_each_user() -> None:
    assert ages(TRAIN, "positions").tolist() == [1, 2, 0, 0, 1]  # of equal times, the later row is the later
    assert ages(TRAIN, "days").tolist() == [0, 4, 0, 0, 7]


def test_days_have_fractions_below_a_second() -> None:
    fine = replace(TRAIN, subseconds=np.array([0, 0, 500_000_000, 0, 0], np.int32))
    assert ages(fine, "days")[0] == pytest.approx(0.5 / DAY)
    assert ages(fine, "positions").tolist() == [1, 2, 0, 0, 1]


def test_a_positive_counts_half_at_every_half_life() -> None:
    matrix = positives_matrix(TRAIN, 3, 4)
    found = recent(matrix, TRAIN, "days", 2.0).toarray()
    np.testing.assert_allclose(found, [[0, 0.25, 1, 1], [0] * 4, [1, 2**-3.5, 0, 0]])
    assert recent(matrix, TRAIN, "days", None) is matrix


def test_without_times_it_is_refused() -> None:
    train = pairs([(0, 1)])
    with pytest.raises(
        DataError, match=r"^model\.half_life=2: expected timestamps.*model\.half_life=null does without$"
    ):
        recent(positives_matrix(train, 1, 2), train, "days", 2.0)


def timed() -> Pairs:
    return replace(SPLIT.train, timestamps=np.random.default_rng(0).permutation(len(SPLIT.train)) * 5000)


def test_item_knn_sums_weighted_similarities() -> None:
    split = replace(SPLIT, train=timed())
    model = ItemKNN(12, 15, k=4, similarity="cosine", shrinkage=1.0, decay="days", half_life=0.5)
    model.fit(split)
    rows = recent(positives_matrix(split.train, 12, 15), split.train, "days", 0.5).toarray()
    table = np.zeros((15, 15))
    np.put_along_axis(table, model.neighbours.numpy(), model.similarities.double().numpy(), axis=1)
    np.testing.assert_allclose(model.score(torch.arange(12)).numpy(), rows @ table.T, atol=1e-6)
    restored = ItemKNN(12, 15, k=4, similarity="cosine", shrinkage=1.0, decay="days", half_life=0.5)
    restored.restore(model.state_dict())
    assert torch.equal(restored.score(torch.arange(12)), model.score(torch.arange(12)))


def test_the_scores_of_ease_are_the_weighted_rows_times_its_weights() -> None:
    split = replace(SPLIT, train=timed())
    model = EASE(12, 15, l2=3.0, decay="positions", half_life=2.0)
    model.fit(split)
    rows = recent(positives_matrix(split.train, 12, 15), split.train, "positions", 2.0).toarray()
    np.testing.assert_allclose(model.score(torch.arange(12)).numpy(), rows @ model.weights.double().numpy(), atol=1e-6)


def test_a_long_half_life_changes_nothing_and_a_short_one_leaves_the_last() -> None:
    split = replace(SPLIT, train=timed())
    plain, long, short = (EASE(12, 15, l2=3.0, decay="positions", half_life=h) for h in (None, 1e12, 1e-3))
    for model in (plain, long, short):
        model.fit(split)
    everyone = torch.arange(12)
    torch.testing.assert_close(long.score(everyone), plain.score(everyone))
    assert split.train.timestamps is not None
    order = np.lexsort((split.train.timestamps, split.train.users))
    last = {int(u): int(i) for u, i in zip(split.train.users[order], split.train.items[order])}
    expected = torch.stack([plain.weights[last[u]] for u in range(12)])
    torch.testing.assert_close(short.score(everyone), expected)
