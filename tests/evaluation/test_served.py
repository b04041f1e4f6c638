"""Whom a model serves: tiers are parts of the whole, and differences are those of the means, tested together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import random_split

from ncf.errors import ConfigError
from ncf.evaluation.served import TIERS, Served, differences, served
from ncf.stats.contrast import contrast
from ncf.stats.multiplicity import holm

SPLIT = random_split(12, 20, held_out=4)
SCORES = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32))


def of(scores: torch.Tensor, n: int | None = 3, threshold: float | None = None) -> Served:
    return served(SPLIT, lambda users: scores[users], "own", n, threshold)


def test_tiers_are_by_training_interactions_and_parts_of_the_whole() -> None:
    found = of(SCORES)
    for by, counts in found.counts.items():
        trained = np.bincount(getattr(SPLIT.train, f"{by}s"), minlength=12 if by == "user" else 20)
        kept = np.bincount(getattr(SPLIT.test, f"{by}s"), minlength=len(trained)) > 0
        own = trained[kept]
        tier = found.tiers[by]
        assert len(own) == len(tier) == len(counts.hits)
        assert all(own[tier == high].min() >= own[tier == low].max() for low, high in ((0, 1), (1, 2), (0, 2))
                   if (tier == low).any() and (tier == high).any())  # fmt: skip
        assert found.left_out[by] == (~kept).sum()
        parts = [part for name, part in found.groups(by) if name != "all"]
        assert sum(len(part.hits) for part in parts) == len(counts.hits)


def test_every_difference_is_that_of_the_means_and_all_are_corrected_together() -> None:
    first, other = of(SCORES), of(-SCORES)
    found = differences(first, other, 0.95)
    assert {by for by, *_ in found} == {"user", "item"}
    raw = []
    for by, tier, metric, own in found:
        mine, theirs = (dict(each.groups(by))[tier].values(metric) for each in (first, other))
        assert own.difference == pytest.approx(mine.mean() - theirs.mean(), abs=1e-12)
        raw.append(contrast(mine, theirs).p)
    assert [own.p for *_, own in found] == pytest.approx(holm(np.array(raw)).tolist())


def test_a_tier_of_one_is_not_tested() -> None:
    first = of(SCORES)
    lone = replace(first, tiers={by: np.where(np.arange(len(own)) == 0, 2, 0) for by, own in first.tiers.items()})
    tested = {(by, tier) for by, tier, *_ in differences(lone, lone, 0.95)}
    assert tested == {(by, tier) for by in TIERS for tier in ("all", TIERS[by][0])}


def test_the_rule_is_named_and_refused() -> None:
    assert of(SCORES).rule == "top 3"
    assert of(SCORES, None, 0.5).rule == "score >= 0.5"
    with pytest.raises(ConfigError, match=r"^n: expected at most 20, the number of items, got 21$"):
        of(SCORES, 21)
    with pytest.raises(ConfigError, match=r"^threshold: expected one that a validation score reaches"):
        of(SCORES, None, 99.0)
