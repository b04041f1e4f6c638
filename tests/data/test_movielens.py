"""The official layouts, built small, and the real MovieLens-100K."""

from pathlib import Path

import pytest
from data_helpers import RATINGS, RELEASE_NAMES, Prepare, members, ratings_text, settings, write_zip

from ncf.core.config import component
from ncf.data import DATASETS, SPLITS
from ncf.data.splitting import tied_last_positives
from ncf.errors import ConfigError, DataError


@pytest.mark.parametrize("name", RELEASE_NAMES)
@pytest.mark.parametrize("form", ["zip", "folder", "flat folder", "bare file"])
def test_every_release_reads_from_every_form(prepare: Prepare, tmp_path: Path, name: str, form: str) -> None:
    contents = members(name)
    where = tmp_path / "Größe und Raum"  # blanks and letters beyond ASCII in the path
    where.mkdir()
    if form == "zip":
        path = write_zip(where / "set.zip", contents)
    else:
        for member, data in contents.items():
            target = where / (member if form == "folder" else member.rpartition("/")[2])
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
        path = where / next(iter(contents)).rpartition("/")[2] if form == "bare file" else where
    data = prepare(name, archive=str(path))
    assert (data.users.tolist(), data.items.tolist(), data.name) == ([0, 0, 0, 1], [0, 1, 2, 1], name)
    assert data.titles is not None
    assert data.genres is not None
    assert data.titles.tolist() == ["Élan, The (1995)", "Two (1996)", ""]  # movie 30 is not in the list
    assert data.genres.tolist() == ["Comedy|Drama", "War", ""]


@pytest.mark.parametrize(
    ("name", "row", "complaint"),
    [
        ("ml-100k", (9, 9, 6, 9), "a rating from 1 to 5 in steps of 1, found '6'"),
        ("ml-1m", (9, 9, 0, 9), "a rating from 1 to 5 in steps of 1, found '0'"),
        ("ml-1m", (9, 9, 3.5, 9), "a rating from 1 to 5 in steps of 1, found '3.5'"),
        ("ml-20m", (9, 9, 0.7, 9), "a rating from 0.5 to 5 in steps of 0.5, found '0.7'"),
        ("ml-20m", (9, 9, -1, 9), "a rating from 0.5 to 5 in steps of 0.5, found '-1'"),
        ("ml-1m", (9, 9, 4, -9), "timestamp in whole seconds since 1970, before the year 2100, found '-9'"),
        ("ml-1m", (9, 9, 4, 978300760000), "timestamp in whole seconds since 1970, before the year 2100"),
        ("ml-10m", (9, "9x", 4, 9), "movieId as a 64-bit integer, found '9x'"),
        ("ml-10m", (9, 9, 4), "expected 4 fields (userId, movieId, rating, timestamp) separated by '::', found '3:"),
        ("ml-100k", (9, 9, 4, 9, 9), "expected 4 fields (userId, movieId, rating, timestamp) separated by tabs"),
    ],
)
def test_the_bad_line_is_named(prepare: Prepare, tmp_path: Path, name: str, row: tuple, complaint: str) -> None:
    path = write_zip(tmp_path / "set.zip", members(name, ratings_text(name, (*RATINGS[:2], row, *RATINGS[2:]))))
    line = 4 if name == "ml-20m" else 3
    with pytest.raises(DataError) as caught:
        prepare(name, archive=str(path))
    assert f", line {line}: " in str(caught.value)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "an empty file"),
        (b"userId,movieId,rating\n", "the header"),
        (b"userId,movieId,rating,timestamp\n", "at least one rating"),
    ],
)
def test_files_without_ratings(prepare: Prepare, tmp_path: Path, text: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        prepare("ml-20m", archive=str(write_zip(tmp_path / "set.zip", members("ml-20m", text))))


def test_movies_are_read_strictly_too(prepare: Prepare, tmp_path: Path) -> None:
    contents = members("ml-1m") | {"ml-1m/movies.dat": b"10::One::War\n10::One::War\n"}
    with pytest.raises(DataError, match=r"movies\.dat, line 2: expected each movie once \(first on line 1\)"):
        prepare("ml-1m", archive=str(write_zip(tmp_path / "set.zip", contents)))


def test_a_set_without_movies_has_no_titles(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_bytes(ratings_text("ml-1m"))
    assert prepare("ml-1m", archive=str(tmp_path)).titles is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"treshold": 4}, "data.treshold: unknown key, expected one of archive, duplicates, "
                          "item_features, item_features_sha256, min_item_positives, min_user_positives, root, scale, "
                          "sha256, threshold, url, user_features, user_features_sha256 (did you mean 'threshold'?)"),
        ({"threshold": "high"}, "data.threshold: "),
        ({"threshold": float("nan")}, "data.threshold: "),
        ({"duplicates": "ignore"}, "data.duplicates: "),
        ({"sha256": "abc"}, "data.sha256: "),
        ({"url": "file:///etc/passwd"}, "data.url: "),
        ({"scale": [1, 5]}, "data.scale: "),
        ({"name": "ml-2m"}, "data.name: expected one of csv, ml-100k"),
        ({"_target_": "os.system"}, "data._target_: unknown key"),
    ],
)  # fmt: skip
def test_bad_settings_fail_before_any_file_is_looked_for(changes: dict, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        component("data", DATASETS, settings("ml-1m", root="/nonexistent") | changes)
    assert complaint in str(caught.value)


def test_a_scale_must_be_one(prepare: Prepare) -> None:
    with pytest.raises(ConfigError, match=r"data\.scale: expected \[lowest, highest, step\]"):
        prepare("ml-1m", scale=[5, 1, 1])


@pytest.mark.parametrize("name", [*RELEASE_NAMES, "synthetic"])
def test_every_yaml_is_complete(name: str) -> None:
    component("data", DATASETS, settings(name))


def test_movielens_100k_is_what_the_protocol_says(official_root: Path) -> None:
    data = component("data", DATASETS, settings("ml-100k", root=str(official_root)))()
    split = component("split", SPLITS, {"name": "leave_one_out", "ties": "file"})(data)
    assert (len(data), data.num_users, data.num_items) == (55_375, 942, 1_447)
    assert (len(split.train), len(split.valid), len(split.test)) == (53_491, 942, 942)
    assert tied_last_positives(data) == 305
    assert (data.before.ratings, data.before.users, data.before.items) == (100_000, 943, 1_682)
    assert data.titles is not None
    assert data.genres is not None
    described = dict(zip(data.item_ids.tolist(), zip(data.titles.tolist(), data.genres.tolist())))
    assert described[1] == ("Toy Story (1995)", "Animation|Children's|Comedy")
    assert described[543] == ("Misérables, Les (1995)", "Drama|Musical")
    assert described[267] == ("unknown", "unknown")
