"""Times below a second, from the file to the split: the future stays out of train; whole seconds stay as they were."""

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from data_helpers import Prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import keys_of

from ncf.core.config import component
from ncf.data import SPLITS, Interactions, Split
from ncf.data.cache import cached
from ncf.data.interactions import digest_of

HEADER = "user_id,item_id,rating,timestamp\n"
START = 1_577_872_800_000  # milliseconds: 2020-01-01T10:00:00Z


def load(prepare: Prepare, tmp_path: Path, text: str, **changes: Any) -> Interactions:
    (tmp_path / "x.csv").write_text(text)
    return prepare("csv", archive=str(tmp_path / "x.csv"), **changes)


def split_of(data: Interactions, name: str, **changed: Any) -> Split:
    split: Split = component("split", SPLITS, keys_of("split", name) | changed)(data)
    return split


def newest_first(form: str) -> str:
    """Items 5, 4, ... 0 of a user at .500, .400, ... 0 of one second, latest first in the file; and a second user."""
    times = {"ms": [f"{START + 100 * item}" for item in range(6)],
             "iso": [f"2020-01-01T10:00:00.{item}Z" for item in range(6)]}[form]  # fmt: skip
    rows = [f"{user},{item},5,{times[item]}\n" for user in (1, 2) for item in (5, 4, 3, 2, 1, 0)]
    return HEADER + "".join(rows)


@pytest.mark.parametrize("form", ["ms", "iso"])
@pytest.mark.parametrize("ties", ["file", "reverse_file", "item_id"])
def test_what_is_latest_within_a_second_is_held_out(form: str, ties: str, prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, newest_first(form), time=form)
    assert data.timestamps is not None
    assert set(data.timestamps.tolist()) == {START // 1000}
    split = split_of(data, "leave_one_out", ties=ties)
    assert (split.train.items.tolist(), split.valid.items.tolist()) == ([0, 1, 2, 3] * 2, [4, 4])
    assert split.test.items.tolist() == [5, 5]


@pytest.mark.parametrize("form", ["ms", "iso"])
def test_shares_and_temporal_cuts_are_as_fine(form: str, prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, newest_first(form), time=form)
    for by in ("user", "overall"):
        split = split_of(data, "ratio", by=by, valid=0.17, test=0.17)
        assert sorted(split.train.items.tolist()) == sorted([0, 1, 2, 3] * 2)
        assert set(split.valid.items.tolist()) == {4}
        assert set(split.test.items.tolist()) == {5}
    cuts = ({"valid_from": 0.5, "test_from": 0.75},
            {"valid_from": "2020-01-01T10:00:00.300", "test_from": "2020-01-01T10:00:00.4"})  # fmt: skip
    for cut in cuts:
        split = split_of(data, "temporal", **cut)
        assert [part.items.tolist() for part in (split.train, split.valid, split.test)] == [
            [0, 1, 2, 0, 1, 2], [3, 3], [4, 5, 4, 5],
        ]  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(8)), st.lists(st.integers(0, 2500), min_size=8, max_size=8, unique=True))
def test_the_split_is_that_of_the_whole_times_whatever_the_order_of_the_file(
    prepare: Prepare, tmp_path: Path, order: list[int], millis: list[int]
) -> None:
    text = HEADER + "".join(f"7,{item},5,{START + millis[item]}\n" for item in order)
    split = split_of(load(prepare, tmp_path, text, time="ms"), "leave_one_out")
    by_time = sorted(range(8), key=millis.__getitem__)
    assert [*split.train.items, *split.valid.items, *split.test.items] == by_time


def test_a_core_keeps_them(prepare: Prepare, tmp_path: Path) -> None:
    text = newest_first("ms") + f"3,0,5,{START + 7}\n"
    data = load(prepare, tmp_path, text, time="ms", min_user_positives=2, min_item_positives=2)
    assert data.subseconds is not None
    assert len(data.subseconds) == len(data.users) == 12
    assert split_of(data, "leave_one_out").test.items.tolist() == [5, 5]


