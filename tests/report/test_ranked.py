"""Metrics within thirds of users and items, on tables with a known answer; the rest is in test_collect.py."""

import pandas as pd

from ncf.report.ranked import metrics_by_third, thirds


def test_thirds_are_even_and_equal_values_stay_together() -> None:
    assert thirds(pd.Series(range(9))).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    tied = thirds(pd.Series([5, 5, 5, 5, 1, 9]))
    assert tied[:4].nunique() == 1
    assert thirds(pd.Series([3, 3, 3])).nunique() == 1


def test_metrics_within_thirds() -> None:
    users = pd.DataFrame(
        {"run": ["a"] * 6 + ["b"] * 6, "user_id": [*range(6)] * 2, "ndcg@10": [*range(6), *range(10, 16)]}
    )
    measure = pd.Series([1, 1, 2, 2, 3, 3])
    table = metrics_by_third(users, "user", measure, ["ndcg@10"])
    assert table[table["run"] == "a"]["ndcg@10"].tolist() == [0.5, 2.5, 4.5]
    assert table[table["run"] == "b"]["ndcg@10"].tolist() == [10.5, 12.5, 14.5]
    assert set(table["positives"]) == {2}
