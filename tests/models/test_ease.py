"""EASE against one regression an item."""

import numpy as np
import pytest
import torch
from toy_models import SPLIT, dense_positives

from ncf.core.config import component
from ncf.errors import ConfigError, TrainingError
from ncf.models import MODELS, ease
from ncf.models.ease import EASE

EVERYONE = torch.arange(12)


def fitted(l2: float) -> EASE:
    model = EASE(12, 15, l2=l2, decay="positions", half_life=None)
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
    with pytest.raises(ConfigError, match=r"^model\.l2: expected a value greater than 0, got 0\.0$"):
        component("model", MODELS, {"name": "ease", "l2": 0.0})


@pytest.mark.parametrize("l2", [1e-18, 1e-12])
def test_a_penalty_so_small_that_rounding_decides_is_refused(l2: float) -> None:
    """At 1e-18 there is no factorisation; at 1e-12 there is one, of noise. 12 users of 15 items: X'X is singular."""
    with pytest.raises(ConfigError, match=rf"^model\.l2: expected a penalty that is large enough.*, got {l2};"):
        fitted(l2)
    assert fitted(1e-6).weights.isfinite().all()


def test_the_need_of_memory_comes_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "available", lambda: 2.0**31)
    monkeypatch.setattr(ease, "positives_matrix", None)  # no work: it cannot even be called
    model = EASE(3, 30_000, l2=1.0, decay="positions", half_life=None)
    with pytest.raises(TrainingError) as caught:
        model.fit(SPLIT)
    assert str(caught.value) == (
        "model=ease: expected 20.1 GiB of memory for its matrices of 30,000 by 30,000 items, found 2.0 GiB; use data "
        "with fewer items, or another model, such as model=puresvd"
    )
