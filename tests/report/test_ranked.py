"""Metrics within thirds of users and items, on tables with a known answer; the rest is in test_collect.py."""

import pandas as pd
import pytest

from ncf.report import ranked
from ncf.report.ranked import groups, metrics_by_third, one_row_a_user, sampled, thirds


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


def several() -> pd.DataFrame:
    """Two runs; users 1 and 2 have two positives, and 3 has one."""
    rows = [(1, 7, 1.0, 1.0), (1, 8, 3.0, 0.0), (2, 7, 4.0, 0.5), (2, 9, 6.0, 0.5), (3, 9, 2.0, 1.0)]
    one = pd.DataFrame(rows, columns=["user_id", "item_id", "rank", "ndcg@10"]).assign(candidates=200, tied=1)
    return pd.concat([one.assign(run="a"), one.assign(run="b")], ignore_index=True)


def test_users_of_several_positives_are_one_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    users = one_row_a_user(several())
    assert users["run"].tolist() == ["a"] * 3 + ["b"] * 3
    assert users["rank"].tolist() == [2, 5, 2] * 2
    assert users["ndcg@10"].tolist() == [0.5, 0.5, 1] * 2
    monkeypatch.setattr(ranked, "popularity", lambda config: pd.Series({7: 1, 8: 3, 9: 9}))
    table = groups(several(), {})
    assert table.groupby(["grouping", "run"])["positives"].sum().tolist() == [3] * 4
    assert table[table["grouping"] == "item"]["ndcg@10"].tolist() == [0.5, 0.5, 1] * 2
    expected = sampled(several())
    assert expected["run"].tolist() == ["a", "b"]
    alone = [sampled(several()[rows : rows + 1].reset_index(drop=True))["ndcg@10"][0] for rows in range(5)]
    mean = ((alone[0] + alone[1]) / 2 + (alone[2] + alone[3]) / 2 + alone[4]) / 3
    assert expected["ndcg@10"].tolist() == pytest.approx([mean, mean])
