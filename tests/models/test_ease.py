"""EASE against one regression an item."""

import numpy as np
import pytest
import torch
from toy_models import SPLIT, dense_positives

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.models import MODELS
from ncf.models.ease import EASE

EVERYONE = torch.arange(12)


def fitted(l2: float) -> EASE:
    model = EASE(12, 15, l2=l2)
    model.fit(SPLIT)
    return model


def test_the_scores_are_those_of_a_regression_an_item_without_the_item_itself() -> None:
    x = dense_positives()
    weights = np.zeros((15, 15))
    for item in range(15):
        others = [i for i in range(15) if i != item]
        a = x[:, others]
        weights[others, item] = np.linalg.solve(a.T @ a + 3.0 * np.eye(14), a.T @ x[:, item])
    np.testing.assert_allclose(fitted(3.0).score(EVERYONE).numpy(), x @ weights, rtol=0, atol=1e-6)


def test_no_item_recommends_itself() -> None:
    assert not fitted(3.0).weights.diagonal().any()


def test_a_large_penalty_leaves_little() -> None:
    norms = [float(fitted(l2).weights.norm()) for l2 in (1.0, 30.0, 1000.0)]
    assert norms[0] > norms[1] > norms[2]
    assert norms[2] < 0.1


def test_a_penalty_of_nought_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.l2: input should be greater than 0, got 0\.0$"):
        component("model", MODELS, {"name": "ease", "l2": 0.0})
