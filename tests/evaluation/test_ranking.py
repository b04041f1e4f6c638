"""Ranks by counting agree with brute force, whatever ties, seen items, chunks and infinities there are."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_splits import TinySplit, constant, part, split, table, targets_of_test
from torch import Tensor
from toys import random_split

from ncf.data import Pairs
from ncf.errors import TrainingError
from ncf.evaluation import FullRanking, Targets, ranking, test_targets, validation_targets
from ncf.evaluation.ranking import Ranks, chunk_size, rank

EVERY = [5, 10, 20]


def evaluation(cutoffs: list[int] = EVERY) -> FullRanking:
    return FullRanking(metrics=["hit", "ndcg", "mrr"], cutoffs=cutoffs, ties="average", memory_mb=1)


def brute_force(logits: Tensor, targets: Targets) -> list[tuple[int, int]]:
    """(above, tied) by Python comparison over the candidate set of each row."""
    result = []
    for row, (user, item) in enumerate(zip(targets.users.tolist(), targets.items.tolist())):
        start, stop = targets.seen_starts[row : row + 2]
        seen = set(targets.seen_items[start:stop].tolist())
        scores = [float(logits[user, i]) for i in range(targets.num_items) if i not in seen]
        own = float(logits[user, item])
        result.append((sum(s > own for s in scores), sum(s == own for s in scores)))
    return result


def counted(ranks: Ranks) -> list[tuple[int, int]]:
    return list(zip(ranks.above.tolist(), ranks.tied.tolist()))


scores_with_ties = st.sampled_from([-math.inf, -1.0, 0.0, 1.0, 1e4, math.inf])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 50), chunk=st.integers(1, 9))
def test_counts_agree_with_brute_force_under_many_ties(data: st.DataObject, seed: int, chunk: int) -> None:
    users, items = 5, 8
    flat = data.draw(st.lists(scores_with_ties, min_size=users * items, max_size=users * items))
    logits, targets = torch.tensor(flat).view(users, items), targets_of_test(split(users, items, seed))
    assert counted(rank(table(logits), targets, chunk)) == brute_force(logits, targets)


@pytest.mark.parametrize("held_out", [1, 2, 4])
@pytest.mark.parametrize("targets_of", [validation_targets, test_targets])
def test_users_with_several_held_out_positives_have_a_row_for_each(
    targets_of: Callable[..., Targets], held_out: int
) -> None:
    """Its rank is among all items not seen, the user's other positives of that part included."""
    several = random_split(9, 14, held_out=held_out)
    part_of = several.valid if targets_of is validation_targets else several.test
    targets = targets_of(several, "cpu")
    assert list(zip(targets.users.tolist(), targets.items.tolist())) == list(zip(part_of.users, part_of.items))
    logits = torch.randint(0, 6, (9, 14), generator=torch.Generator().manual_seed(0)).float()
    ranks = rank(table(logits), targets, 4)
    seen = [several.train] if targets_of is validation_targets else [several.train, several.valid]
    for row, (user, item) in enumerate(zip(part_of.users, part_of.items)):
        known = {int(i) for part in seen for i in part.items[part.users == user]}
        others = [float(logits[user, i]) for i in range(14) if i not in known]
        own = float(logits[user, item])
        assert ranks.above[row] == sum(score > own for score in others)
        assert ranks.tied[row] == sum(score == own for score in others)
        assert ranks.candidates[row] == len(others)


def test_a_user_of_several_adjacent_rows_is_scored_once() -> None:
    asked: list[int] = []
    several = random_split(9, 14, held_out=3)
    rank(lambda users: asked.extend(users.tolist()) or constant(len(users), 14), test_targets(several, "cpu"), 6)
    assert asked == list(range(9))


