"""The page's section on the published order: which pairs it names, and what it says of them."""

import numpy as np
import pandas as pd
import pytest

from experiments.baselines import comparisons, order, published, rankings
from experiments.baselines.arms import METRICS


def measured(swapped: tuple[str, ...] = ()) -> published.Measured:
    """Made-up values in the published order, but for the two models that are swapped; 300 users who differ alike."""
    values = {name: {metric: v[metric] for metric in METRICS} for name, v in published.reference()["models"].items()}
    if swapped:
        a, b = swapped
        values[a], values[b] = values[b], values[a]
    noise = np.random.default_rng(0).normal(0, 1e-3, (len(values), 1, 300))
    tables = {
        name: {ranking: {m: v[m] + own - own.mean() for m in METRICS} for ranking in rankings.RANKINGS}
        for own, (name, v) in zip(noise, values.items(), strict=True)
    }
    return {published.MAIN: tables, published.OWN: tables}


def tables(values: published.Measured) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = comparisons.corrected(pd.DataFrame(published.pairs(values)), order.FAMILY)
    return pd.DataFrame(published.means(values)), pairs


def test_values_in_the_published_order_turn_no_pair_round() -> None:
    ours, pairs = tables(measured())
    assert len(pairs) == 2 * 5 * 2 * 21
    assert (pairs["difference"] > 0).all()
    assert order.explanation(ours, pairs) == "- No pair is turned round."
    assert order.turned_round(ours, pairs).empty
    said = order.verdict(ours, pairs)
    assert said.startswith("**Nothing that 300 users can tell apart contradicts it.**")
    drawn = pairs[(pairs["settings"] == published.OWN) & (pairs["ranking"] == rankings.ONE_DRAW)]
    told = (drawn["p_both"] <= 0.05).sum()
    assert f"{told} of 42 pairs" in said
    assert f"the other {42 - told} are undecided" in said
    none = order.verdict(ours, pairs.assign(p_both=1.0))
    assert "0 of 42 pairs" in none


def test_a_pair_that_is_told_apart_and_turned_round_is_named() -> None:
    ours, pairs = tables(measured(("user_knn", "item_knn")))
    found = order.turned_round(ours, pairs)
    assert set(zip(found["winner"], found["loser"], strict=True)) == {("user_knn", "item_knn")}
    assert "0 of them are in the published order, and 0 others are not" in order.explanation(ours, pairs)
    assert found["published"].to_numpy() == pytest.approx([0.0008, 0.0109] * 2)
    assert found["resolved"].to_numpy() == pytest.approx(found["half"].to_numpy() * np.sqrt(300 / 6040))
    said = order.verdict(ours, pairs) + order.agreement(ours, pairs) + order.explanation(ours, pairs)
    assert "**Not quite.**" in said
    assert "21 can be told apart, 1 of these turned round (ItemKNN above UserKNN (HR@10))" in said.replace(" pairs", "")
    assert said.count("this is not explained") == 4
    assert said.count("ItemKNN above UserKNN (NDCG@10) over rare items") == 1


def test_settings_that_put_a_pair_in_order_are_counted() -> None:
    values = measured(("user_knn", "item_knn")) | {published.OWN: measured(("ease", "ials"))[published.OWN]}
    said = order.explanation(*tables(values))
    assert "2 of them are in the published order, and" in said
    assert "Rare items" in said
    assert "EASE over iALS in HR@10" in said


def test_a_published_gap_that_its_data_does_not_resolve_is_no_finding() -> None:
    row = {"winner": "neumf", "loser": "ials", "metric": "hit@10", "settings": "own"}
    assert "no published finding" in order._left(row | {"published": 0.001, "resolved": 0.007})
    assert "this is not explained" in order._left(row | {"published": 0.01, "resolved": 0.007})
