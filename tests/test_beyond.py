"""`python -m ncf.beyond`: what one mean hides, for a finished run."""

from typing import Any

import numpy as np
import pytest
import torch
from finished_runs import FinishedRuns

import ncf
from ncf import beyond
from ncf.errors import ConfigError
from ncf.evaluation import Ranks, Targets, test_targets
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.ranks_file import evaluation_of


@pytest.fixture(scope="module")
def ease(runs: FinishedRuns) -> LoadedRun:
    return ncf.load(runs["ease"])


@pytest.fixture(scope="module")
def ranks(ease: LoadedRun) -> Ranks:
    evaluation = evaluation_of(ease.result)
    return evaluation.evaluate(ease.model.score, test_targets(ease.split, "cpu"))


def test_the_report_shows_ranks_lists_and_groups(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    beyond.main([f"run={runs['ease']}", "k=5"])
    metrics, groups = (block.splitlines() for block in capsys.readouterr().out.strip().split("\n\n"))
    assert [line.split()[0] for line in metrics] == [
        "metric", "precision@5", "recall@5", "map@5", "auc", "coverage@5", "gini@5", "novelty@5", "popularity@5",
    ]  # fmt: skip
    assert groups[0].split() == ["by", "group", "positives", "hit@5", "ndcg@5"]
    rows = [line.split() for line in groups[1:]]
    for what in ("popularity", "activity"):
        mine = [row for row in rows if row[0] == what]
        assert [row[1] for row in mine] == ["low", "middle", "high"]
        assert sum(int(row[2]) for row in mine) == 60


def test_groups_mean_to_the_metric_of_the_run(ease: LoadedRun, ranks: Ranks) -> None:
    hits = evaluation_of(ease.result).per_positive(ranks)["hit@10"].numpy()
    assert hits.mean() == pytest.approx(ease.result["test"]["hit@10"])
    for group in beyond.memberships(ease, ranks).values():
        sizes, means = zip(*((sum(group == g), hits[group == g].mean()) for g in set(group.tolist())), strict=True)
        assert np.average(means, weights=sizes) == pytest.approx(hits.mean())


def test_with_one_held_out_positive_a_hit_is_the_recall_and_k_times_the_precision(
    ease: LoadedRun, ranks: Ranks
) -> None:
    values = beyond.rank_metrics(ease.result, ranks, 10)
    assert list(values) == ["precision@10", "recall@10", "map@10", "auc"]
    assert values["recall@10"] == pytest.approx(ease.result["test"]["hit@10"])
    assert values["precision@10"] == pytest.approx(ease.result["test"]["hit@10"] / 10)
    above = (ranks.average - 1) / (ranks.candidates - 1)
    assert values["auc"] == pytest.approx((1 - above).mean().item())


def changed(result: dict[str, Any], **evaluation: Any) -> dict[str, Any]:
    """The result of the run, had it been evaluated otherwise."""
    config = result["config"]
    return result | {"config": config | {"evaluation": config["evaluation"] | evaluation}}


def test_a_correction_of_sampled_ranking_is_not_applied_to_counts_among_samples(ease: LoadedRun) -> None:
    sampled = {"name": "sampled", "negatives": 10, "seed": 0, "file": None}
    plain, corrected = (changed(ease.result, **sampled, correction=c) for c in (None, 0.1))
    targets = test_targets(ease.split, "cpu")
    found = []
    for result in (plain, corrected):
        evaluation = evaluation_of(result)
        ranks = evaluation.evaluate(ease.model.score, targets)
        found.append(beyond.rank_metrics(result, ranks, 10))
        assert found[-1]["recall@10"] == pytest.approx(evaluation.metrics(ranks)["hit@10"])
        assert found[-1]["precision@10"] == pytest.approx(found[-1]["recall@10"] / 10)
    assert found[0]["auc"] == found[1]["auc"]
    assert found[0]["recall@10"] > found[1]["recall@10"] + 0.1  # of 11 candidates, ten are among the first ten


def lists(run: LoadedRun, k: int, memory_mb: float = 64) -> np.ndarray:
    return beyond.recommended(run.model.score, test_targets(run.split, "cpu"), k, memory_mb)


@pytest.mark.parametrize("k", [5, 60, 80])
def test_lists_hold_the_best_items_that_the_user_has_neither_in_training_nor_in_validation(
    ease: LoadedRun, k: int
) -> None:
    split, expected = ease.split, np.zeros(ease.split.num_items, int)
    for user in split.test.users:
        known = np.concatenate([part.items[part.users == user] for part in (split.train, split.valid)])
        scores = ease.model.score(torch.tensor([user]))[0].numpy()
        best = [item for item in np.argsort(-scores, kind="stable") if item not in known][:k]
        expected[best] += 1
    assert lists(ease, k).tolist() == expected.tolist()


def test_of_equal_scores_the_lower_index_comes_first() -> None:
    seen = torch.tensor([], dtype=torch.int64)
    targets = Targets(torch.tensor([0]), torch.tensor([1]), torch.tensor([9]), seen, seen, (0, 0), 9)
    for k in range(1, 10):
        counts = beyond.recommended(lambda users: torch.zeros(len(users), 9), targets, k, 64)
        assert counts.nonzero()[0].tolist() == list(range(k))


def test_a_user_with_several_held_out_positives_has_one_list() -> None:
    seen = torch.tensor([], dtype=torch.int64)
    targets = Targets(
        torch.tensor([0, 0, 1]), torch.tensor([1, 2, 3]), torch.tensor([9, 9, 9]), seen, seen, (0,) * 4, 9
    )
    assert beyond.recommended(lambda users: torch.zeros(len(users), 9), targets, 1, 64).tolist() == [2] + [0] * 8


def test_users_are_scored_in_chunks_of_the_evaluations_memory(ease: LoadedRun) -> None:
    sizes = []

    def score(users: torch.Tensor) -> torch.Tensor:
        sizes.append(len(users))
        return ease.model.score(users)

    few = 7 * 2 * 4 * ease.split.num_items / 2**20  # MiB for seven users
    counts = beyond.recommended(score, test_targets(ease.split, "cpu"), 5, few)
    assert sizes == [7] * 8 + [4]
    assert counts.tolist() == lists(ease, 5).tolist()


def test_popularity_recommends_what_is_popular_to_everyone(runs: FinishedRuns) -> None:
    popular, ease = (ncf.load(runs[name]) for name in ("popularity", "ease"))
    first, second = (beyond.list_metrics(run, lists(run, 5), 5) for run in (popular, ease))
    assert first["coverage@5"] < second["coverage@5"]
    assert first["gini@5"] > second["gini@5"]
    assert first["novelty@5"] < second["novelty@5"]
    assert first["popularity@5"] > second["popularity@5"]


def test_a_cut_off_that_is_none_is_refused(runs: FinishedRuns) -> None:
    with pytest.raises(ConfigError, match=r"^k: expected at least 1, got 0$"):
        beyond.main(["run=x", "k=0"])
    with pytest.raises(ConfigError, match=r"^k: expected at most 80, the number of items, got 1000000000000$"):
        beyond.main([f"run={runs['ease']}", "k=1000000000000"])
