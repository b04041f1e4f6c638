"""The published values: their order, and how ours compares with it."""

import pandas as pd

from experiments.baselines import published


def test_the_published_order_agrees_with_itself_and_a_turned_pair_is_named() -> None:
    theirs = published.reference()["models"]
    ours = pd.DataFrame([{"arm": name, **values} for name, values in theirs.items()])
    assert published.agreement(ours, "ndcg@10") == (1.0, [])
    ours.loc[ours["arm"] == "popularity", "ndcg@10"] = 0.39005
    tau, turned = published.agreement(ours, "ndcg@10")
    assert tau < 1
    assert turned == [("item_knn", "popularity")]
