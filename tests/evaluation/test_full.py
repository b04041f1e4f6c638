from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tiny_splits import split, table, targets_of_validation

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.evaluation import EVALUATIONS, FullRanking

DEFAULTS = OmegaConf.load(Path(__file__).parents[2] / "conf/evaluation/full.yaml")


def build(**changed: object) -> FullRanking:
    return component("evaluation", EVALUATIONS, OmegaConf.merge(DEFAULTS, changed))()


def test_defaults_name_their_metrics():
    tiny = split(20, 30)
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    evaluation = build()
    metrics = evaluation.metrics(evaluation.evaluate(table(logits), targets_of_validation(tiny)))
    assert list(metrics) == ["hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr"]


def test_metrics_are_means_of_the_kept_values():
    evaluation = build(cutoffs=[3])
    ranks = evaluation.evaluate(table(torch.eye(20, 30)), targets_of_validation(split(20, 30)))
    values = evaluation.per_positive(ranks)
    assert all(v.shape == (20,) and v.dtype == torch.float64 for v in values.values())
    assert evaluation.metrics(ranks) == {name: float(v.mean()) for name, v in values.items()}


def test_ties_setting_is_used():
    targets = targets_of_validation(split(20, 30))
    flat = table(torch.zeros(20, 30))
    hits = [build(ties=t).metrics(build().evaluate(flat, targets))["hit@5"] for t in ("optimistic", "pessimistic")]
    assert hits == [1.0, pytest.approx(float((targets.candidates <= 5).double().mean()))]


def test_a_cutoff_beyond_the_catalogue_is_refused():
    build().check(num_items=20)
    with pytest.raises(ConfigError, match=r"evaluation.cutoffs: expected at most 19, the items there are, got 20"):
        build().check(num_items=19)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cutoffs": [0]}, "evaluation.cutoffs.0"),
        ({"cutoffs": []}, "evaluation.cutoffs"),
        ({"cutoffs": [2.5]}, "evaluation.cutoffs.0"),
        ({"ties": "mean"}, "evaluation.ties"),
        ({"memory_mb": 0}, "evaluation.memory_mb"),
        ({"cutoff": [5]}, "evaluation.cutoff: unknown key.*did you mean 'cutoffs'"),
        ({"name": "ful"}, "evaluation.name.*did you mean 'full'"),
    ],
)
def test_bad_settings_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        build(**changed)