def test_rows_of_a_user_may_be_anywhere() -> None:
    several = random_split(9, 14, held_out=3)
    mixed = np.random.default_rng(0).permutation(27)
    apart = replace(several, test=Pairs(several.test.users[mixed], several.test.items[mixed]))
    logits = torch.randint(0, 4, (9, 14), generator=torch.Generator().manual_seed(0)).float()
    every = evaluation()
    one, other = (rank(table(logits), test_targets(split, "cpu"), 5) for split in (several, apart))
    assert [counted(one)[i] for i in mixed] == counted(other)
    assert every.metrics(one) == pytest.approx(every.metrics(other), abs=1e-15)


def test_the_metric_of_several_positives_a_user_is_the_mean_over_users() -> None:
    several = random_split(9, 14, held_out=3)
    logits = torch.randn(9, 14, generator=torch.Generator().manual_seed(0))
    every = evaluation(cutoffs=[5])
    ranks = every.evaluate(table(logits), test_targets(several, "cpu"))
    assert len(every.per_positive(ranks)["hit@5"]) == 27
    assert every.metrics(ranks)["hit@5"] == pytest.approx(float((ranks.above < 5).view(9, 3).any(1).double().mean()))


@pytest.mark.parametrize("value", [0.0, 17.4, -1e4, math.inf, -math.inf])
def test_a_constant_scorer_scores_chance_at_every_cutoff(value: float) -> None:
    tiny = split(40, 30)
    targets = targets_of_test(tiny)
    every = evaluation(cutoffs=list(range(1, 31)))
    ranks = every.evaluate(table(constant(40, 30, value)), targets)
    for k in range(1, 31):
        chance = [min(1.0, k / n) for n in targets.candidates.tolist()]
        assert every.per_positive(ranks)[f"hit@{k}"].tolist() == chance
    assert ranks.tied_positives() == int((targets.candidates > 1).sum())


def test_a_perfect_scorer_scores_one() -> None:
    tiny = split(20, 30)
    logits = constant(20, 30)
    logits[tiny.test.users, tiny.test.items] = 1e-3
    ranks = evaluation().evaluate(table(logits), targets_of_test(tiny))
    assert set(evaluation().metrics(ranks).values()) == {1.0}


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_saturated_logits_rank_as_small_ones(scale: float) -> None:
    """A float32 sigmoid would be exactly 1 for all of them."""
    targets = targets_of_test(split(20, 30))
    small = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    shift = torch.rand(20, 30, generator=torch.Generator().manual_seed(1)).argsort(-1).float()
    a = rank(table(shift), targets, 4)
    b = rank(table(scale + shift), targets, 4)
    assert counted(a) == counted(b)
    assert counted(rank(table(small), targets, 4)) == counted(rank(table(small.double() * scale), targets, 4))


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0, 1e9])
def test_seen_items_never_matter(value: float) -> None:
    tiny = split(20, 30)
    targets = targets_of_test(tiny)
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    before = counted(rank(table(logits), targets, 7))
    changed = logits.clone()
    for seen in (tiny.train, tiny.valid):
        changed[seen.users, seen.items] = value
    assert counted(rank(table(changed), targets, 7)) == before


def test_seen_items_may_tie_with_the_positive() -> None:
    tiny = TinySplit(part([(0, 0), (0, 1)]), part([(0, 2)]), part([(0, 3)]), 1, 5)
    ranks = rank(table(torch.tensor([[1.0, 2.0, 1.0, 1.0, 1.0]])), targets_of_test(tiny), 1)
    assert counted(ranks) == [(0, 2)]
    assert ranks.average.tolist() == [1.5]


def test_scores_are_left_as_they_were() -> None:
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    kept = logits.clone()
    rank(lambda users: logits, targets_of_test(split(20, 30)), 20)
    assert torch.equal(logits, kept)


@pytest.mark.parametrize("chunk", [1, 3, 19, 20, 1000])
def test_chunks_change_nothing(chunk: int) -> None:
    targets = targets_of_test(split(20, 30))
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    ranks, whole = rank(table(logits), targets, chunk), rank(table(logits), targets, 20)
    for name in ("users", "items", "above", "tied", "candidates"):
        assert torch.equal(getattr(ranks, name), getattr(whole, name))


