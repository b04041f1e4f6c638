"""Batches are addressed by seed, epoch and step, and hold what the loss needs and no more."""

import itertools
from collections.abc import Callable, Collection

import numpy as np
import pytest
import torch
from toy_models import with_ratings
from toys import pairs, random_split, same

from ncf.core.rng import generator
from ncf.data import Batch, Split
from ncf.data.split import Pairs
from ncf.errors import ConfigError, DataError
from ncf.training.batches import Batches, groups_per_batch, relative_frequencies
from ncf.training.samplers import popularity, uniform

SPLIT = with_ratings(random_split(20, 40))
BOTH = frozenset({"ratings", "log_probs"})


def batches(seed: int = 42, neg_ratio: int = 4, batch_size: int = 50, needs: Collection[str] = ()) -> Batches:
    sampler = popularity(SPLIT.train, SPLIT.num_users, SPLIT.num_items, "cpu", power=0.75)
    return Batches(SPLIT.train, sampler, neg_ratio, batch_size, seed, "cpu", needs)


def epoch(stream: Batches, number: int, first_step: int = 0) -> list[Batch]:
    return list(stream.epoch(number, first_step))


def pairs_in(steps: list[Batch], columns: slice) -> list[tuple[int, int]]:
    """The (user, item) pairs of some columns of all batches."""
    return [
        (user, item) for b in steps for user, row in zip(b.users.tolist(), b.items[:, columns].tolist()) for item in row
    ]


def positives() -> list[tuple[int, int]]:
    return list(zip(SPLIT.train.users.tolist(), SPLIT.train.items.tolist(), strict=True))


def test_an_epoch_holds_every_positive_once_in_column_nought() -> None:
    stream = batches()
    steps = epoch(stream, 1)
    assert sorted(pairs_in(steps, slice(0, 1))) == sorted(positives())
    assert len(steps) == stream.steps
    assert sum(batch.rows for batch in steps) == stream.rows


def test_batches_are_whole_groups_and_the_last_may_be_short() -> None:
    steps = epoch(batches(neg_ratio=4, batch_size=54), 1)
    assert {batch.items.shape[1] for batch in steps} == {5}
    assert {len(batch.users) for batch in steps[:-1]} == {10}  # 54 rows are ten groups of five, and four rows too few
    assert len(steps[-1].users) == len(SPLIT.train) % 10
    assert all(len(batch.users) == len(batch.items) for batch in steps)
    assert all(batch.users.dtype == batch.items.dtype == torch.int64 for batch in steps)


def test_no_negative_of_an_epoch_is_a_training_positive() -> None:
    assert not set(pairs_in(epoch(batches(), 1), slice(1, None))) & set(positives())


def test_validation_and_test_positives_can_be_negatives() -> None:
    held = set(zip(SPLIT.test.users.tolist(), SPLIT.test.items.tolist(), strict=True))
    assert held & set(pairs_in(epoch(batches(), 1), slice(1, None)))


def test_a_batch_holds_no_more_than_the_loss_needs() -> None:
    for needs in (frozenset(), {"ratings"}, {"log_probs"}, BOTH):
        for batch in [*epoch(batches(needs=needs), 1), batches(needs=needs).sample()]:
            assert batch.tensors().keys() == {"users", "items", *needs}


def test_ratings_are_those_of_the_positives() -> None:
    assert SPLIT.train.ratings is not None
    rating_of = dict(zip(positives(), SPLIT.train.ratings.tolist()))
    steps = epoch(batches(needs={"ratings"}), 1)
    found = [rating for batch in steps for rating in batch.ratings.tolist()]  # type: ignore[union-attr]
    assert found == [rating_of[pair] for pair in pairs_in(steps, slice(0, 1))]
    assert len(set(found)) == 5


def test_log_probabilities_are_the_samplers_of_the_negatives_drawn() -> None:
    stream = batches(needs={"log_probs"})
    for batch in epoch(stream, 1):
        assert batch.log_probs is not None
        assert batch.log_probs.shape == batch.items[:, 1:].shape
        assert torch.equal(batch.log_probs, stream.sampler.log_probs(batch.users, batch.items[:, 1:]))


def test_ratings_that_the_data_do_not_have_are_refused() -> None:
    split = random_split(20, 40)
    sampler = uniform(split.train, 20, 40, "cpu")
    with pytest.raises(DataError, match=r"^loss: expected data with ratings, which this loss needs, found none$"):
        Batches(split.train, sampler, 4, 50, 42, "cpu", {"ratings"})


