"""Vectors of words: trained the same for the same seed, or read; items as sums of them."""

import hashlib
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from ncf.data.feature_files import Column
from ncf.data.word_vectors import WordSettings, read_word_vectors, sentences, text_vectors
from ncf.errors import ConfigError, DataError

COLUMNS = [
    Column("title", "text", np.array(["Star Wars", "The Star", "Love"])),
    Column("genres", "category", np.array(["War|Drama", "War", ""])),
    Column("year", "number", np.array([1977.0, np.nan, 3.5])),
]
FILE = "3 2\nstar 1 0\nWAR 0 2\nother 5 5\n"


def settings(path: Path | None = None, seed: int = 0) -> WordSettings:
    return WordSettings(None if path is None else str(path), None, dimensions=8, epochs=2, seed=seed)


def test_a_sentence_has_words_categories_and_decades() -> None:
    assert sentences(COLUMNS, ["the"]) == [
        ["star", "wars", "war", "drama", "1970s"], ["star", "war"], ["love"],
    ]  # fmt: skip


def test_training_is_decided_by_the_seed() -> None:
    pytest.importorskip("gensim")
    first, again, other = (text_vectors(COLUMNS, [], settings(seed=seed), "toy") for seed in (0, 0, 1))
    assert first.shape == (3, 8)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1)


def test_training_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        text_vectors(COLUMNS, [], settings(), "toy")
    assert not caplog.records


def test_items_are_sums_of_the_words_in_a_file_rare_ones_counting_more(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(FILE)
    found = text_vectors(COLUMNS, [], settings(path), "toy")
    np.testing.assert_allclose(found[1], np.array([1, 2]) / np.sqrt(5))  # star and war are equally rare
    np.testing.assert_allclose(found[0], found[1])
    assert not found[2].any()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("star 1 0\nwar 1\n", "line 2: expected a word and 2 numbers, found '1 numbers'"),
        ("star 1 x\n", "line 1: expected numbers after the word, found '1 x'"),
        ("star 1 1e200\n", "line 1: expected finite numbers after the word, below 1e150, found '1 1e200'"),
        (
            "3 2\nstar 1 0\n",
            "expected 3 words of 2 numbers, as its first line says, found 1 of 2; the file is incomplete",
        ),
        (
            "1 3\nstar 1 0\n",
            "expected 1 words of 3 numbers, as its first line says, found 1 of 2; the file is incomplete",
        ),
        ("star 1 nan\n", "line 1: expected finite numbers after the word"),
        ("other 1 2\n", "expected vectors of words of the data, such as 'star', found none"),
        ("", "expected lines of text, found an empty file"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_word_vectors(path, {"star", "war"})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_and_a_changed_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    with pytest.raises(DataError, match=r"^model\.word_file: no such file"):
        read_word_vectors(path, {"star"})
    path.write_text(FILE)
    digest = hashlib.sha256(FILE.encode()).hexdigest()
    assert set(read_word_vectors(path, {"star", "war"}, digest)) == {"star", "war"}
    path.write_text(FILE + "x 1 1\n")
    with pytest.raises(DataError, match=r"\(model\.word_file_sha256\)"):
        read_word_vectors(path, {"star"}, digest)


def test_without_gensim_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(ConfigError, match=r"^model\.words: gensim is not installed; pip install 'ncf\[content\]'"):
        text_vectors(COLUMNS, [], settings(), "toy")


def test_no_words_are_said() -> None:
    with pytest.raises(DataError, match=r"^toy: expected words or categories to learn vectors of, found none$"):
        text_vectors([Column("x", "text", np.array(["", "12"]))], [], settings(), "toy")


def test_a_word_counts_by_the_rows_that_have_it_and_not_by_how_often(tmp_path: Path) -> None:
    """Of four rows two have a, thrice and once, and one has b."""
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 0\nb 0 1\nA 9 9\n")  # of two spellings of a word, the first
    found = text_vectors([Column("title", "text", np.array(["a a a b", "a", "c", "c"]))], [], settings(path), "toy")
    expected = np.array([3 * (np.log(5 / 3) + 1), np.log(5 / 2) + 1])
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected))
