"""From ratings to positives: threshold, duplicates, re-indexing."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import RATINGS, MakeArchive, Prepare, members

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
