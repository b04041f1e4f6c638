"""The ways to split: by hand, against brute force, and what holds for each of them whatever the positives."""

import dataclasses
import hashlib
from collections import Counter
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from data_helpers import interactions_of
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import keys_of

from ncf.core.config import component
from ncf.data import SPLITS, Interactions, Pairs, Split
from ncf.data.splitting import Ties, leave_one_out, tied_last_positives
from ncf.errors import ConfigError, DataError
from ncf.evaluation import test_targets, validation_targets

TOY = [(0, 0, 30), (1, 0, 5), (0, 1, 10), (0, 2, 20), (1, 1, 9), (2, 3, 7), (0, 3, 30)]


def made(name: str, interactions: Interactions, **changed: Any) -> Split:
    """The split as conf/split/<name>.yaml sets it, but for what is changed."""
    split: Split = component("split", SPLITS, keys_of("split", name) | changed)(interactions)
    return split


def pairs(part: Pairs) -> list[tuple[int, int]]:
    return list(zip(part.users.tolist(), part.items.tolist()))


def test_last_is_test_the_one_before_is_validation() -> None:
    split = leave_one_out(interactions_of(TOY), ties="file", back=0)
    assert pairs(split.train) == [(0, 1), (0, 2), (1, 0), (2, 3)]
    assert pairs(split.valid) == [(0, 0)]  # tied with item 3, but earlier in the file
    assert pairs(split.test) == [(0, 3), (1, 1)]  # user 1 has two positives, user 2 only one


@pytest.mark.parametrize(("ties", "last"), [("file", 1), ("reverse_file", 2), ("item_id", 2)])
def test_ties_follow_the_rule(ties: Ties, last: int) -> None:
    rows = [(0, 0, 1), (0, 2, 5), (0, 1, 5)]
    assert pairs(leave_one_out(interactions_of(rows), ties=ties, back=0).test) == [(0, last)]


def test_train_is_sorted_by_user_time_and_file() -> None:
    rows = [(1, 0, 3), (0, 4, 2), (0, 3, 1), (0, 2, 2), (1, 1, 2), (1, 2, 4), (1, 3, 4), (0, 0, 8), (0, 1, 9)]
    assert pairs(leave_one_out(interactions_of(rows), ties="file", back=0).train) == [
        (0, 3),
        (0, 4),
        (0, 2),
        (1, 1),
        (1, 0),
    ]


def brute_force(rows: list[tuple[int, int, int]], ties: Ties) -> tuple[list, list, list]:
    numbered = [(user, time, {"file": n, "reverse_file": -n, "item_id": item}[ties], item)
                for n, (user, item, time) in enumerate(rows)]  # fmt: skip
    train, valid, test = [], [], []
    for user, group in groupby(sorted(numbered), key=lambda row: row[0]):
        items = [row[3] for row in group]
        if len(items) >= 2:
            test.append((user, items.pop()))
        if len(items) >= 2:
            valid.append((user, items.pop()))
        train += [(user, item) for item in items]
    return train, valid, test


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 6)), min_size=1, max_size=40,
                  unique_by=lambda row: row[:2]),
    ties=st.sampled_from(["file", "reverse_file", "item_id"]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_agrees_with_brute_force(rows: list[tuple[int, int, int]], ties: Ties) -> None:
    split = leave_one_out(interactions_of(rows), ties=ties, back=0)
    assert (pairs(split.train), pairs(split.valid), pairs(split.test)) == brute_force(rows, ties)
    assert len(split.train) + len(split.valid) + len(split.test) == len(rows)


def test_timestamps_are_needed() -> None:
    timeless = dataclasses.replace(interactions_of(TOY), timestamps=None)
    with pytest.raises(DataError, match="expected timestamps, found none"):
        leave_one_out(timeless, ties="file", back=0)
    assert tied_last_positives(timeless) == 0


def test_tied_last_positives_counts_users() -> None:
    assert tied_last_positives(interactions_of(TOY)) == 1
    assert tied_last_positives(interactions_of([(0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 2, 2)])) == 1


def test_the_digest_covers_data_and_rule() -> None:
    toy = interactions_of(TOY)
    other: Interactions = dataclasses.replace(toy, digest="1" * 64)
    digests = {leave_one_out(data, ties=rule, back=0).digest for data in (toy, other) for rule in ("file", "item_id")}
    assert len(digests) == 4
    assert leave_one_out(toy, ties="file", back=0).digest == leave_one_out(toy, ties="file", back=0).digest


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"split\.ties"):
        component("split", SPLITS, {"name": "leave_one_out", "ties": "random"})
    with pytest.raises(ConfigError, match=r"split\.name: expected one of cold_items, leave_one_out, .*, got 'ratios'"):
        component("split", SPLITS, {"name": "ratios"})


