"""Sampled ranking: the draw, its files, and the correction against the full ranking it estimates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tiny_splits import table

from ncf import negatives
from ncf.core.config import component
from ncf.data.split import Pairs, Split
from ncf.errors import DataError, TrainingError
from ncf.evaluation import EVALUATIONS, SampledRanking, test_targets, validation_targets
from ncf.evaluation.sampled import correction_weights, draw_negatives

DEFAULTS = OmegaConf.load(Path(__file__).parents[2] / "conf/evaluation/sampled.yaml")


def build(**changed: object) -> SampledRanking:
    return component("evaluation", EVALUATIONS, OmegaConf.merge(DEFAULTS, {"negatives": 5, **changed}))()


def random_split(users: int, items: int) -> Split:
    rng = np.random.default_rng(0)
    orders = [rng.permutation(items) for _ in range(users)]
    everyone = np.arange(users)

    def part(place: int) -> Pairs:
        return Pairs(everyone, np.array([order[place] for order in orders]))

    counts = rng.integers(1, items // 2, users)
    train = Pairs(
        np.repeat(everyone, counts), np.concatenate([o[2 : 2 + c] for o, c in zip(orders, counts, strict=True)])
    )
    return Split(train, part(1), part(0), users, items, everyone + 100, np.arange(items) + 1000, None, None, "toy", "0")


SPLIT = random_split(30, 40)
TARGETS = test_targets(SPLIT, "cpu")


def seen(row: int) -> set[int]:
    return set(TARGETS.seen_items[TARGETS.seen_starts[row] : TARGETS.seen_starts[row + 1]].tolist())


def test_negatives_are_distinct_unseen_and_fixed():
    drawn = build().negatives_of(TARGETS)
    for row, items in enumerate(drawn.tolist()):
        assert len(set(items)) == 5
        assert not set(items) & (seen(row) | {int(TARGETS.items[row])})
    assert torch.equal(build().negatives_of(TARGETS), drawn)
    assert not torch.equal(build(seed=1).negatives_of(TARGETS), drawn)


def test_every_unseen_item_is_equally_likely():
    draws = torch.stack([draw_negatives(TARGETS, 5, seed)[3] for seed in range(3000)])
    counts = torch.bincount(draws.flatten(), minlength=40)
    free = [i for i in range(40) if i not in seen(3) | {int(TARGETS.items[3])}]
    assert counts.sum() == counts[free].sum()
    mean = 15000 / len(free)
    assert ((counts[free] - mean).abs() < 5 * mean**0.5).all()


def test_ranks_equal_a_loop():
    logits = torch.randint(0, 6, (30, 40), generator=torch.Generator().manual_seed(0)).float()
    for memory in (1, 64):
        evaluation = build(memory_mb=memory)
        ranks = evaluation.evaluate(table(logits), TARGETS)
        for row, items in enumerate(evaluation.negatives_of(TARGETS).tolist()):
            positive = logits[row, TARGETS.items[row]]
            assert ranks.above[row] == sum(logits[row, i] > positive for i in items)
            assert ranks.tied[row] == 1 + sum(logits[row, i] == positive for i in items)
        assert ranks.candidates.tolist() == [6] * 30


def test_a_constant_scorer_gets_chance():
    metrics = build(cutoffs=[3]).metrics(build().evaluate(table(torch.zeros(30, 40)), TARGETS))
    assert metrics["hit@3"] == pytest.approx(3 / 6)


def test_nan_and_too_few_items_are_refused():
    logits = torch.zeros(30, 40)
    logits[7] = torch.nan
    with pytest.raises(TrainingError, match="got NaN for user 7"):
        build().evaluate(table(logits), TARGETS)
    with pytest.raises(DataError, match=r"evaluation.negatives: expected at most \d+, the unseen items of user index"):
        build(negatives=39).negatives_of(TARGETS)


def test_a_file_gives_what_was_drawn_and_only_for_its_split(tmp_path):
    users, items, drawn = negatives.drawn(SPLIT, build(seed=3))
    path = tmp_path / "n.npz"
    np.savez(path, users=users[::-1], items=items[::-1], negatives=drawn[::-1])
    stored = build(file=str(path))
    assert torch.equal(stored.negatives_of(TARGETS), build(seed=3).negatives_of(TARGETS))
    valid = validation_targets(SPLIT, "cpu")
    assert torch.equal(stored.negatives_of(valid), build(seed=3).negatives_of(valid))
    with pytest.raises(DataError, match=r"expected 4 negatives for each of 30 positives, found 5"):
        build(file=str(path), negatives=4).negatives_of(TARGETS)
    spoilt = drawn.copy()
    spoilt[-1, 0] = items[-1]
    np.savez(path, users=users, items=items, negatives=spoilt)
    with pytest.raises(DataError, match="expected only unseen items"):
        build(file=str(path)).negatives_of(TARGETS)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match="expected negatives made by"):
        build(file=str(path)).negatives_of(TARGETS)


def test_the_authors_format_is_imported(tmp_path):
    drawn = build().negatives_of(TARGETS)
    path = tmp_path / "x.test.negative"
    lines = [f"({u + 100},{i + 1000})\t" + "\t".join(str(n + 1000) for n in row) for u, i, row
             in zip(TARGETS.users.tolist(), TARGETS.items.tolist(), drawn.tolist(), strict=True)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    users, items, table = negatives.imported(SPLIT, path)
    assert np.array_equal(table, drawn.numpy())
    assert np.array_equal(users, TARGETS.users)
    assert np.array_equal(items, TARGETS.items)
    for broken, message in (
        ("(100,1000\t1001", r"line 1: expected \(user,item\) and negatives"),
        ("(100,1000)\t9", "line 1: expected a item|line 1: expected a.* found '9'"),
        ("(100,1000)\t1001\n(101,1000)\t1001\t1002", "line 2: expected 1 negatives, found 2"),
        ("", "found an empty file"),
    ):
        path.write_text(broken)
        with pytest.raises(DataError, match=message):
            negatives.imported(SPLIT, path)


def test_correction_weights_match_the_definition():
    """A small case with the hypergeometric probabilities of scipy."""
    from scipy import stats

    full, drawn, gamma = 12, 4, 0.1
    a = np.array([[stats.hypergeom(full - 1, r, drawn).pmf(s) for s in range(drawn + 1)] for r in range(full)])
    weighted = a / np.sqrt(full)
    system = (1 - gamma) * weighted.T @ weighted + gamma * np.diag(a.mean(0))
    metric = 1 / np.arange(1, full + 1)
    expected = np.linalg.solve(system, weighted.T @ (metric / np.sqrt(full)))
    np.testing.assert_allclose(metric @ correction_weights(full, drawn, gamma), expected, atol=1e-12)


def test_the_correction_brings_sampled_metrics_nearer_to_the_full_ones():
    items = 400
    users = np.arange(600)
    rng = np.random.default_rng(1)
    split = random_split(600, items)
    split = replace(split, train=Pairs(users, (split.test.items + 1) % items), valid=Pairs(users[:0], users[:0]))
    logits = torch.from_numpy(rng.normal(size=(600, items)).astype(np.float32))
    logits[users, split.test.items] += 1.5
    targets = test_targets(split, "cpu")
    full = EVALUATIONS["full"](cutoffs=[10], ties="average", memory_mb=64)
    truth = full.metrics(full.evaluate(table(logits), targets))
    values = [build(cutoffs=[10], negatives=50, correction=c) for c in (None, 0.1)]
    raw, corrected = (e.metrics(e.evaluate(table(logits), targets)) for e in values)
    for name in truth:
        assert abs(corrected[name] - truth[name]) < 0.35 * abs(raw[name] - truth[name])
