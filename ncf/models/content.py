"""Content-based recommenders: what is alike in title, genres, year or words to what the user has.

`Content` compares items with a profile, the sum of the user's positives (Pazzani and Billsus 2007); `ContentKNN` keeps
the nearest items of each, as item-kNN does with users' ratings. Neither needs training positives of an item, so both
score cold ones.
"""

from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from ncf.core.roles import MACHINE
from ncf.data.feature_blocks import BlockWeights, unit_rows, vectors
from ncf.data.features import item_columns
from ncf.data.split import Split
from ncf.data.word_vectors import WordSettings, text_vectors
from ncf.models.new_users import Histories
from ncf.models.non_gradient import NonGradientRecommender, positives_matrix, sum_rows
from ncf.models.recency import Decay, HalfLife, recent

Weight = Annotated[float, Field(ge=0, le=1e6)]
Words = list[Annotated[str, Field(min_length=1)]]
Dimensions = Annotated[int, Field(ge=1, le=2000)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

_CHUNK_BYTES = 2**26  # of one dense block of similarities


class _FromContent(NonGradientRecommender):
    """The settings of the vectors of items, and the vectors."""

    scores_cold: ClassVar[bool] = True

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        text: Weight,
        categories: Weight,
        numbers: Weight,
        words: Weight,
        stop_words: Words,
        word_file: Annotated[str | None, MACHINE],
        word_file_sha256: str | None,
        dimensions: Dimensions,
        epochs: Epochs,
        seed: Seed,
        decay: Decay,
        half_life: HalfLife,
    ) -> None:
        super().__init__()
        self.num_users, self.num_items, self.words = num_users, num_items, words
        self.block_weights = BlockWeights(text, categories, numbers, stop_words)
        self.word_settings = WordSettings(word_file, word_file_sha256, dimensions, epochs, seed)
        self.decay, self.half_life = decay, half_life

    def vectors_of(self, split: Split) -> sparse.csr_matrix:
        """Return the items' features (I, F) float64, rows of length 1 or 0. Raises ConfigError, DataError."""
        columns, parts = item_columns(split), []
        if self.block_weights.by_kind or not self.words:
            parts.append(vectors(columns, self.block_weights, split.name, scaled=not self.words))
        self.go_on()
        if self.words:
            found = text_vectors(columns, self.block_weights.stop_words, self.word_settings, split.name)
            parts.append(self.words * sparse.csr_matrix(found))
        return unit_rows(sparse.hstack(parts, format="csr"))

    def keep_matrix(self, name: str, matrix: sparse.csr_matrix) -> None:
        """Store a sparse matrix (R, C) as three buffers, rows by rows."""
        self.keep(f"{name}_columns", matrix.indices)
        self.keep(f"{name}_counts", np.diff(matrix.indptr))
        self.keep(f"{name}_values", matrix.data.astype(np.float32))

    def times(self, name: str, dense: Tensor) -> Tensor:
        """Return the stored matrix (R, C) times `dense` (C, B): (R, B)."""
        columns, counts, values = (self.get_buffer(f"{name}_{part}") for part in ("columns", "counts", "values"))
        return sum_rows(dense.contiguous(), columns, counts, values)

    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> scores of every item (B, I)."""
        return self.fold_in(self.histories(users))


class Content(_FromContent):
    """score(u, i) = cosine of x_i and the sum of x_j over u's items j, each times its recency."""

    def fit(self, split: Split) -> None:
        """Compute and store the features of the items; of the positives, only the histories are kept."""
        features = self.vectors_of(split)
        self.keep_matrix("features", features)
        self.keep_matrix("items", sparse.csr_matrix(features.T))
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        self.keep_history(recent(matrix, split.train, self.decay, self.half_life))

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> cosines of every item with the users' profiles (B, I); 0 where nothing is known."""
        return self.times("features", self._profiles(histories).T).T

    def _profiles(self, histories: Histories) -> Tensor:
        """`histories` of B users -> profiles (B, F) of length 1, or 0."""
        return F.normalize(self.times("items", histories.dense(self.num_items).T).T, dim=1)

    def user_vectors(self) -> Tensor:
        """(U, F): the users' profiles, dense."""
        everyone = torch.arange(self.num_users, device=self.get_buffer("starts").device)
        return torch.cat([self._profiles(self.histories(users)) for users in everyone.split(1024)])

    def item_vectors(self) -> Tensor:
        """(I, F): the items' features, dense."""
        counts, columns = self.get_buffer("features_counts"), self.get_buffer("features_columns")
        dense = columns.new_zeros(self.num_items, len(self.get_buffer("items_counts")), dtype=torch.float32)
        dense[torch.repeat_interleave(counts), columns] = self.get_buffer("features_values")
        return dense

    def item_embeddings(self) -> Tensor:
        """(I, F): the items' features, dense."""
        return self.item_vectors()


class ContentKNN(_FromContent):
    """score(u, i) = sum of cosines to those of i's k nearest items, by content, that u has, times their recency."""

    neighbours: Tensor  # (I, k)
    similarities: Tensor  # (I, k)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        k: Annotated[int, Field(ge=1)],
        text: Weight,
        categories: Weight,
        numbers: Weight,
        words: Weight,
        stop_words: Words,
        word_file: Annotated[str | None, MACHINE],
        word_file_sha256: str | None,
        dimensions: Dimensions,
        epochs: Epochs,
        seed: Seed,
        decay: Decay,
        half_life: HalfLife,
    ) -> None:
        super().__init__(
            num_users, num_items, text=text, categories=categories, numbers=numbers, words=words,
            stop_words=stop_words, word_file=word_file, word_file_sha256=word_file_sha256, dimensions=dimensions,
            epochs=epochs, seed=seed, decay=decay, half_life=half_life,
        )  # fmt: skip
        self.k = k

    def fit(self, split: Split) -> None:
        """Find the nearest items of each; ties go to the lower index, and no item is a neighbour of itself."""
        features = self.vectors_of(split)
        others, step = features.T.tocsr(), max(1, _CHUNK_BYTES // (8 * self.num_items))
        indices, values = [], []
        for start in range(0, self.num_items, step):
            own, cosines = _nearest(features[start : start + step], others, start, self.k)
            indices.append(own)
            values.append(cosines)
            self.go_on()
        self.keep("neighbours", np.concatenate(indices))
        self.keep("similarities", np.concatenate(values))
        matrix = positives_matrix(split.train, self.num_users, self.num_items)
        self.keep_history(recent(matrix, split.train, self.decay, self.half_life))

    def fold_in(self, histories: Histories) -> Tensor:
        """`histories` of B users -> scores of every item (B, I)."""
        seen = histories.dense(self.num_items).T.contiguous()  # (I, B)
        return F.embedding_bag(self.neighbours, seen, per_sample_weights=self.similarities, mode="sum").T


def _nearest(rows: sparse.csr_matrix, others: sparse.csr_matrix, start: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest columns of `others` (F, I) to `rows` (B, F), which are items `start` on: (B, k) each."""
    cosines = (rows @ others).toarray()
    own = np.arange(len(cosines))
    cosines[own, start + own] = 0
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)