BAD = [
    ("ratio", {"valid": 0.0}, "split.valid: .*greater than 0"),
    ("ratio", {"valid": 0.6, "test": 0.5}, r"split.test: .*split.valid \+ split.test below 1.*, got 0.5"),
    ("ratio", {"by": "item"}, "split.by: "),
    ("ratio", {"order": "reverse"}, "split.order: "),
    ("random", {"valid": 0.5, "test": 0.5}, r"split.test: .*below 1"),
    ("random", {"folds": 1}, "split.folds: "),
    ("random", {"folds": 5, "fold": 5}, "split.fold: .*expected 0 to 4, as split.folds=5, got 5"),
    ("random", {"seed": -1}, "split.seed: "),
    ("temporal", {"valid_from": 0.9}, "split.test_from: .*expected later than split.valid_from, which is 0.9, got 0.9"),
    ("temporal", {"valid_from": 1.5}, "split.valid_from: .*less than 1"),
    ("temporal", {"valid_from": "soon"}, "split.valid_from: .*such as 0.8, or a date, such as 1998-03-01, got 'soon'"),
    ("temporal", {"valid_from": "1998-03-01"}, "split.test_from: .*a share or a date as split.valid_from is"),
    ("temporal", {"valid_from": "1998-03-01", "test_from": "1998-02-01"}, "split.test_from: .*expected later than"),
]


@pytest.mark.parametrize(("name", "changed", "complaint"), BAD)
def test_bad_settings_are_refused_before_there_is_data(name: str, changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        component("split", SPLITS, keys_of("split", name) | changed)


# What holds for every way to split, whatever the positives.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "leave one out": ("leave_one_out", {"ties": "item_id"}),
    "by user in time": ("ratio", {"ties": "item_id", "valid": 0.2, "test": 0.3}),
    "overall in time": ("ratio", {"ties": "item_id", "by": "overall", "valid": 0.2, "test": 0.3}),
    "by user at random": ("ratio", {"order": "random", "valid": 0.3, "test": 0.2}),
    "random by user": ("random", {"valid": 0.2, "test": 0.3}),
    "random overall": ("random", {"by": "overall", "valid": 0.2, "test": 0.3}),
    "a fold by user": ("random", {"folds": 3, "fold": 1}),
    "a fold overall": ("random", {"folds": 4, "fold": 3, "by": "overall"}),
    "shares of time": ("temporal", {"valid_from": 0.4, "test_from": 0.7}),
    "dates": ("temporal", {"valid_from": "1970-01-01T00:00:03", "test_from": "1970-01-01T00:00:05"}),
}
TIMELESS = [way for way, (name, changed) in WAYS.items() if name == "random" or changed.get("order") == "random"]
POSITIVES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60,
    unique_by=lambda row: row[:2],
)  # fmt: skip


