"""What re-ranking does to a run's lists: the plain ones have the metrics of the run itself."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from finished_runs import FinishedRuns

import ncf
from ncf.evaluation import FullRanking, test_targets
from ncf.retrieval.genres import item_genres, shares
from ncf.retrieval.rerankers import build, reranking
from ncf.runs.diversity import WEIGHTS, curve, evaluated, trade_off
from ncf.runs.loaded_run import LoadedRun


@pytest.fixture(scope="module")
def run(runs: FinishedRuns) -> LoadedRun:
    """A run whose items have genres."""
    found = ncf.load(runs["ease"])
    genres = np.array(["A|B", "B", "", "C", "A|C"] * 16)
    return replace(found, split=replace(found.split, genres=genres))


def test_plain_lists_have_the_metrics_of_the_run(run: LoadedRun) -> None:
    found = trade_off(run, 10, [reranking("mmr", 1.0, "genre", 60, 10), reranking("mmr", 0.2, "genre", 60, 10)])
    plain, same, other = (found.iloc[row] for row in range(3))
    assert plain["ndcg"] == pytest.approx(run.result["test"]["ndcg@10"])
    assert plain["hit"] == pytest.approx(run.result["test"]["hit@10"])
    assert plain.iloc[4:].equals(same.iloc[4:])
    assert other["similarity by genre"] < plain["similarity by genre"]
    assert other["ndcg change"] == pytest.approx(other["ndcg"] - plain["ndcg"])
    assert other["error of the change"] > 0


def test_several_held_out_positives_share_a_list(runs: FinishedRuns) -> None:
    several = ncf.load(runs["several"])
    found = trade_off(several, 10, [reranking("popularity_cap", 0.3, None, None, 10)])
    assert found["ndcg"].iloc[0] == pytest.approx(several.result["test"]["ndcg@10"])
    assert "similarity by genre" not in found
    assert found["popularity"].iloc[1] < found["popularity"].iloc[0]


def test_candidates_are_those_of_full_ranking(run: LoadedRun) -> None:
    kept = evaluated(run, 5, 20)
    split = run.split
    for row, user in enumerate(kept.candidates.users.tolist()):
        known = np.concatenate([part.items[part.users == user] for part in (split.train, split.valid)])
        assert not set(known) & set(kept.candidates.items[row, kept.candidates.there[row]].tolist())


def test_a_curve_goes_from_relevance_to_diversity() -> None:
    made = curve(reranking("mmr", 0.7, "genre", 50, 10))
    assert [s.weight for s in made] == list(WEIGHTS)
    assert {s.candidates for s in made} == {50}


def test_lists_of_cold_items_are_of_those_that_the_metrics_rank(run: LoadedRun) -> None:
    among = np.union1d(run.split.test.items, np.arange(0, run.split.num_items, 3))
    cold = replace(run, split=replace(run.split, test_among=among))
    kept = evaluated(cold, 5, 60)
    assert set(kept.candidates.items[kept.candidates.there].tolist()) <= set(among.tolist())
    assert set(kept.expected.unique().tolist()) <= set(among.tolist())
    protocol = FullRanking(metrics=["ndcg"], cutoffs=[5], ties="average", memory_mb=64)
    ranked = protocol.metrics(protocol.evaluate(cold.model.score, test_targets(cold.split, "cpu")))
    found = trade_off(cold, 5, [reranking("popularity_cap", 1.0, None, None, 5)])
    assert found["ndcg"].iloc[0] == pytest.approx(ranked["ndcg@5"])


def test_the_metrics_are_those_of_each_users_own_list(run: LoadedRun) -> None:
    """Worked out user by user from the lists, whose test positives are put in them."""
    split, k = run.split, 6
    kept = evaluated(run, k, 60)
    genres = item_genres(split)
    found = kept.metrics(torch.arange(k).expand(len(kept.candidates.users), k))
    surprising, lost = [], []
    for row, user in enumerate(kept.candidates.users.tolist()):
        own = kept.candidates.items[row, :k]
        hits = set(own.tolist()) & set(split.test.items[split.test.users == user].tolist())
        surprising.append(len(hits - set(kept.expected[row].tolist())) / k)
        wanted = genres_of_mean(genres[split.train.items[split.train.users == user]])
        smooth = 0.99 * shares(genres[own]).mean(0) + 0.01 * wanted
        lost.append(float(torch.special.xlogy(wanted, wanted / smooth).sum()))
    assert any(surprising)
    torch.testing.assert_close(found["serendipity"], torch.tensor(surprising).double())
    np.testing.assert_allclose(found["miscalibration"], lost, atol=1e-5)


def genres_of_mean(table: torch.Tensor) -> torch.Tensor:
    """The mixture (G,) of items (N, G), those without a genre left out."""
    return shares(shares(table).sum(0, keepdim=True))[0]


def test_the_error_of_the_change_is_paired_by_user(run: LoadedRun) -> None:
    kept = evaluated(run, 10, 60)
    settings = reranking("mmr", 0.2, "genre", 60, 10)
    chosen = build(settings, run.split, run.model).choose(kept.candidates, 10)
    plain = torch.arange(10).expand_as(chosen)
    change = (kept.metrics(chosen)["ndcg"] - kept.metrics(plain)["ndcg"]).numpy()  # type: ignore[union-attr]
    found = trade_off(run, 10, [settings]).iloc[1]
    assert found["error of the change"] == pytest.approx(scipy.stats.sem(change))
