"""From ratings to positives: threshold, duplicates, re-indexing."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_helpers import RATINGS, MakeArchive, Prepare, interactions_of, members

from ncf.data.interactions import core
from ncf.errors import DataError

AGAIN = (*RATINGS, (1, 10, 2, 900))


def test_users_and_items_are_counted_from_zero_after_the_threshold(prepare: Prepare, archive: MakeArchive) -> None:
    data = prepare("ml-1m", archive=archive(RATINGS))
    assert (data.users.tolist(), data.items.tolist()) == ([0, 0, 0, 1], [0, 1, 2, 1])
    assert (data.user_ids.tolist(), data.item_ids.tolist()) == ([1, 2], [10, 20, 30])
    assert data.ratings.tolist() == [5, 4, 4, 5]
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [100, 200, 300, 50]
    assert (data.users.dtype, data.ratings.dtype, data.timestamps.dtype) == (np.int64, np.float32, np.int64)
    assert (data.before.ratings, data.before.users, data.before.items) == (6, 3, 4)


def test_without_threshold_every_rating_counts(prepare: Prepare, archive: MakeArchive) -> None:
    assert len(prepare("ml-1m", archive=archive(RATINGS), threshold=None)) == 6


def test_a_threshold_nobody_reaches(prepare: Prepare, archive: MakeArchive) -> None:
    with pytest.raises(DataError, match=r"no rating reaches data\.threshold=6\.0 \(the highest is 5\)"):
        prepare("ml-1m", archive=archive(RATINGS), threshold=6)


def test_a_pair_rated_twice_is_named_with_both_lines(prepare: Prepare, archive: MakeArchive) -> None:
    with pytest.raises(DataError, match=r"line 7: .*user 1 and item 10 again \(first on line 1\)"):
        prepare("ml-1m", archive=archive(AGAIN))


@pytest.mark.parametrize(("duplicates", "positives"), [("first", 4), ("last", 3)])
def test_a_pair_rated_twice_can_keep_one(
    prepare: Prepare, archive: MakeArchive, duplicates: str, positives: int
) -> None:
    assert len(prepare("ml-1m", archive=archive(AGAIN), duplicates=duplicates)) == positives


def test_the_digest_covers_content_and_settings_but_not_the_place(
    prepare: Prepare, tmp_path: Path, archive: MakeArchive
) -> None:
    first = prepare("ml-1m", archive=archive(RATINGS))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in members("ml-1m").items():
        (folder / name.rpartition("/")[2]).write_bytes(data)
    assert prepare("ml-1m", archive=str(folder)).digest == first.digest
    assert prepare("ml-1m", archive=str(folder), threshold=3).digest != first.digest
    assert prepare("ml-1m", archive=archive(RATINGS[:-1])).digest != first.digest


def test_an_empty_catalogue_gives_empty_titles(prepare: Prepare, tmp_path: Path) -> None:
    for name, data in members("ml-1m").items():
        (tmp_path / name.rpartition("/")[2]).write_bytes(data if "ratings" in name else b"")
    with pytest.raises(DataError, match=r"movies\.dat: expected lines of text, found an empty file"):
        prepare("ml-1m", archive=str(tmp_path))
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n")
    lines = [",".join(map(str, row)) for row in RATINGS]
    (tmp_path / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines]))
    data = prepare("ml-20m", archive=str(tmp_path))
    assert data.titles is not None
    assert data.titles.tolist() == ["", "", ""]


def naive_core(pairs: set[tuple[int, int]], least_user: int, least_item: int) -> set[tuple[int, int]]:
    """Drop one user or item at a time until there is none to drop."""
    while True:
        users, items = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        few = [p for p in pairs if users[p[0]] < least_user or items[p[1]] < least_item]
        if not few:
            return pairs
        user, item = few[0]
        pairs = {p for p in pairs if (p[0] != user if users[user] < least_user else p[1] != item)}


@pytest.mark.parametrize("least", [(2, 2), (3, 3), (1, 4), (4, 0), (5, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_the_core_is_the_fixed_point(least: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, 25, (130, 2))})
    _, users = np.unique([u for u, _ in pairs], return_inverse=True)
    _, items = np.unique([i for _, i in pairs], return_inverse=True)
    data = interactions_of([(int(u), int(i), row) for row, (u, i) in enumerate(zip(users, items, strict=True))])
    expected = naive_core(set(zip(users.tolist(), items.tolist(), strict=True)), *least)
    if not expected:
        with pytest.raises(DataError, match=rf"no positive is left under data\.min_user_positives={least[0]}"):
            core(data, *least)
        return
    kept = core(data, *least)
    found = zip((kept.user_ids[kept.users] - 100).tolist(), (kept.item_ids[kept.items] - 1000).tolist(), strict=True)
    assert set(found) == expected
    assert np.array_equal(np.unique(kept.users), np.arange(kept.num_users))
    assert np.array_equal(np.unique(kept.items), np.arange(kept.num_items))
    assert kept.digest != data.digest


def test_a_core_of_one_changes_nothing() -> None:
    data = interactions_of([(0, 0, 1), (1, 1, 2)])
    for least in ((0, 0), (1, 0), (1, 1)):
        assert core(data, *least) is data


def test_every_data_set_has_a_core(prepare: Prepare, archive: MakeArchive, tmp_path: Path) -> None:
    data = prepare("ml-1m", archive=archive(RATINGS), min_item_positives=2)
    assert (data.user_ids.tolist(), data.item_ids.tolist(), len(data)) == ([1, 2], [20], 2)
    assert data.titles is not None
    assert data.titles.tolist() == ["Two (1996)"]
    assert data.before.ratings == 6
    (tmp_path / "x.csv").write_text("user_id,item_id,rating,timestamp\na,x,5,1\na,y,5,2\nb,x,5,3\n")
    assert prepare("csv", archive=str(tmp_path / "x.csv"), min_user_positives=2).user_ids.tolist() == ["a"]
    small = {"users": 50, "items": 60, "interactions": 400}
    assert np.bincount(prepare("synthetic", **small, min_item_positives=5).items).min() >= 5