def split_or_none(way: str, interactions: Interactions) -> Split | None:
    """The split; None where a temporal one refuses to leave a part empty."""
    name, changed = WAYS[way]
    try:
        return made(name, interactions, **changed)
    except DataError as error:
        if name != "temporal" or "leaves no positive for" not in str(error):
            raise
        return None


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(rows=POSITIVES)
def test_every_positive_is_in_one_part_or_dropped_with_a_user_of_no_training_positive(
    way: str, rows: list[tuple[int, int, int]]
) -> None:
    split = split_or_none(way, interactions_of(rows))
    if split is None:
        return
    times = {row[:2]: row[2] for row in rows}
    kept = Counter(pair for part in (split.train, split.valid, split.test) for pair in pairs(part))
    assert set(kept.values()) <= {1}
    assert kept.keys() <= times.keys()
    lost = times.keys() - kept.keys()
    assert len(lost) == split.dropped
    trained = set(split.train.users.tolist())
    assert not {user for user, _ in lost} & trained
    assert {*split.valid.users.tolist(), *split.test.users.tolist()} <= trained
    for part in (split.train, split.valid, split.test):
        assert part.users.tolist() == sorted(part.users.tolist())
        assert part.timestamps is not None
        assert part.timestamps.tolist() == [times[pair] for pair in pairs(part)]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None)
@given(rows=POSITIVES, order=st.randoms(use_true_random=False))
def test_a_split_is_determined_by_its_settings_and_not_by_the_order_of_the_file(
    way: str, rows: list[tuple[int, int, int]], order: Any
) -> None:
    shuffled = order.sample(rows, len(rows))
    one, same, other = (split_or_none(way, interactions_of(r)) for r in (rows, rows, shuffled))
    assert (one is None) == (same is None) == (other is None)
    if one is None or same is None or other is None:
        return
    for part in ("train", "valid", "test"):
        assert pairs(getattr(one, part)) == pairs(getattr(same, part)) == pairs(getattr(other, part))
    assert one.digest == same.digest == other.digest


@pytest.mark.parametrize("way", ["shares of time", "dates", "overall in time"])
@settings(max_examples=60, deadline=None)
@given(rows=POSITIVES)
def test_no_part_is_later_than_a_later_one_of_whatever_user(way: str, rows: list[tuple[int, int, int]]) -> None:
    split = split_or_none(way, interactions_of(rows))
    if split is None:
        return
    assert split.in_time_overall
    parts = [part.timestamps for part in (split.train, split.valid, split.test)]
    for earlier, later in ((0, 1), (0, 2), (1, 2)):
        if len(parts[earlier]) and len(parts[later]):
            gap = parts[later].min() - parts[earlier].max()
            assert gap >= 0 if way == "overall in time" else gap > 0


def by_hand(n: int, valid: float, test: float) -> tuple[int, int]:
    """How many of n positives are validation and test: the share of each, but one if train keeps one."""
    tested = max(int(n * test + 1e-9), 1) if n >= 2 else 0
    validated = max(int(n * valid + 1e-9), 1) if n - tested >= 2 else 0
    return min(validated, n - tested - 1) if n else 0, tested


@pytest.mark.parametrize("name", ["ratio", "random"])
@pytest.mark.parametrize(("valid", "test"), [(0.1, 0.1), (0.25, 0.5), (0.29, 0.07)])
def test_each_user_has_its_shares(name: str, valid: float, test: float) -> None:
    rows = [(user, item, item) for user in range(101) for item in range(user + (user == 0))]
    split = made(name, interactions_of(rows), valid=valid, test=test)
    assert split.dropped == 0
    found = [np.bincount(part.users, minlength=101).tolist() for part in (split.valid, split.test)]
    assert list(zip(*found))[1:] == [by_hand(n, valid, test) for n in range(1, 101)]
    assert found[1][100] == round(100 * test)
    assert found[0][100] == round(100 * valid)


def test_in_time_the_last_ones_are_held_out() -> None:
    rows = [(user, item, 7 * item % 10) for user in range(2) for item in range(10)]
    split = made("ratio", interactions_of(rows), valid=0.3, test=0.2)
    assert split.in_time
    for user in range(2):
        for part, times in ((split.train, range(5)), (split.valid, range(5, 8)), (split.test, range(8, 10))):
            assert part.timestamps is not None
            assert part.timestamps[part.users == user].tolist() == list(times)


