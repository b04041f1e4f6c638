"""EASE with features, against EASE on the stacked matrix and as EASE itself at weight nought."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import SPLIT, TABLE, WITH_USERS, dense_positives

from ncf.data.feature_blocks import BlockWeights, vectors
from ncf.data.features import item_columns
from ncf.errors import TrainingError
from ncf.models import ease
from ncf.models.cease import CEASE
from ncf.models.ease import EASE
from ncf.models.non_gradient import positives_matrix
from ncf.models.recency import recent

EVERYONE = torch.arange(12)


def fitted(split: Any = WITH_USERS, **changed: Any) -> CEASE:
    keys: dict[str, Any] = {"weight": 0.0, "user_weight": 0.0, "text": 1.0, "categories": 1.0, "numbers": 0.0}
    keys["half_life"] = None
    model = CEASE(12, 15, l2=3.0, stop_words=[], decay="positions", **(keys | changed))
    model.fit(split)
    return model


def plain(rows: np.ndarray) -> np.ndarray:
    """EASE's weights from the rows of a matrix, one regression a column."""
    count = rows.shape[1]
    weights = np.zeros((count, count))
    for column in range(count):
        others = np.delete(np.arange(count), column)
        a = rows[:, others]
        weights[others, column] = np.linalg.solve(a.T @ a + 3.0 * np.eye(count - 1), a.T @ rows[:, column])
    return weights


def test_without_weights_it_is_ease_to_the_bit() -> None:
    model = EASE(12, 15, l2=3.0, decay="positions", half_life=None)
    model.fit(SPLIT)
    assert torch.equal(fitted(SPLIT).score(EVERYONE), model.score(EVERYONE))


def test_features_of_items_are_rows_below_the_users() -> None:
    features = vectors(item_columns(SPLIT), BlockWeights(1.0, 1.0, 0.0), "toy").toarray()
    weights = plain(np.vstack([dense_positives(), 2.0 * features.T]))
    np.testing.assert_allclose(fitted(weight=2.0).score(EVERYONE).numpy(), dense_positives() @ weights, atol=1e-6)


def test_features_of_users_are_columns_beside_the_items() -> None:
    own = 0.5 * vectors(TABLE.columns, BlockWeights(1.0, 1.0, 1.0), "toy").toarray()
    rows = np.hstack([dense_positives(), own])
    expected = (rows @ plain(rows))[:, :15]
    model = fitted(user_weight=0.5)
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), expected, atol=1e-6)
    assert not torch.equal(model.score(EVERYONE), fitted().score(EVERYONE))


def test_the_rows_that_are_scored_are_weighted_by_recency() -> None:
    stamps = np.random.default_rng(0).permutation(len(SPLIT.train)) * 5000
    split = replace(SPLIT, train=replace(SPLIT.train, timestamps=stamps))
    rows = recent(positives_matrix(split.train, 12, 15), split.train, "positions", 0.5).toarray()
    model = fitted(split, weight=2.0, half_life=0.5)
    np.testing.assert_allclose(model.score(EVERYONE).numpy(), rows @ model.weights.double().numpy(), atol=1e-6)
    assert torch.equal(model.weights, fitted(weight=2.0).weights)


def test_a_small_weight_is_nearly_none() -> None:
    near = fitted(weight=1e-4, user_weight=1e-4).score(EVERYONE)
    torch.testing.assert_close(near, fitted().score(EVERYONE), rtol=0, atol=1e-5)


def test_features_of_users_count_in_the_memory_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the items alone would fit."""
    monkeypatch.setattr(ease, "available", lambda: 3 * 8 * 16.0**2)
    fitted(weight=1.0)
    with pytest.raises(TrainingError, match=r"^model=cease: .*15 items and 34 features of users, .*user_weight=0$"):
        fitted(user_weight=0.5)
