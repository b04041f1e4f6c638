"""Features as vectors: one block a kind, TF-IDF of text, of categories likewise, and bumps for numbers.

Every row of a block has length 1, or 0 where nothing is known, so that the inner product of two rows is their cosine,
from 0 to 1. Text and categories are weighted by scikit-learn's TF-IDF (smoothed inverse frequencies, Salton and Buckley
1988), of the extra `content`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ncf.data.feature_files import Column, Kind
from ncf.errors import ConfigError, DataError

WORD = r"(?u)[^\W\d_]+"
"""A word: letters, of any alphabet, without digits."""

_BUMPS = 32  # along the range of a number


@dataclass(frozen=True)
class BlockWeights:
    """The weight of each kind of features in a cosine; only their ratios matter.

    Attributes:
        stop_words: words that no text has.
    """

    text: float
    categories: float
    numbers: float
    stop_words: Sequence[str] = ()

    @property
    def by_kind(self) -> dict[Kind, float]:
        """The weights by kind of column, without those that are 0."""
        every: dict[Kind, float] = {"text": self.text, "category": self.categories, "number": self.numbers}
        return {kind: weight for kind, weight in every.items() if weight}


def vectors(columns: Sequence[Column], weights: BlockWeights, label: str, *, scaled: bool = True) -> sparse.csr_matrix:
    """Return the features (R, F) float64 of all rows, each of length 1, or 0 where nothing is known.

    A block is multiplied by its weight w, so that a cosine of two rows with all blocks is the mean of the blocks'
    cosines with weights w^2.

    Args:
        label: of the data, for messages.
        scaled: whether rows get length 1; else each block's has length w, so that another block can stand beside it.

    Raises:
        ConfigError: scikit-learn, of the extra `content`, is not installed.
        DataError: no weight is above 0, no column is of a kind that has one, or none of their values is known.
    """
    if not weights.by_kind:
        raise DataError(f"{label}: expected features to weigh, found model.text, categories and numbers all 0")
    blocks = [weight * block(columns, kind, weights.stop_words) for kind, weight in weights.by_kind.items()
              if any(column.kind == kind for column in columns)]  # fmt: skip
    wanted, found = ", ".join(weights.by_kind), ", ".join(f"{c.name} ({c.kind})" for c in columns)
    if not blocks:
        raise DataError(f"{label}: expected features of kind {wanted}, found {found}")
    whole = sparse.hstack(blocks, format="csr")
    whole = unit_rows(whole) if scaled else whole
    if not whole.nnz:
        raise DataError(f"{label}: expected a known value of kind {wanted}, found none in {found}")
    return whole


def block(columns: Sequence[Column], kind: Kind, stop_words: Sequence[str] = ()) -> sparse.csr_matrix:
    """Return the block (R, F) of all columns of a kind, with rows of length 1 or 0. Raises ConfigError."""
    own = [column.values for column in columns if column.kind == kind]
    if kind == "number":
        parts = [_bumps(values) for values in own]
    else:
        parts = [_tf_idf(values, kind, stop_words) for values in own]
    return unit_rows(sparse.hstack(parts, format="csr"))


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return `matrix` (R, F) with rows scaled to length 1; a row of zeros stays one."""
    # First by a power of two, which rounds nothing, so that no square is too large or too small.
    rows, highest = np.arange(matrix.shape[0]).repeat(np.diff(matrix.indptr)), np.zeros(matrix.shape[0])
    np.maximum.at(highest, rows, abs(matrix.data))
    data = np.ldexp(matrix.data, -np.frexp(highest)[1][rows])
    matrix = sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    scale = np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ matrix)


def _tf_idf(texts: np.ndarray, kind: Kind, stop_words: Sequence[str]) -> sparse.csr_matrix:
    """Return TF-IDF (R, F) of words, or of the categories that a `|` separates; (R, 0) if there are none."""
    options: dict[str, Any] = {"token_pattern": WORD, "stop_words": sorted({w.lower() for w in stop_words}) or None}
    if kind == "category":
        options = {"analyzer": _categories}
    vectorizer = _vectorizer()(**options)
    try:
        return sparse.csr_matrix(vectorizer.fit_transform([str(text) for text in texts]))
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return sparse.csr_matrix((len(texts), 0))


def _categories(text: str) -> list[str]:
    return [part for part in text.split("|") if part]


def _vectorizer() -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise ConfigError("features: scikit-learn is not installed; pip install 'ncf[content]' brings it") from None
    return TfidfVectorizer


def _bumps(values: np.ndarray) -> sparse.csr_matrix:
    """Return numbers (R,) as Gaussian bumps (R, 32) along their range, as wide as they are apart; NaN gives zeros."""
    known = values[np.isfinite(values)]
    if not len(known):
        return sparse.csr_matrix((len(values), 0))
    low, high = known.min(), known.max()
    if high / 2 - low / 2 > np.finfo(np.float64).max / 2:  # their difference is beyond a float
        return _bumps(values / 2)
    place = (values - low) / ((high - low) or 1.0) * (_BUMPS - 1)
    heights = np.exp(-0.5 * (place[:, None] - np.arange(_BUMPS)) ** 2)
    heights[~np.isfinite(values)] = 0
    heights[heights < 1e-4] = 0
    return sparse.csr_matrix(heights)