def test_no_chunk_is_larger_than_asked() -> None:
    asked = []
    targets = targets_of_test(split(20, 30))
    rank(lambda users: asked.append(len(users)) or constant(len(users), 30), targets, 6)
    assert asked == [6, 6, 6, 2]


def test_nan_is_an_error_that_names_the_user() -> None:
    targets = targets_of_test(split(20, 30))
    user = int(targets.users[13])
    logits = constant(20, 30)
    logits[user, 5] = math.nan
    with pytest.raises(TrainingError, match=f"no NaN, got one for user u{user}$"):
        rank(table(logits), targets, 6)


def test_nan_is_found_beside_infinities() -> None:
    targets = targets_of_test(split(4, 6))
    logits = torch.full((4, 6), math.inf)
    logits[2, 0] = math.nan
    with pytest.raises(TrainingError, match=r"user u2$"):
        rank(table(logits), targets, 4)


def test_stacked_models_rank_as_each_alone() -> None:
    targets = targets_of_test(split(20, 30))
    logits = torch.randn(3, 20, 30, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    stacked = rank(table(logits), targets, 7)
    assert stacked.above.shape == (3, 20)
    for s in range(3):
        assert torch.equal(stacked.above[s], rank(table(logits[s]), targets, 7).above)
        assert torch.equal(stacked.tied[s], rank(table(logits[s]), targets, 7).tied)


def test_a_stacked_nan_names_the_user() -> None:
    targets = targets_of_test(split(20, 30))
    logits = torch.zeros(3, 20, 30)
    logits[1, int(targets.users[0])] = math.nan
    with pytest.raises(TrainingError, match=f"user u{int(targets.users[0])}$"):
        rank(table(logits), targets, 7)


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"expected logits of shape \(..., 7, 30\), got \(7, 29\)"):
        rank(lambda users: constant(len(users), 29), targets_of_test(split(20, 30)), 7)


def test_narrow_scores_are_refused() -> None:
    with pytest.raises(TrainingError, match="float16"):
        rank(lambda users: constant(len(users), 30).half(), targets_of_test(split(20, 30)), 7)


def test_scoring_builds_no_graph() -> None:
    weight = torch.zeros(20, 30, requires_grad=True)
    recorded = []
    targets = targets_of_test(split(20, 30))
    rank(lambda users: recorded.append((weight[users] * 2).requires_grad) or constant(len(users), 30), targets, 20)
    assert recorded == [False]


@pytest.mark.parametrize(("memory_mb", "items", "users"), [(1, 1000, 131), (1, 10**9, 1), (64, 1447, 5797)])
def test_chunk_fits_the_budget(memory_mb: float, items: int, users: int) -> None:
    assert chunk_size(items, memory_mb) == users
    assert users == 1 or users * items * 8 <= memory_mb * 2**20


def test_cold_candidates_of_more_pairs_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = replace(random_split(6, 12), test_among=np.arange(12))
    assert test_targets(cold, "cpu").candidates.tolist() == test_targets(random_split(6, 12), "cpu").candidates.tolist()
    some = replace(cold, test_among=np.unique(cold.test.items))
    others = 12 - len(some.test_among)  # type: ignore[arg-type]
    monkeypatch.setattr(ranking, "available", lambda: 42.0 * 6 * others - 1)
    with pytest.raises(
        TrainingError, match=rf"^test: .* {others} warm items .* 6 positives.*; use split\.candidates=all"
    ):
        test_targets(some, "cpu")
    monkeypatch.setattr(ranking, "available", lambda: 42.0 * 6 * others)
    assert test_targets(some, "cpu").candidates.max() <= len(some.test_among)  # type: ignore[arg-type]
