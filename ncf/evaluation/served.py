"""Whom a model serves: what it predicts by user and by item, in tiers from rare to popular, and against others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.evaluation.imbalance import (
    METRICS,
    AtLeast,
    Counts,
    HeldOut,
    Rule,
    TopN,
    best_threshold,
    count,
    refuse_unreached,
    tiers,
)
from ncf.evaluation.ranking import Scorer
from ncf.stats.contrast import Contrast, contrast, corrected

TIERS = {"user": ("light", "medium", "heavy"), "item": ("niche", "mid", "popular")}


@dataclass(frozen=True)
class Served:
    """Whom a model serves.

    Attributes:
        name: of the model.
        rule: how its predictions were chosen, in words.
        counts: of each "user" and "item" with held-out positives.
        tiers: of each of them, 0 to 2.
        sizes: of the tiers of all users and items, with and without held-out positives.
        left_out: numbers of users and items without held-out positives.
    """

    name: str
    rule: str
    counts: Mapping[str, Counts]
    tiers: Mapping[str, np.ndarray]
    sizes: Mapping[str, list[int]]
    left_out: Mapping[str, int]

    def groups(self, by: str) -> Iterator[tuple[str, Counts]]:
        """Yield "all" and each tier with its counts."""
        yield "all", self.counts[by]
        for place, name in enumerate(TIERS[by]):
            yield name, self.counts[by].of(self.tiers[by] == place)


def served(split: Split, score: Scorer, name: str, n: int | None = 10, threshold: float | None = None) -> Served:
    """Count what a model predicts of the test positives of `split`.

    Args:
        split: with several held-out positives a user.
        score: users (B,) -> scores (B, I).
        name: of the model.
        n: predictions per user; None: every pair from a threshold on.
        threshold: None: the one with the highest micro F1 on validation.

    Raises:
        ConfigError: no validation score reaches the threshold, or `n` exceeds the number of items.
        DataError: no user has several held-out positives.
        TrainingError: a score is NaN.
    """
    held_out = HeldOut(split, "test")
    rule, named = _rule(split, score, n, threshold)
    every = count(score, held_out, rule)
    sizes = {"user": split.num_users, "item": split.num_items}
    trained = {by: np.bincount(getattr(split.train, f"{by}s"), minlength=size) for by, size in sizes.items()}
    whole = {by: tiers(counted) for by, counted in trained.items()}
    kept = {by: counts.relevant > 0 for by, counts in every.items()}
    return Served(
        name,
        named,
        {by: counts.of(kept[by]) for by, counts in every.items()},
        {by: own[kept[by]] for by, own in whole.items()},
        {by: np.bincount(own, minlength=3).tolist() for by, own in whole.items()},
        {by: int((~kept[by]).sum()) for by in every},
    )


def _rule(split: Split, score: Scorer, n: int | None, threshold: float | None) -> tuple[Rule, str]:
    """Return the rule and what it is called."""
    if n is not None and n > split.num_items:
        raise ConfigError(f"n: expected at most {split.num_items}, the number of items, got {n}")
    if n is not None:
        return TopN(n), f"top {n}"
    validation = HeldOut(split, "valid")
    if threshold is None:
        threshold = best_threshold(score, validation)
    else:
        refuse_unreached(score, validation, threshold)
    return AtLeast(threshold), f"score >= {threshold:.6g}"


def differences(first: Served, other: Served, level: float) -> list[tuple[str, str, str, Contrast]]:
    """Return by, tier, metric and the contrast of each mean; p-values are corrected by Holm over all of them."""
    rows = [
        (by, name, metric, contrast(mine.values(metric), theirs.values(metric), level))
        for by in first.counts
        for (name, mine), (_, theirs) in zip(first.groups(by), other.groups(by), strict=True)
        for metric in METRICS
        if len(mine.hits) > 1
    ]
    return [(*row[:3], fixed) for row, fixed in zip(rows, corrected([row[3] for row in rows]), strict=True)]
