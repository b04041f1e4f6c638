"""Thirds of users and items, and flips between protocols, on tables with a known answer."""

import numpy as np
import pandas as pd
import pytest
from made_up import registration

from ncf.report.flips import flips
from ncf.report.groups import group_effects, metrics_by_third, third
from ncf.report.study import Study


def test_thirds_are_even_and_equal_values_stay_together() -> None:
    assert third(pd.Series(range(9))).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    tied = third(pd.Series([5, 5, 5, 5, 1, 9]))
    assert tied[:4].nunique() == 1
    assert third(pd.Series([3, 3, 3])).nunique() == 1


def test_metrics_within_thirds() -> None:
    users = pd.DataFrame(
        {"run": ["a"] * 6 + ["b"] * 6, "user_id": [*range(6)] * 2, "ndcg@10": [*range(6), *range(10, 16)]}
    )
    measure = pd.Series([1, 1, 2, 2, 3, 3])
    table = metrics_by_third(users, "user", measure, ["ndcg@10"])
    assert table[table["run"] == "a"]["ndcg@10"].tolist() == [0.5, 2.5, 4.5]
    assert table[table["run"] == "b"]["ndcg@10"].tolist() == [10.5, 12.5, 14.5]
    assert set(table["positives"]) == {2}


def test_the_effect_within_a_third_is_the_mean_paired_difference(study: Study) -> None:
    table = group_effects(study, "focal", "bce")
    assert len(table) == 3 * 2 * 3
    row = table[(table["neg_ratio"] == 10) & (table["grouping"] == "item") & (table["third"] == 2)].iloc[0]
    groups = study.joined(study.companions["groups"])
    own = groups[(groups["neg_ratio"] == 10) & (groups["grouping"] == "item") & (groups["third"] == 2)]
    focal = own[(own["loss"] == "focal") & (own["gamma"] == 2) & (own["alpha"] == 0.25)].set_index("seed")["ndcg@10"]
    bce = own[own["loss"] == "bce"].set_index("seed")["ndcg@10"]
    assert row["seeds"] == len(bce)
    assert row["estimate"] == pytest.approx((focal - bce).mean())
    assert row["low"] < row["estimate"] < row["high"]


def two_losses(full: list[float], among: list[float]) -> Study:
    """BCE and focal at 1:4, a seed each two values."""
    seeds = [42, 43, 44]
    rows = [
        {"run": f"{loss}{seed}", "model": "neumf", "loss": loss, "gamma": gamma, "alpha": alpha, "neg_ratio": 4,
         "seed": seed, "test/ndcg@10": full.pop(0)}
        for loss, gamma, alpha in (("bce", np.nan, np.nan), ("focal", 2.0, 0.25)) for seed in seeds
    ]  # fmt: skip
    runs = pd.DataFrame(rows)
    sampled = pd.DataFrame({"run": runs["run"], "ndcg@10": among})
    return Study(registration(), runs, {}, {"sampled": sampled})


def test_flips_count_pairs_whose_order_differs_and_leave_ties_out() -> None:
    study = two_losses(full=[1.0, 1.0, 1.0, 2.0, 2.0, 1.0], among=[5.0, 5.0, 5.0, 6.0, 4.0, 9.0])
    found = flips(study, 4)
    assert (found.flipped, found.pairs) == (1, 2)
    assert flips(study, 10).pairs == 0
