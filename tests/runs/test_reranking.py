"""Recommending from candidates: at lambda 1, and without a re-ranker, what a run recommends anyway."""

import pandas as pd
import pytest
from finished_runs import FinishedRuns

import ncf
from ncf.retrieval.rerankers import build, reranking
from ncf.runs import reranking as subject
from ncf.runs.loaded_run import LoadedRun


@pytest.fixture(scope="module")
def run(runs: FinishedRuns) -> LoadedRun:
    return ncf.load(runs["ease"])


@pytest.mark.parametrize("at_once", [512, 7])
@pytest.mark.parametrize("name", ["mmr", "popularity_cap"])
@pytest.mark.parametrize("k", [5, 80])
def test_at_lambda_1_the_lists_are_the_plain_ones(
    name: str, k: int, at_once: int, run: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "USERS_AT_ONCE", at_once)
    ids = run.split.user_ids.tolist()
    settings = reranking(name, 1.0, "co_occurrence" if name == "mmr" else None, None, k)
    found = subject.recommend(run, ids, k, subject.by_score(run), build(settings, run.split, run.model))
    assert (found["place"] == found["rank"]).all()
    pd.testing.assert_frame_equal(found.drop(columns="place"), run.recommend(ids, k))


def test_the_place_before_is_that_of_the_plain_list(run: LoadedRun) -> None:
    settings = reranking("dpp", 0.3, "co_occurrence", 20, 5)
    found = subject.recommend(run, [7], 5, subject.by_score(run), build(settings, run.split), 20)
    plain = run.recommend([7], 20)["item_id"].tolist()
    assert [plain[place - 1] for place in found["place"]] == found["item_id"].tolist()
    assert found["place"].tolist() != [1, 2, 3, 4, 5]


def test_without_a_reranker_the_lists_are_the_plain_ones(run: LoadedRun) -> None:
    pd.testing.assert_frame_equal(subject.recommend(run, [7, 2], 4, subject.by_score(run)), run.recommend([7, 2], 4))
