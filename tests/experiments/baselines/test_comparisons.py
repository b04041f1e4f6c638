"""What the comparison of models tests: over seeds and users, over seeds, and within which family it corrects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.baselines import comparisons
from ncf.stats.crossed import seeds_and_users


def made_up(seeds: int, users: int = 60) -> np.ndarray:
    """A metric (seeds, users): most users have none, as with one held-out item."""
    rng = np.random.default_rng(seeds)
    return (rng.random((seeds, users)) < 0.3) * rng.random((seeds, users)) + 0.01


def test_models_without_randomness_have_only_users_to_vary_over() -> None:
    found = comparisons.compared(made_up(1), made_up(1) + 0.001 * np.arange(60))
    assert np.isnan(found["p_seeds"])
    assert found["p_both"] == pytest.approx(
        stats.ttest_rel(made_up(1)[0], made_up(1)[0] + 0.001 * np.arange(60)).pvalue
    )


def test_one_value_is_compared_with_every_seed_of_the_other() -> None:
    ten = made_up(10)
    low = np.zeros((1, 60))
    found = comparisons.compared(ten, low + 1e-6)
    assert found["p_seeds"] == pytest.approx(2 / 2**10)
    assert found["difference"] == pytest.approx(ten.mean() - 1e-6)
    assert found["low"] < found["difference"] < found["high"]


def test_the_few_seeds_of_one_model_are_part_of_the_error() -> None:
    """A test over users takes ten seeds for the model itself: their noise, alike for all users, goes unseen."""
    rng = np.random.default_rng(0)
    ten = made_up(10) + 0.1 * rng.normal(size=(10, 1))
    one = made_up(1) + 0.15
    found = comparisons.compared(one, ten)
    assert found["p_both"] == pytest.approx(seeds_and_users(one[0], ten).p)
    assert found["p_both"] > 2 * stats.ttest_rel(one[0], ten.mean(0)).pvalue
    half = max(np.sqrt(ten.mean(1).var(ddof=1) / 10) * stats.t.ppf(0.975, 9), 0)
    assert (found["high"] - found["low"]) / 2 > half


def test_the_interval_of_a_mean_counts_seeds_and_is_not_below_zero() -> None:
    rows = comparisons.intervals({"ndcg@10": {"one": made_up(1), "ten": made_up(10), "none": np.eye(1, 60)}})
    ends = rows.set_index("arm")
    own = made_up(1)[0]
    assert ends.loc["one", "high"] == pytest.approx(own.mean() + stats.t.ppf(0.975, 59) * stats.sem(own), rel=1e-9)
    assert ends.loc["none", "low"] == 0
    assert ends.loc["ten", "low"] < made_up(10).mean() < ends.loc["ten", "high"]


def test_of_tuned_and_default_neumf_the_better_on_validation_is_the_reference() -> None:
    rows = [("ease", 0.9, 0), ("neumf", 0.05, 0.9), ("neumf_default", 0.06, 0.1)]
    assert (
        comparisons.reference(pd.DataFrame(rows, columns=["arm", "valid/ndcg@10", "test/ndcg@10"])) == "neumf_default"
    )


def test_equal_models_do_not_differ() -> None:
    found = comparisons.compared(made_up(10), made_up(10))
    assert found["p_both"] == found["p_seeds"] == 1


def test_the_correction_is_within_an_opponent_and_a_metric() -> None:
    rows = [("ndcg@10", "neumf", "ease", 0.01), ("ndcg@10", "neumf", "gmf", 0.04), ("ndcg@10", "ease", "gmf", 0.04)]
    table = pd.DataFrame(rows, columns=["metric", "against", "arm", "p_both"]).assign(p_seeds=[0.01, np.nan, np.nan])
    found = comparisons.corrected(table)
    assert found["p_both"].tolist() == [0.02, 0.04, 0.04]
    assert found["p_seeds"].tolist()[0] == 0.01


def test_the_best_baseline_is_picked_by_validation_and_is_no_ncf_model() -> None:
    rows = [("ease", 0.07, 0.9), ("item_knn", 0.08, 0.1), ("neumf", 0.5, 0.5)]
    assert comparisons.best_baseline(pd.DataFrame(rows, columns=["arm", "valid/ndcg@10", "test/ndcg@10"])) == "item_knn"