@pytest.mark.parametrize("needs", [(), BOTH])
@pytest.mark.parametrize("block_draws", [1, 30, 200, 2**18])
def test_a_resumed_epoch_sees_what_the_whole_one_saw(
    block_draws: int, needs: Collection[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncf.training.batches._BLOCK_DRAWS", block_draws)
    whole = [batch.tensors() for batch in epoch(batches(needs=needs), 3)]
    for first in range(len(whole) + 1):
        rest = [batch.tensors() for batch in epoch(batches(needs=needs), 3, first)]
        assert same(rest, whole[first:])


def test_what_a_loss_needs_changes_no_user_item_or_negative() -> None:
    for first in (0, 7):
        bare = [[batch.users, batch.items] for batch in epoch(batches(), 2, first)]
        full = [[batch.users, batch.items] for batch in epoch(batches(needs=BOTH), 2, first)]
        assert same(bare, full)


def test_blocks_of_an_epoch_and_epochs_and_seeds_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.training.batches._BLOCK_DRAWS", 40)
    assert batches().block_steps == 1
    streams = [epoch(batches(), 1), epoch(batches(), 2), epoch(batches(seed=43), 1)]
    for a, b in itertools.combinations(streams, 2):
        assert not torch.equal(torch.cat([batch.users for batch in a]), torch.cat([batch.users for batch in b]))
    negatives = [batch.items[:, 1:] for batch in streams[0][:-1]]
    assert len({tuple(block.flatten().tolist()) for block in negatives}) == len(negatives)


def test_the_sample_is_a_few_positives_with_negatives_of_a_stream_of_their_own() -> None:
    sample = batches(needs=BOTH).sample()
    assert list(zip(sample.users.tolist(), sample.items[:, 0].tolist())) == positives()[:8]
    own = batches().sampler.draw(sample.users, 4, generator(42, "check"))
    assert torch.equal(sample.items[:, 1:], own)
    assert same(sample.tensors(), batches(needs=BOTH).sample().tensors())
    stream = batches()
    stream.sample()
    assert same([b.tensors() for b in epoch(stream, 1)], [b.tensors() for b in epoch(batches(), 1)])


def test_a_set_smaller_than_the_sample_gives_what_it_has() -> None:
    train = pairs([(0, 1), (1, 2)])
    sample = Batches(train, uniform(train, 2, 5, "cpu"), 4, 50, 0, "cpu").sample()
    assert sample.items.shape == (2, 5)


def test_an_epoch_leaves_the_global_state_alone(untouched: Callable[[], bool]) -> None:
    epoch(batches(needs=BOTH), 1)
    batches().sample()
    assert untouched()


@pytest.mark.parametrize(
    ("batch_size", "neg_ratio", "groups"), [(256, 10, 23), (256, 4, 51), (256, 50, 5), (11, 10, 1), (21, 10, 1)]
)
def test_rows_round_down_to_whole_groups(batch_size: int, neg_ratio: int, groups: int) -> None:
    assert groups_per_batch(batch_size, neg_ratio) == groups


def test_a_batch_smaller_than_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.batch_size: .*1 \+ neg_ratio = 11 rows \(one group\), got 10$"):
        groups_per_batch(10, 10)


def test_the_default_run_has_the_steps_of_the_reference_study(ml100k: Split) -> None:
    """53,491 positives in groups of 11 rows, 23 a batch: 2,326 steps."""
    sampler = uniform(ml100k.train, ml100k.num_users, ml100k.num_items, "cpu")
    stream = Batches(ml100k.train, sampler, 10, 256, 42, "cpu")
    assert (stream.groups, stream.steps, stream.rows) == (23, 2326, 53491 * 11)


def test_frequencies_are_those_of_the_positives_over_the_mean_of_items_with_any() -> None:
    train = Pairs(np.array([0, 1, 2, 0, 1]), np.array([3, 3, 3, 1, 0]))
    expected = torch.tensor([0.6, 0.6, 0.6, 1.8, 0.6])  # over 5/3; an item without any counts as one
    torch.testing.assert_close(relative_frequencies(train, 5), expected)
    sampler = uniform(train, 3, 5, "cpu")
    for batch in Batches(train, sampler, 2, 6, 1, "cpu", {"frequencies"}).epoch(1):
        assert batch.frequencies is not None
        torch.testing.assert_close(batch.frequencies, expected[batch.items[:, 0]])
    weights = 1 / expected[torch.from_numpy(train.items)]
    assert float(weights.mean()) == pytest.approx(1)  # of power=1
