"""Sampled ranking: the draw, its files, and the correction against the full ranking it estimates."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_splits import table
from toys import keys_of, random_split

from ncf.core.config import component
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError, TrainingError
from ncf.evaluation import EVALUATIONS, FullRanking, SampledRanking, test_targets, validation_targets
from ncf.evaluation.sampled import draw_negatives


def build(**changed: Any) -> SampledRanking:
    keys = keys_of("evaluation", "sampled") | {"negatives": 5} | changed
    made: SampledRanking = component("evaluation", EVALUATIONS, keys)()
    return made


def sparse_split(users: int, items: int) -> Split:
    """One positive a user in each held-out part, and at most half of the items in train."""
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


SPLIT = sparse_split(30, 40)
TARGETS = test_targets(SPLIT, "cpu")


def seen(row: int) -> set[int]:
    return set(TARGETS.seen_items[TARGETS.seen_starts[row] : TARGETS.seen_starts[row + 1]].tolist())


def test_negatives_are_distinct_unseen_and_fixed() -> None:
    drawn = build().negatives_of(TARGETS)
    for row, items in enumerate(drawn.tolist()):
        assert len(set(items)) == 5
        assert not set(items) & (seen(row) | {int(TARGETS.items[row])})
    assert torch.equal(build().negatives_of(TARGETS), drawn)
    assert not torch.equal(build(seed=1).negatives_of(TARGETS), drawn)


def test_every_unseen_item_is_equally_likely() -> None:
    draws = torch.stack([draw_negatives(TARGETS, 5, seed)[3] for seed in range(3000)])
    counts = torch.bincount(draws.flatten(), minlength=40)
    free = [i for i in range(40) if i not in seen(3) | {int(TARGETS.items[3])}]
    assert counts.sum() == counts[free].sum()
    mean = 15000 / len(free)
    assert ((counts[free] - mean).abs() < 5 * mean**0.5).all()


def test_ranks_equal_a_loop() -> None:
    logits = torch.randint(0, 6, (30, 40), generator=torch.Generator().manual_seed(0)).float()
    for memory in (1, 64):
        evaluation = build(memory_mb=memory)
        ranks = evaluation.evaluate(table(logits), TARGETS)
        for row, items in enumerate(evaluation.negatives_of(TARGETS).tolist()):
            positive = logits[row, TARGETS.items[row]]
            assert ranks.above[row] == sum(logits[row, i] > positive for i in items)
            assert ranks.tied[row] == 1 + sum(logits[row, i] == positive for i in items)
        assert ranks.candidates.tolist() == [6] * 30


def test_a_constant_scorer_gets_chance() -> None:
    metrics = build(cutoffs=[3]).metrics(build().evaluate(table(torch.zeros(30, 40)), TARGETS))
    assert metrics["hit@3"] == pytest.approx(3 / 6)


def test_nan_and_too_few_items_are_refused() -> None:
    logits = torch.zeros(30, 40)
    logits[7] = torch.nan
    with pytest.raises(TrainingError, match=r"got one for user 107$"):
        build().evaluate(table(logits), TARGETS)
    with pytest.raises(DataError, match=r"evaluation.negatives: expected at most \d+, the number of unseen items"):
        build(negatives=39).negatives_of(TARGETS)


def test_a_file_gives_what_was_drawn_and_only_for_its_split(tmp_path: Path) -> None:
    both = [validation_targets(SPLIT, "cpu"), TARGETS]
    users, items = (np.concatenate([getattr(part, name).numpy() for part in both]) for name in ("users", "items"))
    drawn = np.concatenate([build(seed=3).negatives_of(part).numpy() for part in both])
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
    with pytest.raises(DataError, match="expected a file made by"):
        build(file=str(path)).negatives_of(TARGETS)


def write_negatives(path: Path, users: np.ndarray, items: np.ndarray, negatives: np.ndarray) -> SampledRanking:
    np.savez(path, users=users, items=items, negatives=negatives)
    return build(file=str(path))


def test_a_file_of_test_positives_only_serves_the_test_and_says_what_it_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = build(seed=3).negatives_of(TARGETS).numpy()
    stored = write_negatives(tmp_path / "n.npz", TARGETS.users.numpy(), TARGETS.items.numpy(), drawn)
    valid = validation_targets(SPLIT, "cpu")
    assert torch.equal(stored.negatives_of(valid), build().negatives_of(valid))
    assert "n.npz has negatives for 0 of these 30 positives; theirs are drawn instead" in caplog.text
    assert np.array_equal(stored.negatives_of(TARGETS).numpy(), drawn)


def test_a_file_of_other_data_is_refused_at_the_first_part(tmp_path: Path) -> None:
    """Its users have seen some of its items: here every pair is one of train."""
    train, path = SPLIT.train, tmp_path / "n.npz"
    foreign = write_negatives(path, train.users, train.items, np.tile(np.arange(5), (len(train), 1)))
    with pytest.raises(DataError, match=r"^evaluation\.file: .* of this data, but .*n\.npz has none of these 30"):
        foreign.negatives_of(validation_targets(SPLIT, "cpu"))
    larger = write_negatives(path, TARGETS.users.numpy(), TARGETS.items.numpy() + 40, np.zeros((30, 5), np.int64))
    with pytest.raises(DataError, match=r"of other data \(it has a user or an item that does not exist in this\)"):
        larger.negatives_of(TARGETS)


def test_a_file_that_has_no_held_out_positive_at_all_is_refused(tmp_path: Path) -> None:
    user = 10**6  # of whom nothing is known here, so that only the last part tells
    stored = write_negatives(tmp_path / "n.npz", np.array([user]), np.array([0]), np.array([[1, 2, 3, 4, 5]]))
    stored.negatives_of(validation_targets(SPLIT, "cpu"))
    with pytest.raises(DataError, match=r"n\.npz has none$"):
        stored.negatives_of(TARGETS)


@pytest.mark.parametrize("kind", ["fifo", "zero", "floats", "missing", "shape", "bomb"])
def test_a_file_that_is_no_file_of_negatives_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path, some = tmp_path / "n.npz", np.zeros(3, np.int64)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path = Path("/dev/zero")
    elif kind == "floats":
        np.savez(path, users=some, items=some, negatives=np.zeros((3, 5)))
    elif kind == "shape":
        np.savez(path, users=some, items=some, negatives=some)
    elif kind == "bomb":
        np.savez_compressed(path, users=some, items=some, negatives=np.zeros((1, 2**22), np.int64))
    with pytest.raises(DataError, match=r"^evaluation\.file: expected a file made by python -m ncf\.negatives, got"):
        build(file=str(path)).negatives_of(TARGETS)


def test_the_correction_brings_sampled_metrics_nearer_to_the_full_ones() -> None:
    items = 400
    users = np.arange(600)
    rng = np.random.default_rng(1)
    split = sparse_split(600, items)
    split = replace(split, train=Pairs(users, (split.test.items + 1) % items), valid=Pairs(users[:0], users[:0]))
    logits = torch.from_numpy(rng.normal(size=(600, items)).astype(np.float32))
    logits[users, split.test.items] += 1.5
    targets = test_targets(split, "cpu")
    full = FullRanking(metrics=["hit", "ndcg", "mrr"], cutoffs=[10], ties="average", memory_mb=64)
    truth = full.metrics(full.evaluate(table(logits), targets))
    values = [build(cutoffs=[10], negatives=50, correction=c) for c in (None, 0.1)]
    raw, corrected = (e.metrics(e.evaluate(table(logits), targets)) for e in values)
    for name in truth:
        assert abs(corrected[name] - truth[name]) < 0.35 * abs(raw[name] - truth[name])


@pytest.mark.parametrize("held_out", [2, 3])
def test_several_held_out_positives_of_a_user_are_each_ranked_among_negatives_of_their_own(held_out: int) -> None:
    several = random_split(10, 20, held_out=held_out)
    targets = test_targets(several, "cpu")
    evaluation = build(negatives=4)
    negatives = evaluation.negatives_of(targets)
    assert negatives.shape == (10 * held_out, 4)
    for user, item, drawn in zip(targets.users.tolist(), targets.items.tolist(), negatives.tolist()):
        known = {int(i) for part in (several.train, several.valid) for i in part.items[part.users == user]}
        assert len(set(drawn)) == 4
        assert not set(drawn) & (known | {item})
    logits = torch.randint(0, 4, (10, 20), generator=torch.Generator().manual_seed(0)).float()
    ranks = evaluation.evaluate(table(logits), targets)
    for row, (user, item) in enumerate(zip(targets.users.tolist(), targets.items.tolist())):
        others = logits[user, negatives[row]]
        assert ranks.above[row] == (others > logits[user, item]).sum()
        assert ranks.tied[row] == 1 + (others == logits[user, item]).sum()


def test_metrics_are_chosen_as_for_full_ranking_under_a_correction_too() -> None:
    for correction in (None, 0.1):
        evaluation = build(metrics=["map", "auc"], cutoffs=[3], correction=correction)
        ranks = evaluation.evaluate(table(torch.eye(30, 40)), TARGETS)
        assert list(evaluation.metrics(ranks)) == ["map@3", "auc"]


def test_one_draw_serves_every_evaluation_of_the_same_targets() -> None:
    evaluation = build()
    assert evaluation.negatives_of(TARGETS) is evaluation.negatives_of(TARGETS)
    assert evaluation.negatives_of(validation_targets(SPLIT, "cpu")) is not evaluation.negatives_of(TARGETS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"negatives": 0}, "evaluation.negatives: "),
        ({"seed": -1}, "evaluation.seed: "),
        ({"correction": 0.0}, "evaluation.correction: "),
        ({"correction": 1.5}, "evaluation.correction: "),
        ({"metrics": ["rmse"]}, "evaluation.metrics.0: .*got 'rmse'"),
    ],
)
def test_bad_settings_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(**changed)


@pytest.mark.parametrize(("correction", "refused"), [(None, True), (0.1, False)])
def test_a_cut_off_beyond_the_negatives_says_nothing_and_is_refused(correction: float | None, refused: bool) -> None:
    evaluation = build(cutoffs=[5, 6], negatives=5, correction=correction)
    if not refused:
        evaluation.check(40)
        return
    with pytest.raises(ConfigError, match=r"^evaluation\.cutoffs: expected at most 5, the number of negatives"):
        evaluation.check(40)
    build(cutoffs=[5], negatives=5).check(40)


def test_a_negative_that_counts_twice_is_refused(tmp_path: Path) -> None:
    drawn = build(seed=3).negatives_of(TARGETS).numpy().copy()
    drawn[7, 4] = drawn[7, 1]
    with pytest.raises(
        DataError, match=r"expected each negative once for a positive, found one again for user 1\d\d in"
    ):
        write_negatives(tmp_path / "n.npz", TARGETS.users.numpy(), TARGETS.items.numpy(), drawn).negatives_of(TARGETS)
