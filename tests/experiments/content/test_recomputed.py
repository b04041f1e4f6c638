"""The committed tables are of the committed registration, agree with each other, and give the committed page."""

import hashlib

import pandas as pd
import pytest

from experiments.content import analysis, page
from experiments.content.arms import HERE, REGISTRATION, arms, blocks
from experiments.content.runs import numbers

RESULTS = pd.read_csv(HERE / "results.csv")
USERS = pd.read_csv(HERE / "users.csv.gz")
VARIETY = pd.read_csv(HERE / "variety.csv.gz")


def test_every_run_was_registered_as_it_is_now() -> None:
    assert set(RESULTS["registration"]) == {hashlib.sha256(REGISTRATION.read_bytes()).hexdigest()}
    for arm in arms().values():
        own = RESULTS[RESULTS["arm"] == arm.name]
        assert sorted(own["block"].unique()) == blocks(arm.split)
        assert set(own.groupby("block").size()) == {len(arm.points)}


def test_validation_chose_and_test_is_known_of_what_it_chose_alone() -> None:
    chosen = RESULTS["chosen"].astype(bool)
    tuned = RESULTS[RESULTS["arm"] != "chance"]
    best = tuned.groupby(["arm", "block"])["valid/ndcg@10"].transform("max")
    assert (tuned.loc[tuned["chosen"].astype(bool), "valid/ndcg@10"] == best[tuned["chosen"].astype(bool)]).all()
    assert RESULTS.loc[~chosen, ["test/ndcg@10", "test/hit@10"]].isna().to_numpy().all()
    assert set(RESULTS[chosen].groupby(["arm", "block"]).size()) == {1}


def test_the_metrics_of_users_have_the_means_of_the_runs() -> None:
    chosen = RESULTS[RESULTS["chosen"].astype(bool)].set_index(["arm", "block"])
    for row in USERS.itertuples():
        values = numbers(str(row._5))
        assert values.mean() == pytest.approx(chosen.loc[(row.arm, row.block), "test/ndcg@10"], rel=2e-5)


def test_the_lists_that_are_re_ranked_are_those_of_the_run() -> None:
    plain = VARIETY[VARIETY["rerank"] == "plain"].set_index("block")
    for row in USERS[USERS["arm"] == "ease"].itertuples():
        own = plain.loc[row.block]
        assert own["users"] == row.users
        assert numbers(own["ndcg"]) == pytest.approx(numbers(str(row._5)), abs=1e-6)


def test_the_page_is_that_of_the_tables() -> None:
    made = page.text(RESULTS, VARIETY, analysis.comparisons(USERS, RESULTS), analysis.costs(VARIETY))
    assert made == (HERE / "README.md").read_text()
