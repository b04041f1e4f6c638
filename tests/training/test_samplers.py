"""Negatives are exact: never a training positive, each other item as often as its mass says, and so said."""

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
from ncf.errors import DataError
from ncf.training.samplers import (
    SAMPLERS,
    NegativeSampler,
    popularity,
    refuse_users_of_everything,
    sampler_for,
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


@settings(max_examples=150, deadline=None)
@given(WORLDS)
def test_every_position_gives_the_item_that_enumeration_gives(world: tuple[list[set[int]], list[int]]) -> None:
    """Each non-positive of a user occurs as often as its mass and log-probability say, and no positive ever does."""
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
            possible = torch.tensor(sorted(set(expected)))
            probs = sampler.log_probs(torch.tensor([user]), possible[None])[0].exp()
            shares = [expected.count(item) / len(expected) for item in possible.tolist()]
            torch.testing.assert_close(probs, torch.tensor(shares))


@pytest.mark.parametrize("power", [None, 0.75])
def test_millions_of_draws_hit_no_training_positive_and_fit_the_distribution(
    ml100k: Split, power: float | None
) -> None:
    """MovieLens-100K, every fourth user: each one's draws pass a chi-square test, and so do all together."""
    train, items, each = ml100k.train, ml100k.num_items, 10_000
    users = np.arange(0, ml100k.num_users, 4)
    make = uniform if power is None else partial(popularity, power=power)
    sampler = make(train, ml100k.num_users, items, "cpu")
    drawn = sampler.draw(torch.from_numpy(users), each, generator(5, "negatives")).numpy()
    rows = np.arange(len(users))
    counts = np.bincount((rows[:, None] * items + drawn).ravel(), minlength=len(users) * items)
    counts = counts.reshape(len(users), items)
    liked = np.zeros((ml100k.num_users, items), bool)
    liked[train.users, train.items] = True
    assert counts.sum() > 2_000_000
    assert counts[liked[users]].sum() == 0
    weight = np.tile(np.bincount(train.items, minlength=items) ** (power or 0.0), (len(users), 1))
    weight[liked[users]] = 0
    p_values = chi_square(counts, each * weight / weight.sum(1, keepdims=True))
    assert min(p_values) > 1e-3 / len(users)  # Bonferroni: a right sampler fails for one seed in a thousand
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
    with pytest.raises(
        DataError, match=rf"user index {user}: expected at least one item to draw as a negative, found none"
    ):
        uniform(training(liked), 3, 3, "cpu")


def test_where_ids_are_known_the_user_is_named_by_its_own() -> None:
    split = replace(random_split(3, 6), train=training([{0, 1}, {0, 1, 2}, {1}]))
    assert split.user_ids[1] == 101
    with pytest.raises(DataError, match=r"^toy: user 101 has all items that the sampler draws as training positives"):
        sampler_for(partial(popularity, power=1.0), split, "cpu")


def test_a_user_who_likes_every_item_is_named_though_two_are_held_out() -> None:
    split = random_split(5, 6)
    refuse_users_of_everything(split)
    liked = set(split.train.items[split.train.users == 3]) | {split.valid.items[3], split.test.items[3]}
    rest = [(3, item) for item in range(6) if item not in liked]
    train = Pairs(*(np.concatenate(both) for both in zip((split.train.users, split.train.items), zip(*rest))))
    with pytest.raises(DataError, match=r"^toy: user 103 has all 6 items as positives"):
        refuse_users_of_everything(replace(split, train=train))


def test_a_user_whose_other_items_have_no_mass_is_an_error() -> None:
    with pytest.raises(DataError, match="user index 0"):
        popularity(training([{0, 1}, {0}]), 2, 3, "cpu", power=1.0)


def test_a_repeated_pair_is_an_error() -> None:
    with pytest.raises(DataError, match="found a duplicate"):
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


@pytest.mark.parametrize("power", [None, 0.0, 0.75, 2.0])
def test_log_probabilities_are_those_of_brute_force_and_sum_to_one_over_what_a_user_can_be_given(
    power: float | None,
) -> None:
    train, users, items = random_split(12, 20).train, 12, 20
    make = uniform if power is None else partial(popularity, power=power)
    sampler = make(train, users, items, "cpu")
    weight = np.bincount(train.items, minlength=items) ** (power or 0.0)
    for user in range(users):
        possible = np.setdiff1d(np.flatnonzero(weight), train.items[train.users == user])
        found = sampler.log_probs(torch.tensor([user]), torch.from_numpy(possible)[None])
        assert found.shape == (1, len(possible))
        assert found.dtype == torch.float32
        expected = weight[possible] / weight[possible].sum()
        np.testing.assert_allclose(found[0].exp().numpy(), expected, rtol=1e-5)
        assert float(found.exp().sum()) == pytest.approx(1, rel=1e-5)


def test_log_probabilities_are_a_users_own() -> None:
    """Who has more of what is popular meets the rest of it more often."""
    sampler = uniform(training([{0}, {0, 1, 2}]), 2, 5, "cpu")
    found = sampler.log_probs(torch.tensor([1, 0, 1]), torch.tensor([[3, 4], [1, 4], [4, 4]])).exp()
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [0.25, 0.25], [0.5, 0.5]]))


def test_memory_grows_with_positives_not_with_users_times_items() -> None:
    """200,000 users x 200,000 items: a dense mask would take 37 GiB."""
    rng = np.random.default_rng(0)
    users, items = np.arange(200_000).repeat(2), rng.integers(0, 199_000, 400_000)
    items[1::2] = items[::2] + 1
    sampler = popularity(Pairs(users, items), 200_000, 200_000, "cpu", power=0.75)
    held = sum(value.numel() for value in vars(sampler).values() if isinstance(value, Tensor))
    assert held < 2 * 400_000 + 5 * 200_000
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