def test_shares_of_all_positives_in_time_are_exact_and_unknown_users_dropped() -> None:
    rows = [(0, item, item) for item in range(8)] + [(1, 0, 8), (0, 8, 9)]
    split = made("ratio", interactions_of(rows), by="overall", valid=0.1, test=0.2)
    assert pairs(split.train) == [(0, item) for item in range(7)]
    assert pairs(split.valid) == [(0, 7)]
    assert pairs(split.test) == [(0, 8)]
    assert split.dropped == 1  # user 1's only positive


def test_positives_of_one_second_are_never_divided() -> None:
    rows = [(0, item, 100) for item in range(6)] + [(0, 6, 200), (0, 7, 200), (0, 8, 300)]
    split = made("temporal", interactions_of(rows), valid_from=0.7, test_from=0.9)
    assert [len(part) for part in (split.train, split.valid, split.test)] == [6, 2, 1]
    with pytest.raises(DataError, match=r"leaves no positive for train .* between 1970-01-01 00:01:40 and 1970-01-01"):
        made("temporal", interactions_of(rows), valid_from=0.5, test_from=0.9)
    with pytest.raises(DataError, match=r"leaves no positive for validation .*split\.valid_from=0\.7"):
        made("temporal", interactions_of(rows), valid_from=0.7, test_from=0.75)


def test_a_share_of_time_is_the_split_at_the_date_of_that_positive() -> None:
    rows = [(user, item, 86_400 * (3 * item + user)) for user in range(3) for item in range(10)]
    data = interactions_of(rows)
    share = made("temporal", data, valid_from=0.5, test_from=0.8)
    date = made("temporal", data, valid_from="1970-01-16", test_from="1970-01-25T02:00+02:00")
    assert share.digest == date.digest
    assert pairs(share.test) == pairs(date.test) == [(user, item) for user in range(3) for item in (8, 9)]


def test_users_who_come_later_than_train_are_dropped_and_items_stay() -> None:
    rows = [(0, 0, 1), (0, 1, 2), (0, 2, 5), (0, 3, 9), (1, 0, 6), (1, 1, 9)]
    split = made("temporal", interactions_of(rows), valid_from="1970-01-01T00:00:05", test_from="1970-01-01T00:00:08")
    assert (pairs(split.valid), pairs(split.test)) == ([(0, 2)], [(0, 3)])  # items that train does not know
    assert split.dropped == 2
    assert (split.num_users, split.num_items) == (2, 4)


@pytest.mark.parametrize("by", ["user", "overall"])
def test_over_the_folds_each_positive_is_tested_once(by: str) -> None:
    rows = [(user, item, 0) for user in range(12) for item in range(user, 14)]
    data = interactions_of(rows)
    folds = [made("random", data, folds=5, fold=fold, by=by, seed=3) for fold in range(5)]
    tested = Counter(pair for split in folds for pair in pairs(split.test))
    lost = sum(split.dropped for split in folds)
    assert tested.keys() == {row[:2] for row in rows} or lost
    assert set(tested.values()) == {1}
    sizes = [len(split.test) for split in folds]
    assert max(sizes) - min(sizes) <= (12 if by == "user" else lost + 1)
    assert len({split.digest for split in folds}) == 5


def test_the_only_positive_of_a_user_stays_in_train_in_every_fold() -> None:
    data = interactions_of([(user, 0, 0) for user in range(6)] + [(6, item, 0) for item in range(6)])
    for fold in range(3):
        split = made("random", data, folds=3, fold=fold)
        assert set(split.test.users.tolist()) == {6}
        assert split.dropped == 0


def test_a_share_of_test_has_no_meaning_with_folds() -> None:
    data = interactions_of([(0, item, 0) for item in range(9)])
    assert made("random", data, folds=3, test=0.1).digest == made("random", data, folds=3, test=0.2).digest


@pytest.mark.parametrize("way", TIMELESS)
def test_clicks_without_times_are_split_at_random(way: str) -> None:
    data = dataclasses.replace(interactions_of([(u, i, 0) for u in range(5) for i in range(8)]), timestamps=None)
    split = split_or_none(way, data)
    assert split is not None
    assert len(split.test)
    assert split.test.timestamps is None


