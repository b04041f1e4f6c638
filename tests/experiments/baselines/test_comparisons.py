"""What the comparison of models tests: over users, over seeds, and within which family it corrects."""

import numpy as np
import pandas as pd
import pytest

from experiments.baselines import comparisons


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "RESAMPLES", 999)


def made_up(seeds: int, users: int = 60) -> np.ndarray:
    """A metric (seeds, users): most users have none, as with one held-out item."""
    rng = np.random.default_rng(seeds)
    return (rng.random((seeds, users)) < 0.3) * rng.random((seeds, users)) + 0.01


def test_models_without_randomness_have_only_users_to_vary_over() -> None:
    found = comparisons.compared(made_up(1), made_up(1) + 0.001 * np.arange(60))
    assert np.isnan(found["p_seeds"])
    assert 0 < found["p_users"] < 1


def test_one_value_is_compared_with_every_seed_of_the_other() -> None:
    ten = made_up(10)
    low = np.zeros((1, 60))
    found = comparisons.compared(ten, low + 1e-6)
    assert found["p_seeds"] == pytest.approx(2 / 2**10)
    assert found["difference"] == pytest.approx(ten.mean() - 1e-6)
    assert found["low"] < found["difference"] < found["high"]


def test_equal_models_do_not_differ() -> None:
    found = comparisons.compared(made_up(10), made_up(10))
    assert found["p_users"] == found["p_seeds"] == 1


def test_the_correction_is_within_an_opponent_and_a_metric() -> None:
    rows = [("ndcg@10", "neumf", "ease", 0.01), ("ndcg@10", "neumf", "gmf", 0.04), ("ndcg@10", "ease", "gmf", 0.04)]
    table = pd.DataFrame(rows, columns=["metric", "against", "arm", "p_users"]).assign(p_seeds=[0.01, np.nan, np.nan])
    found = comparisons.corrected(table)
    assert found["p_users"].tolist() == [0.02, 0.04, 0.04]
    assert found["p_seeds"].tolist()[0] == 0.01


def test_the_best_baseline_is_picked_by_validation_and_is_no_ncf_model() -> None:
    rows = [("ease", 0.07, 0.9), ("item_knn", 0.08, 0.1), ("neumf", 0.5, 0.5)]
    assert comparisons.best_baseline(pd.DataFrame(rows, columns=["arm", "valid/ndcg@10", "test/ndcg@10"])) == "item_knn"
