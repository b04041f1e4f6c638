"""Full ranking: the columns that its settings choose, and what it refuses."""

from typing import Any

import pytest
import torch
from tiny_splits import split, table, targets_of_validation
from toys import compose, keys_of

from ncf.core.config import component, roles
from ncf.errors import ConfigError
from ncf.evaluation import EVALUATIONS, FullRanking, SampledRanking
from ncf.evaluation.metrics import METRICS
from ncf.runs.plan import plan_run


def build(**changed: Any) -> FullRanking:
    made: FullRanking = component("evaluation", EVALUATIONS, keys_of("evaluation", "full") | changed)()
    return made


def test_defaults_name_their_metrics() -> None:
    tiny = split(20, 30)
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    evaluation = build()
    metrics = evaluation.metrics(evaluation.evaluate(table(logits), targets_of_validation(tiny)))
    assert list(metrics) == ["hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr"]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (["mrr"], ["mrr"]),
        (["auc", "hit"], ["auc", "hit@5", "hit@1"]),
        (["map", "precision", "recall"], ["map@5", "map@1", "precision@5", "precision@1", "recall@5", "recall@1"]),
    ],
)
def test_the_setting_chooses_the_columns_in_its_order(metrics: list[str], names: list[str]) -> None:
    evaluation = build(metrics=metrics, cutoffs=[5, 1])
    ranks = evaluation.evaluate(table(torch.eye(20, 30)), targets_of_validation(split(20, 30)))
    assert list(evaluation.metrics(ranks)) == list(evaluation.per_positive(ranks)) == evaluation.names == names


def test_every_metric_there_is_can_be_chosen_and_is_its_own() -> None:
    evaluation = build(metrics=list(METRICS), cutoffs=[5])
    ranks = evaluation.evaluate(table(torch.eye(20, 30)), targets_of_validation(split(20, 30)))
    values = evaluation.per_positive(ranks)
    for name, metric in METRICS.items():
        column = f"{name}@5" if metric.cut else name
        assert torch.equal(values[column], metric(ranks, 5 if metric.cut else None, "average"))


def test_the_monitored_metric_has_to_be_one_of_the_columns() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.monitor: expected one of mrr, got 'ndcg@10'$"):
        plan_run(compose("evaluation.metrics=[mrr]"))
    assert plan_run(compose("evaluation.metrics=[mrr]", "trainer.monitor=mrr")).evaluation.names == ["mrr"]


@pytest.mark.parametrize("protocol", [FullRanking, SampledRanking])
def test_only_other_metrics_than_the_default_ones_count_in_a_runs_id(protocol: type) -> None:
    """Runs of before there was a choice keep their ids."""
    role, default = roles(protocol)["metrics"], keys_of("evaluation", "full")["metrics"]
    assert not role.identifies(default)
    assert role.identifies([*default, "auc"])
    assert role.identifies(default[::-1])


def test_metrics_are_means_of_the_kept_values() -> None:
    evaluation = build(cutoffs=[3])
    ranks = evaluation.evaluate(table(torch.eye(20, 30)), targets_of_validation(split(20, 30)))
    values = evaluation.per_positive(ranks)
    assert all(v.shape == (20,) and v.dtype == torch.float64 for v in values.values())
    assert evaluation.metrics(ranks) == {name: float(v.mean()) for name, v in values.items()}


def test_ties_setting_is_used() -> None:
    targets = targets_of_validation(split(20, 30))
    flat = table(torch.zeros(20, 30))
    hits = [build(ties=t).metrics(build().evaluate(flat, targets))["hit@5"] for t in ("optimistic", "pessimistic")]
    assert hits == [1.0, pytest.approx(float((targets.candidates <= 5).double().mean()))]


def test_a_cutoff_beyond_the_catalogue_is_refused() -> None:
    build().check(num_items=20)
    with pytest.raises(ConfigError, match=r"evaluation.cutoffs: expected at most 19, the number of items, got 20"):
        build().check(num_items=19)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metrics": ["ndgc"]}, r"^evaluation\.metrics\.0: .*expected one of hit, ndcg, mrr, .*, got 'ndgc'$"),
        ({"metrics": ["hit", "hit@5"]}, r"^evaluation\.metrics\.1: .*got 'hit@5'$"),
        ({"metrics": []}, "evaluation.metrics: "),
        ({"metrics": "hit"}, "evaluation.metrics: "),
        ({"cutoffs": [0]}, "evaluation.cutoffs.0"),
        ({"cutoffs": []}, "evaluation.cutoffs"),
        ({"cutoffs": [2.5]}, "evaluation.cutoffs.0"),
        ({"ties": "mean"}, "evaluation.ties"),
        ({"memory_mb": 0}, "evaluation.memory_mb"),
        ({"cutoff": [5]}, "evaluation.cutoff: unknown key.*did you mean 'cutoffs'"),
        ({"name": "ful"}, "evaluation.name.*did you mean 'full'"),
    ],
)
def test_bad_settings_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**changed)