def test_auto_is_time_where_there_is_time_and_otherwise_random() -> None:
    timed = interactions_of([(u, i, 5 * i % 8) for u in range(5) for i in range(8)])
    timeless = dataclasses.replace(timed, timestamps=None)
    assert made("ratio", timed).digest == made("ratio", timed, order="time").digest
    assert made("ratio", timeless).digest == made("ratio", timeless, order="random").digest
    assert made("ratio", timed).digest != made("ratio", timed, order="random").digest
    for name, changed, other in (
        ("leave_one_out", {}, "split=ratio"),
        ("ratio", {"order": "time"}, "split.order=random"),
        ("temporal", {}, "split=ratio"),
    ):
        with pytest.raises(DataError, match=rf"toy: expected timestamps, found none; split={name} .*, {other} does"):
            made(name, timeless, **changed)


def test_other_seeds_hold_out_others_and_users_differ() -> None:
    data = interactions_of([(u, i, 0) for u in range(20) for i in range(20)])
    splits = [made("random", data, seed=seed) for seed in range(3)]
    assert len({frozenset(pairs(split.test)) for split in splits}) == len({split.digest for split in splits}) == 3
    assert len({frozenset(splits[0].test.items[splits[0].test.users == user].tolist()) for user in range(20)}) > 10


def test_each_positive_is_held_out_equally_often() -> None:
    """900 draws of 2 out of 10 items: each item 180 times, give or take five standard deviations."""
    data = interactions_of([(u, i, 0) for u in range(30) for i in range(10)])
    tests = [made("random", data, seed=seed, test=0.2).test.items for seed in range(30)]
    counts = np.bincount(np.concatenate(tests), minlength=10)
    assert counts.sum() == 1800
    assert (abs(counts - 180) < 5 * (900 * 0.2 * 0.8) ** 0.5).all()


FROZEN = {
    "leave one out": "1fb78ea1c34add59",
    "by user in time": "d0e80d36c6cc124c",
    "overall in time": "57385f3fa7f916a2",
    "by user at random": "b3dd284474ed4c48",
    "random by user": "1405b8566585adbf",
    "random overall": "f70eac5f6284f87b",
    "a fold by user": "fab105f606f3c758",
    "a fold overall": "6aff75bad29c71c2",
    "shares of time": "373e5d3ebe040a23",
    "dates": "4cdd44299441d1c2",
}


@pytest.mark.parametrize("way", WAYS)
def test_splits_are_what_they_were_before(way: str) -> None:
    """Another split under the same settings would be taken for the one that finished runs were made with."""
    split = split_or_none(way, interactions_of([(u, i, (3 * i + u) % 7) for u in range(9) for i in range(u % 3, 9)]))
    assert split is not None
    content = repr([pairs(part) for part in (split.train, split.valid, split.test)]) + split.digest
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == FROZEN[way]


def test_leave_one_out_goes_back_in_time() -> None:
    data = interactions_of([(0, item, item) for item in range(5)] + [(1, item, item) for item in range(3)])
    last, before, earlier = (made("leave_one_out", data, back=back) for back in (0, 1, 2))
    assert [pairs(part) for part in (last.train, last.valid, last.test)] == [
        [(0, 0), (0, 1), (0, 2), (1, 0)], [(0, 3), (1, 1)], [(0, 4), (1, 2)]]  # fmt: skip
    assert [pairs(part) for part in (before.train, before.valid, before.test)] == [
        [(0, 0), (0, 1), (1, 0)], [(0, 2)], [(0, 3), (1, 1)]]  # fmt: skip
    assert [pairs(part) for part in (earlier.train, earlier.valid, earlier.test)] == [
        [(0, 0), (1, 0)], [(0, 1)], [(0, 2)]]  # fmt: skip
    assert [split.dropped for split in (last, before, earlier)] == [0, 2, 4]


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 9)), max_size=60, unique_by=lambda r: r[:2]
    )
)
def test_leave_one_out_back_is_leave_one_out_without_the_last_positives(rows: list[tuple[int, int, int]]) -> None:
    data = interactions_of([(user, 0, -1) for user in range(4)] + [row for row in rows if row[1]])
    back, ties = made("leave_one_out", data, back=2), "file"
    order = np.lexsort((data.timestamps, data.users))
    kept = np.sort(np.concatenate([order[data.users[order] == user][:-2] for user in range(4)]))
    fewer = dataclasses.replace(
        data, users=data.users[kept], items=data.items[kept], timestamps=data.timestamps[kept],
        ratings=data.ratings[kept])  # fmt: skip
    expected = leave_one_out(fewer, ties=ties, back=0)
    for part in ("train", "valid", "test"):
        assert pairs(getattr(back, part)) == pairs(getattr(expected, part))


