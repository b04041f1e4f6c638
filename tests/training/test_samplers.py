"""Negatives are exact, and batches are addressed."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from toys import pairs, random_split

from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data.split import Pairs, Split
from ncf.errors import ConfigError, DataError
from ncf.training.samplers import (
    SAMPLERS,
    Batches,
    NegativeSampler,
    groups_per_batch,
    popularity,
    refuse_users_of_everything,
    uniform,
)

WORLDS = st.integers(1, 5).flatmap(
    lambda users: st.integers(2, 7).flatmap(
        lambda items: st.tuples(
            st.lists(st.sets(st.integers(0, items - 1), max_size=items - 1), min_size=users, max_size=users),
            st.lists(st.integers(0, 4), min_size=items, max_size=items),
        )
    )
)


def training(liked: list[set[int]]) -> Pairs:
    """Each user's positives, in an order that the sampler must not rely on."""
    rows = [(user, item) for user, items in enumerate(liked) for item in items]
    return pairs(np.random.default_rng(0).permutation(rows).tolist() if rows else [])


def every_draw(sampler: NegativeSampler, user: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The items at each position 0, 1, ... of the user's free mass: the sampler's distribution, enumerated."""
    free = int(sampler._free[user])
    units = (torch.arange(free, dtype=torch.float64) + 0.5)[None] / free
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **options: units)
        return sampler.draw(torch.tensor([user]), free, generator(0, "negatives"))[0].tolist()


@settings(max_examples=300, deadline=None)
@given(WORLDS)
def test_every_position_gives_the_item_that_enumeration_gives(world: tuple[list[set[int]], list[int]]) -> None:
    """Each non-positive of a user occurs as often as its mass says, and no positive ever does."""
    liked, mass = world
    for weights in (None, mass):
        masses = [1] * len(mass) if weights is None else mass
        if any(sum(m for item, m in enumerate(masses) if item not in items) == 0 for items in liked):
            continue
        tensor = None if weights is None else torch.tensor(weights)
        sampler = NegativeSampler(training(liked), len(liked), len(mass), tensor, "cpu")
        for user, items in enumerate(liked):
            expected = [item for item, m in enumerate(masses) if item not in items for _ in range(m)]
            assert every_draw(sampler, user, pytest.MonkeyPatch()) == expected


@pytest.mark.parametrize("power", [None, 0.75])
def test_ten_million_draws_hit_no_training_positive_and_fit_the_distribution(
    ml100k: Split, power: float | None
) -> None:
    """MovieLens-100K: each user's draws over their non-positives pass a chi-square test, and so do all together."""
    train, users, items = ml100k.train, ml100k.num_users, ml100k.num_items
    make = uniform if power is None else partial(popularity, power=power)
    each = 10_000_000 // users + 1
    drawn = make(train, users, items, "cpu").draw(torch.arange(users), each, generator(5, "negatives")).numpy()
    counts = np.bincount((np.arange(users)[:, None] * items + drawn).ravel(), minlength=users * items)
    counts = counts.reshape(users, items)
    assert counts.sum() >= 10_000_000
    assert counts[train.users, train.items].sum() == 0
    weight = np.tile(np.bincount(train.items, minlength=items) ** (power or 0.0), (users, 1))
    weight[train.users, train.items] = 0
    p_values = chi_square(counts, each * weight / weight.sum(1, keepdims=True))
    assert min(p_values) > 1e-3 / users  # Bonferroni: a right sampler fails for one seed in a thousand
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def chi_square(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """p-values (U,) of counts (U, I) against their expectation; cells that expect fewer than five are pooled."""
    rare = expected < 5
    pooled = [np.where(rare, cells, 0).sum(1, keepdims=True) for cells in (counts, expected)]
    counts, expected = (np.hstack([np.where(rare, 0, cells), p]) for cells, p in zip((counts, expected), pooled))
    terms = (counts - expected) ** 2 / np.where(expected > 0, expected, 1)
    return stats.chi2.sf(terms.sum(1), (expected > 0).sum(1) - 1)


def test_users_with_all_items_but_one_get_that_one() -> None:
    liked = [{0, 1, 2}, {1, 2, 3}, {0, 1, 3}]
    sampler = uniform(training(liked), 3, 4, "cpu")
    assert sampler.draw(torch.tensor([0, 1, 2, 0]), 50, generator(1, "negatives")).unique(dim=1).tolist() == [
        [3], [0], [2], [3],
    ]  # fmt: skip


def test_a_user_without_training_positives_can_draw_everything() -> None:
    sampler = uniform(training([{0, 1}, set()]), 2, 3, "cpu")
    assert set(sampler.draw(torch.tensor([1]), 200, generator(1, "negatives"))[0].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("user", [0, 1, 2])
def test_a_user_with_every_item_is_an_error_before_training(user: int) -> None:
    liked: list[set[int]] = [{0}, {1}, {0, 2}]
    liked[user] = {0, 1, 2}
    with pytest.raises(DataError, match=rf"user index {user}: no item is left to draw as a negative"):
        uniform(training(liked), 3, 3, "cpu")


def test_a_user_who_likes_every_item_is_named_though_two_are_held_out() -> None:
    split = random_split(5, 6)
    refuse_users_of_everything(split)
    liked = set(split.train.items[split.train.users == 3]) | {split.valid.items[3], split.test.items[3]}
    rest = [(3, item) for item in range(6) if item not in liked]
    train = Pairs(*(np.concatenate(both) for both in zip((split.train.users, split.train.items), zip(*rest))))
    with pytest.raises(DataError, match=r"^toy: user 103 likes every one of the 6 items"):
        refuse_users_of_everything(replace(split, train=train))


def test_a_user_whose_other_items_have_no_mass_is_an_error() -> None:
    with pytest.raises(DataError, match="user index 0"):
        popularity(training([{0, 1}, {0}]), 2, 3, "cpu", power=1.0)


def test_a_repeated_pair_is_an_error() -> None:
    with pytest.raises(DataError, match="repeated pair"):
        uniform(pairs([(0, 1), (1, 1), (0, 1)]), 2, 3, "cpu")


def test_popularity_to_the_power_nought_is_uniform() -> None:
    train = random_split(30, 40).train
    sampler = popularity(train, 30, 40, "cpu", power=0.0)
    drawn = sampler.draw(torch.zeros(1, dtype=torch.int64), 200_000, generator(3, "negatives"))[0].numpy()
    free = np.setdiff1d(np.arange(40), train.items[train.users == 0])
    assert stats.chisquare(np.bincount(drawn, minlength=40)[free]).pvalue > 1e-3


def test_an_item_without_training_frequency_is_never_drawn_by_popularity() -> None:
    sampler = popularity(training([{0}, {1}, {2}]), 3, 5, "cpu", power=0.75)
    assert set(sampler.draw(torch.arange(3), 2000, generator(3, "negatives")).flatten().tolist()) == {0, 1, 2}


def test_the_rarest_item_beside_the_commonest_keeps_its_share() -> None:
    """Integer masses near 2**40 hold ratios far beyond what a data set has."""
    liked = [{0} for _ in range(999)] + [{1}, set(), {2}]
    sampler = popularity(training(liked), len(liked), 3, "cpu", power=4.0)
    assert int(sampler._free[-2]) == pytest.approx(2**40, rel=1e-6)
    assert int(sampler._free[0]) == 2


def test_memory_grows_with_positives_not_with_users_times_items() -> None:
    """200,000 users x 200,000 items: a dense mask would take 37 GiB."""
    rng = np.random.default_rng(0)
    users, items = np.arange(200_000).repeat(2), rng.integers(0, 199_000, 400_000)
    items[1::2] = items[::2] + 1
    sampler = popularity(Pairs(users, items), 200_000, 200_000, "cpu", power=0.75)
    held = sum(value.numel() for value in vars(sampler).values() if isinstance(value, Tensor))
    assert held < 2 * 400_000 + 4 * 200_000
    assert sampler.draw(torch.tensor([0, 199_999]), 10, generator(0, "negatives")).shape == (2, 10)


@pytest.mark.parametrize("name", SAMPLERS)
def test_equal_streams_give_equal_negatives_and_leave_the_global_state_alone(
    name: str, untouched: Callable[[], bool]
) -> None:
    split = random_split(20, 30)
    keys = {"power": 0.75} if name == "popularity" else {}
    sampler = component("sampler", SAMPLERS, {"name": name, **keys})(split.train, 20, 30, "cpu")
    users = torch.arange(20).repeat(5)
    first, second = (sampler.draw(users, 7, generator(1, "negatives", 2, 3)) for _ in range(2))
    assert first.shape == (100, 7)
    assert first.dtype == torch.int64
    assert torch.equal(first, second)
    assert untouched()


def batches(seed: int = 42, neg_ratio: int = 4, batch_size: int = 50) -> Batches:
    split = random_split(20, 40)
    sampler = uniform(split.train, split.num_users, split.num_items, "cpu")
    return Batches(split.train, sampler, neg_ratio, batch_size, seed, "cpu")


def epoch(stream: Batches, number: int, first_step: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(stream.epoch(number, first_step))


def test_an_epoch_holds_every_positive_once_in_column_nought() -> None:
    train, stream = random_split(20, 40).train, batches()
    steps = epoch(stream, 1)
    seen = sorted((int(u), int(i)) for users, items in steps for u, i in zip(users, items[:, 0], strict=True))
    assert seen == sorted(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert len(steps) == stream.steps
    assert sum(items.numel() for _, items in steps) == stream.rows


def test_batches_are_whole_groups_and_the_last_may_be_short() -> None:
    steps = epoch(batches(neg_ratio=4, batch_size=54), 1)
    assert {items.shape[1] for _, items in steps} == {5}
    assert {len(users) for users, _ in steps[:-1]} == {10}  # 54 rows are ten groups of five, and four rows too few
    assert len(steps[-1][0]) == len(random_split(20, 40).train) % 10
    assert all(len(users) == len(items) and users.dtype == items.dtype == torch.int64 for users, items in steps)


def test_no_negative_of_an_epoch_is_a_training_positive() -> None:
    train = random_split(20, 40).train
    positive = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    for users, items in epoch(batches(), 1):
        assert not positive & {(int(u), int(i)) for u, row in zip(users, items[:, 1:], strict=True) for i in row}


def test_validation_and_test_positives_can_be_negatives() -> None:
    split = random_split(20, 40)
    held = set(zip(split.test.users.tolist(), split.test.items.tolist(), strict=True))
    drawn = {(int(u), int(i)) for us, its in epoch(batches(), 1) for u, row in zip(us, its[:, 1:]) for i in row}
    assert held & drawn


@pytest.mark.parametrize("block_draws", [1, 30, 200, 2**18])
def test_a_resumed_epoch_sees_what_the_whole_one_saw(block_draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.sampling._BLOCK_DRAWS", block_draws)
    whole = epoch(batches(), 3)
    for first in range(len(whole) + 1):
        rest = epoch(batches(), 3, first)
        assert len(rest) == len(whole) - first
        for (users, items), (users_again, items_again) in zip(whole[first:], rest, strict=True):
            assert torch.equal(users, users_again)
            assert torch.equal(items, items_again)


def test_blocks_of_an_epoch_and_epochs_and_seeds_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.sampling._BLOCK_DRAWS", 40)
    assert batches().block_steps == 1
    streams = [epoch(batches(), 1), epoch(batches(), 2), epoch(batches(seed=43), 1)]
    for a, b in itertools.combinations(streams, 2):
        assert not torch.equal(torch.cat([users for users, _ in a]), torch.cat([users for users, _ in b]))
    negatives = [items[:, 1:] for _, items in streams[0][:-1]]
    assert len({tuple(block.flatten().tolist()) for block in negatives}) == len(negatives)


def test_an_epoch_leaves_the_global_state_alone(untouched: Callable[[], bool]) -> None:
    epoch(batches(), 1)
    assert untouched()


@pytest.mark.parametrize(
    ("batch_size", "neg_ratio", "groups"), [(256, 10, 23), (256, 4, 51), (256, 50, 5), (11, 10, 1), (21, 10, 1)]
)
def test_rows_round_down_to_whole_groups(batch_size: int, neg_ratio: int, groups: int) -> None:
    assert groups_per_batch(batch_size, neg_ratio) == groups


def test_a_batch_smaller_than_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.batch_size: .*1 \+ neg_ratio = 11 rows, got 10$"):
        groups_per_batch(10, 10)


def test_the_default_run_has_the_steps_of_the_reference_study(ml100k: Split) -> None:
    """53,491 positives in groups of 11 rows, 23 a batch: 2,326 steps."""
    sampler = uniform(ml100k.train, ml100k.num_users, ml100k.num_items, "cpu")
    stream = Batches(ml100k.train, sampler, 10, 256, 42, "cpu")
    assert (stream.groups, stream.steps, stream.rows) == (23, 2326, 53491 * 11)
