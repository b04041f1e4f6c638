"""Titles and genres, in one form whichever file they come from."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import MOVIES, movies_text

from ncf.data.archive import Folder
from ncf.data.catalogue import Catalogue, read_catalogue
from ncf.errors import DataError

FILES = {"u.item": "ml-100k", "movies.dat": "ml-10m", "movies.csv": "ml-25m"}
WHEEL = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n"
    "267\tunkonwn\tunkonwn\tunkonwn\n"
)


def found(folder: Path, *members: str, encoding: str = "utf-8") -> Catalogue | None:
    return read_catalogue(Folder(folder), members, encoding)


@pytest.mark.parametrize("file", FILES)
def test_every_official_file_gives_the_same_catalogue(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(movies_text(FILES[file]))
    catalogue = found(tmp_path, file)
    assert catalogue is not None
    assert list(zip(catalogue.ids.tolist(), catalogue.titles.tolist(), catalogue.genres.tolist())) == list(MOVIES)
    assert (catalogue.ids.dtype, catalogue.titles.dtype.kind, catalogue.genres.dtype.kind) == (np.int64, "U", "U")


def test_the_copy_in_the_wheel_gives_title_and_year_and_its_one_movie_without_them(tmp_path: Path) -> None:
    (tmp_path / "ml-100k.item").write_text(WHEEL)
    catalogue = found(tmp_path, "u.item", "ml-100k.item")
    assert catalogue is not None
    assert catalogue.ids.tolist() == [1, 267]
    assert catalogue.titles.tolist() == ["Toy Story (1995)", "unknown"]
    assert catalogue.genres[0] == "Animation|Children's|Comedy"


def test_the_first_file_that_is_there_counts(tmp_path: Path) -> None:
    (tmp_path / "ml-100k.item").write_text(WHEEL)
    (tmp_path / "u.item").write_bytes(movies_text("ml-100k"))
    catalogue = found(tmp_path, "u.item", "ml-100k.item")
    assert catalogue is not None
    assert catalogue.titles[0] == MOVIES[0][1]


def test_without_a_file_there_is_no_catalogue(tmp_path: Path) -> None:
    assert found(tmp_path, "u.item", "ml-100k.item") is None


def test_a_file_without_movies_is_an_empty_catalogue(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n")
    catalogue = found(tmp_path, "movies.csv")
    assert catalogue is not None
    assert [len(column) for column in (catalogue.ids, catalogue.titles, catalogue.genres)] == [0, 0, 0]


def test_old_titles_are_latin_1_and_new_ones_utf_8(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes("1::Élan (1995)::Drama\n".encode("latin-1"))
    catalogue = found(tmp_path, "movies.dat", encoding="latin-1")
    assert catalogue is not None
    assert catalogue.titles.tolist() == ["Élan (1995)"]
    with pytest.raises(DataError, match=r"movies\.dat, line 1: expected utf-8 text"):
        found(tmp_path, "movies.dat")


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "movies.dat",
            "1::One::War\n2::Two::War\n1::One::War\n",
            r"line 3: .*first on line 1\), found 'movie 1 again'",
        ),
        ("movies.csv", "movieId,title,genres\n1,One,War\n1,One,War\n", r"line 3: .*first on line 2\)"),
        ("movies.dat", "1::One\n", r"line 1: expected 3 fields"),
        ("movies.csv", "movieId,title,genres\nx,One,War\n", r"line 2: expected movieId as a 64-bit integer, found 'x'"),
        ("movies.csv", "", r"an empty file"),
    ],
)
def test_the_bad_line_is_named(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=complaint):
        found(tmp_path, file)


def test_a_catalogue_many_times_as_large_as_any_is_refused_before_it_is_held(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + "1,,\n" * 250_001)
    with pytest.raises(DataError, match=r"movies\.csv: expected at most 250,000 movies in 33,554,432 bytes"):
        found(tmp_path, "movies.csv")


def test_one_endless_title_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(f"movieId,title,genres\n1,{'x' * 513},\n")
    with pytest.raises(DataError, match=r"line 2: expected title and genres of at most 512 characters, found '513'"):
        found(tmp_path, "movies.csv")