def old_digest(path: Path, time: str) -> str:
    """What identified the positives of a file when times were still cut to seconds."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = ["user_id", "item_id", "rating", "timestamp"]
    return digest_of(
        ratings=found, threshold=4.0, duplicates="error", delimiter=",", columns=None, wanted=wanted, time=time
    )


def test_cached_they_come_back(prepare: Prepare, tmp_path: Path) -> None:
    first, again = (load(prepare, tmp_path, newest_first("ms"), time="ms") for _ in range(2))
    assert first is not again
    assert first.subseconds is not None
    assert first.subseconds.dtype == np.int32
    assert first.subseconds.tolist() == [100_000_000 * item for item in (5, 4, 3, 2, 1, 0)] * 2
    assert np.array_equal(first.subseconds, again.subseconds)
    assert len(list((tmp_path / "root/processed").glob("*.npz"))) == 1


@pytest.mark.parametrize("form", ["ms", "iso"])
def test_what_was_cached_with_cut_times_is_not_used(form: str, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(newest_first(form))
    digest = old_digest(tmp_path / "x.csv", form)
    cut = replace(load(prepare, tmp_path, newest_first(form), time=form), subseconds=None, digest=digest)
    cached(tmp_path / "old", "csv", digest_of(data=digest, scale=None, name="x"), lambda: cut)
    data = load(prepare, tmp_path, newest_first(form), time=form, root=str(tmp_path / "old"))
    assert split_of(data, "leave_one_out").test.items.tolist() == [5, 5]
    assert data.digest != digest  # so that a run on the cut times is not resumed with the whole ones


@pytest.mark.parametrize("broken", [np.full(12, 10**9, np.int32), np.full(12, -1, np.int32), np.zeros(3, np.int32)])
def test_cached_ones_that_no_time_has_are_built_again(broken: np.ndarray, prepare: Prepare, tmp_path: Path) -> None:
    data = load(prepare, tmp_path, newest_first("ms"), time="ms")
    cached(tmp_path, "forged", "ab" * 32, lambda: replace(data, subseconds=broken))
    assert cached(tmp_path, "forged", "ab" * 32, lambda: data) is data


_REFERENCE = {  # of the positives, and of a split in time for each user, made before sub-seconds were kept
    "s": ("b4b6f3c1cb6ecd122f22ed977e9155108912d6cef87b30a19d0989b6a1e217cb", "a0475e39a0ba9975"),
    "ms": ("dd4cafebe39795f0b1541ba40ecdba8dc455ac39acf715949f26482bf83af9f0", "08263939ab1a1042"),
    "iso": ("9c950e29c73dc09559878aedb238610fbae598c9df8b9ab0164f77673a2141c2", "bde38044635039d8"),
}


@pytest.mark.parametrize("form", ["s", "ms", "iso"])
def test_whole_seconds_are_what_they_were(form: str, prepare: Prepare, tmp_path: Path) -> None:
    moments = {(user, item): user * 7 + item * 3 for user, item in itertools.product(range(4), range(6))}
    written = {at: f"2020-01-01T00:00:{n:02d}Z" if form == "iso" else str(1000 * n) for at, n in moments.items()}
    text = HEADER + "".join(f"{user},{item},5,{written[user, item]}\n" for user, item in moments)
    data = load(prepare, tmp_path, text, time=form)
    assert data.subseconds is None
    split = split_of(data, "leave_one_out")
    assert (data.digest, split.digest[:16]) == _REFERENCE[form]
    assert form == "s" or data.digest == old_digest(tmp_path / "x.csv", form)
    assert split.test.subseconds is None


def test_the_cache_of_whole_seconds_is_the_same_file(prepare: Prepare, tmp_path: Path) -> None:
    text = HEADER + "".join(f"{u},{i},5,{1000 * (u * 7 + i * 3)}\n" for u, i in itertools.product(range(4), range(6)))
    load(prepare, tmp_path, text)
    (kept,) = (tmp_path / "root/processed").glob("*.npz")
    assert kept.name == "csv-8b1777a8a76705a9.npz"
    assert "subseconds.npy" not in ZipFile(kept).namelist()
