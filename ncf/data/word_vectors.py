"""Vectors of words, trained on the texts of items or read from a file, and of items as the sum of their words',
each times its inverse frequency.

Trained by skip-gram with negative sampling (Mikolov et al. 2013) on one sentence an item: its words, its categories and
the decades of its years, by gensim, of the extra `content`.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncf.data.archive import CheckedStream, open_data, sha256_of_file
from ncf.data.compressed import text_stream
from ncf.data.feature_blocks import WORD
from ncf.data.feature_files import Column
from ncf.data.table import lines_of, refuse
from ncf.errors import ConfigError, DataError

_MOST_WORDS, _MOST_DIMENSIONS = 5_000_000, 2000
_WINDOW = 50  # longer than any title: all words of an item are each other's context
_LARGEST = 1e150  # whose square is a number
_YEARS = (1000, 3000)  # a number in this range may be a year


@dataclass(frozen=True)
class WordSettings:
    """How the vectors of words are come by.

    Attributes:
        file: path of a file of vectors, a word and its numbers a line; None: they are trained.
        sha256: of the file.
        dimensions: of vectors that are trained.
        epochs: passes over the texts.
        seed: of the training.
    """

    file: str | None
    sha256: str | None
    dimensions: int
    epochs: int
    seed: int


def text_vectors(
    columns: Sequence[Column], stop_words: Sequence[str], settings: WordSettings, label: str
) -> np.ndarray:
    """Return vectors (R, D) float64 of length 1 of all rows, 0 where no word is known.

    Raises:
        ConfigError: gensim, of the extra `content`, is not installed.
        DataError: the rows have no words, or none of them is in the file; or the file is wrong.
    """
    texts = sentences(columns, stop_words)
    if not any(texts):
        raise DataError(f"{label}: expected words or categories to learn vectors of, found none")
    words = _trained(texts, settings) if settings.file is None else read_word_vectors(
        Path(settings.file), {word for text in texts for word in text}, settings.sha256
    )  # fmt: skip
    rarity = _inverse_frequencies(texts)
    width = len(next(iter(words.values())))
    found = np.zeros((len(texts), width))
    for row, text in enumerate(texts):
        for word in text:
            if word in words:
                found[row] += rarity[word] * words[word]
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)


def _inverse_frequencies(texts: list[list[str]]) -> dict[str, float]:
    """Return word -> ln((1 + R) / (1 + rows that have it)) + 1, as in TF-IDF."""
    counts = Counter(word for text in texts for word in set(text))
    return {word: float(np.log((1 + len(texts)) / (1 + count)) + 1) for word, count in counts.items()}


def sentences(columns: Sequence[Column], stop_words: Sequence[str]) -> list[list[str]]:
    """Return the words of each row (R,): of texts in lower case, categories, and decades such as `1990s`."""
    left_out = {word.lower() for word in stop_words}
    rows: list[list[str]] = [[] for _ in columns[0].values]
    for column in columns:
        for row, value in zip(rows, column.values):
            row += [word for word in _words(column, value) if word not in left_out]
    return rows


def _words(column: Column, value: Any) -> list[str]:
    if column.kind == "text":
        return re.findall(WORD, str(value).lower())
    if column.kind == "category":
        return [part.lower() for part in str(value).split("|") if part]
    is_year = np.isfinite(value) and _YEARS[0] <= value <= _YEARS[1]
    return [f"{int(value) // 10 * 10}s"] if is_year else []


def _trained(texts: list[list[str]], settings: WordSettings) -> Mapping[str, np.ndarray]:
    """Return word -> vector (D,), the same for the same texts and seed."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise ConfigError("model.words: gensim is not installed; pip install 'ncf[content]' brings it, and "
                          "model.word_file=<file> does without") from None  # fmt: skip
    logging.getLogger("gensim").setLevel(logging.WARNING)  # it logs each model's life, which is no news of a run
    model = Word2Vec(
        sentences=texts, vector_size=settings.dimensions, window=_WINDOW, min_count=1, sg=1, negative=5,
        epochs=settings.epochs, seed=settings.seed, workers=1,
    )  # fmt: skip
    return {word: model.wv[word].astype(np.float64) for word in model.wv.index_to_key}


def read_word_vectors(path: Path, wanted: set[str], sha256: str | None = None) -> dict[str, np.ndarray]:
    """Return word -> vector (D,) of the `wanted` words in a file: a word and D numbers a line, separated by blanks.

    A first line with the numbers of words and dimensions, as word2vec and fastText write, has to be right: a file that
    was cut short is refused by it.

    Raises:
        DataError: the file is missing, changed, not of this form, or has none of the words; the message gives the line.
    """
    if not path.exists():
        raise DataError(f"model.word_file: no such file: {path}")
    if sha256 is not None and (found := sha256_of_file(path)) != sha256:
        raise DataError(f"{path}: expected SHA-256 {sha256} (model.word_file_sha256), found {found}")
    label, vectors, width, number, said = str(path), {}, 0, 0, None
    with open_data(path) as file:
        for block in lines_of(CheckedStream(text_stream(file, label), label), label):
            for line in block.decode("utf-8", "replace").split("\n")[:-1]:
                number += 1
                fields = line.rstrip(" ").split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                    said = (int(fields[0]), int(fields[1]))
                    continue
                width = width or len(fields) - 1
                if not 1 <= len(fields) - 1 == width <= _MOST_DIMENSIONS or number > _MOST_WORDS:
                    refuse(label, number, f"a word and {width} numbers", f"{len(fields) - 1} numbers")
                if fields[0].lower() in wanted and fields[0].lower() not in vectors:
                    vectors[fields[0].lower()] = _numbers(fields[1:], label, number)
    if said is not None and said != (number - 1, width):
        raise DataError(
            f"{path}: expected {said[0]:,} words of {said[1]:,} numbers, as its first line says, found "
            f"{number - 1:,} of {width:,}; the file is incomplete"
        )
    if not vectors:
        raise DataError(f"{path}: expected vectors of words of the data, such as {min(wanted)!r}, found none")
    return vectors


def _numbers(fields: list[str], label: str, line: int) -> np.ndarray:
    try:
        vector = np.array([float(field) for field in fields])
    except ValueError:
        refuse(label, line, "numbers after the word", " ".join(fields))
    if not (np.abs(vector) < _LARGEST).all():
        refuse(label, line, "finite numbers after the word, below 1e150", " ".join(fields))
    return vector