def test_the_digest_covers_every_setting_that_matters() -> None:
    data = interactions_of([(u, i, 10 * i + u) for u in range(20) for i in range(20)])
    changes: dict[str, list[dict[str, Any]]] = {
        "ratio": [{}, {"by": "overall"}, {"order": "random"}, {"valid": 0.2}, {"test": 0.2}, {"ties": "item_id"}],
        "random": [{}, {"by": "overall"}, {"valid": 0.2}, {"test": 0.2}, {"folds": 5}, {"folds": 5, "fold": 1},
                   {"seed": 1}],
        "temporal": [{}, {"valid_from": 0.5}, {"test_from": 0.95}],
        "leave_one_out": [{}, {"ties": "item_id"}, {"back": 1}, {"back": 2}],
    }  # fmt: skip
    digests = [made(name, data, **changed).digest for name, all_of in changes.items() for changed in all_of]
    assert len(set(digests)) == len(digests)


def test_cold_items_have_no_training_positive_and_stay_candidates() -> None:
    rows = [(user, item, user * 50 + item) for user in range(8) for item in range(20) if (user + item) % 3]
    split = made("cold_items", interactions_of(rows), valid=0.2, test=0.1, seed=3, candidates="all")
    of = {name: set(getattr(split, name).items.tolist()) for name in ("train", "valid", "test")}
    assert not of["train"] & of["valid"]
    assert not of["train"] & of["test"]
    assert not of["valid"] & of["test"]
    assert (len(of["valid"]), len(of["test"])) == (4, 2)
    everything = sorted(pairs(split.train) + pairs(split.valid) + pairs(split.test))
    assert len(everything) + split.dropped == len(rows)
    targets = test_targets(split, "cpu")
    seen = Counter(user for user, _ in pairs(split.train) + pairs(split.valid))
    assert targets.candidates.tolist() == [split.num_items - seen[user] for user, _ in pairs(split.test)]
    cold = made("cold_items", interactions_of(rows), valid=0.2, test=0.1, seed=3)
    assert test_targets(cold, "cpu").candidates.tolist() == [2] * len(cold.test)
    assert validation_targets(cold, "cpu").candidates.tolist() == [4] * len(cold.valid)
    assert cold.digest != split.digest
    again = made("cold_items", interactions_of(rows), valid=0.2, test=0.1, seed=4)
    assert set(again.test.items.tolist()) != of["test"]
    assert again.digest != split.digest


def test_cold_items_do_not_depend_on_the_order_of_the_file_and_stay_in_time() -> None:
    rows = [(user, item, (user * 7 + item * 11) % 97) for user in range(8) for item in range(20) if (user + item) % 3]
    mixed = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    splits = [made("cold_items", interactions_of(own), valid=0.2, test=0.1, seed=3) for own in (rows, mixed)]
    for part in ("train", "valid", "test"):
        assert pairs(getattr(splits[0], part)) == pairs(getattr(splits[1], part))
    train = splits[1].train
    assert train.timestamps is not None
    assert (np.diff(train.timestamps)[np.diff(train.users) == 0] >= 0).all()


def test_too_few_items_for_cold_ones_are_refused() -> None:
    with pytest.raises(DataError, match="split=cold_items leaves no positive for train, validation or test"):
        made("cold_items", interactions_of([(0, 0, 1), (0, 1, 2)]), valid=0.1, test=0.1, seed=0)
