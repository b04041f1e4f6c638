"""`python -m ncf.beyond`: what one mean hides, for a finished run."""

import numpy as np
import pytest
import torch
from finished_runs import FinishedRuns

import ncf
from ncf import beyond
from ncf.errors import ConfigError
from ncf.evaluation import Ranks, test_targets
from ncf.runs.loading import LoadedRun
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
    evaluation = evaluation_of(ease.result)
    hits = beyond.values_of(ranks, ["hit"], 10, evaluation)["hit@10"].numpy()
    assert hits.mean() == pytest.approx(ease.result["test"]["hit@10"])
    for group in beyond.memberships(ease, ranks).values():
        sizes, means = zip(*((sum(group == g), hits[group == g].mean()) for g in set(group.tolist())), strict=True)
        assert np.average(means, weights=sizes) == pytest.approx(hits.mean())


def test_with_one_held_out_positive_a_hit_is_the_recall_and_k_times_the_precision(
    ease: LoadedRun, ranks: Ranks
) -> None:
    evaluation = evaluation_of(ease.result)
    values = beyond.rank_metrics(ranks, 10, evaluation)
    assert values["recall@10"] == pytest.approx(ease.result["test"]["hit@10"])
    assert values["precision@10"] == pytest.approx(ease.result["test"]["hit@10"] / 10)
    above = (ranks.average - 1) / (ranks.candidates - 1)
    assert values["auc"] == pytest.approx((1 - above).mean().item())


def test_lists_hold_nothing_that_the_user_has_in_training_or_validation(
    ease: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def coverage(lists: np.ndarray, num_items: int) -> float:
        seen.append(lists)
        return 0.0

    monkeypatch.setattr(beyond.beyond_accuracy, "coverage", coverage)
    users = np.array([7, 0, 59])
    beyond.list_metrics(ease, users, 12)
    split = ease.split
    for user, items in zip(users, seen[0], strict=True):
        known = np.concatenate([part.items[part.users == user] for part in (split.train, split.valid)])
        assert not set(items.tolist()) & set(known.tolist())
        scores = ease.model.score(torch.tensor([user]))[0].numpy().copy()
        scores[known] = -np.inf
        assert set(items.tolist()) == set(np.argsort(-scores, kind="stable")[:12].tolist())


def test_popularity_recommends_what_is_popular_to_everyone(runs: FinishedRuns) -> None:
    popular, ease = (ncf.load(runs[name]) for name in ("popularity", "ease"))
    users = np.arange(60)
    first, second = (beyond.list_metrics(run, users, 5) for run in (popular, ease))
    assert first["coverage@5"] < second["coverage@5"]
    assert first["gini@5"] > second["gini@5"]
    assert first["novelty@5"] < second["novelty@5"]
    assert first["popularity@5"] > second["popularity@5"]


def test_a_cut_off_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^k: expected at least 1, got 0$"):
        beyond.main(["run=x", "k=0"])
