"""How alike items are: cosines of genres, of a model's vectors, or of who has them."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from ncf.data.split import Split
from ncf.errors import ConfigError, DataError
from ncf.models.base import Recommender
from ncf.models.non_gradient import positives_matrix
from ncf.retrieval.genres import item_genres

_LARGEST_TABLE = 8192  # items whose similarities are all computed at once, 256 MiB

Near = Callable[[Tensor], Tensor]
"""Positions (B,) int64 of one candidate a user -> its similarity to all candidates of the user (B, C) float32."""


class Similarity(ABC):
    """Similarities of items in [-1, 1]; an item about which nothing is known is similar to none."""

    @abstractmethod
    def among(self, items: Tensor) -> Near:
        """Return the similarities among the candidates `items` (B, C) of each user, computed as they are asked for."""


class Table(Similarity):
    """All similarities `table` (I, I)."""

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def among(self, items: Tensor) -> Near:
        """As `Similarity.among`, of items (B, C)."""
        flat, width = self.table.view(-1), len(self.table)

        def near(at: Tensor) -> Tensor:
            """Return the similarities (B, C) of all candidates to those at (B,)."""
            chosen = items.gather(1, at[:, None])
            return flat.take(chosen * width + items)

        return near


class Vectors(Similarity):
    """Inner products of `vectors` (I, D) of length 1 or 0."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def among(self, items: Tensor) -> Near:
        """As `Similarity.among`, of items (B, C)."""
        vectors = self.vectors[items]
        rows = torch.arange(len(items))
        return lambda at: torch.bmm(vectors, vectors[rows, at, :, None]).squeeze(2)


class Sparse(Similarity):
    """Similarities of which most are 0, `table` (I, I) in CSR form with sorted indices."""

    def __init__(self, table: sparse.csr_matrix) -> None:
        self.table = table

    def among(self, items: Tensor) -> Near:
        """As `Similarity.among`, of items (B, C)."""

        def near(at: Tensor) -> Tensor:
            """Return the similarities (B, C) of all candidates to those at (B,)."""
            chosen = items.gather(1, at[:, None]).expand_as(items)
            rows, columns = (
                t.reshape(-1).numpy().copy() for t in (chosen, items)
            )  # scipy asks for memory of numpy's own
            found = self.table[rows, columns]
            return torch.from_numpy(np.asarray(found, np.float32).reshape(items.shape))

        return near


def cosine(vectors: Tensor) -> Similarity:
    """Return cosines of `vectors` (I, D), 0 with a vector of zeros: all at once for a small catalogue."""
    unit = F.normalize(vectors.float(), dim=1)
    return Table(unit @ unit.T) if len(unit) <= _LARGEST_TABLE else Vectors(unit)


def genre(split: Split, model: Recommender | None = None) -> Similarity:
    """Return cosines of the items' genres, a rare one weighing more: ln((1 + I) / (1 + items of the genre)) + 1.

    Raises:
        DataError: the data has no genres.
    """
    genres = item_genres(split)
    return cosine(genres * (((1 + len(genres)) / (1 + genres.sum(0))).log() + 1))


def learned(split: Split, model: Recommender | None) -> Similarity:
    """Return cosines of what the model has learned of each item.

    Raises:
        DataError: the model has no vectors, or one is not finite.
    """
    vectors = None if model is None else model.item_embeddings()
    if vectors is None and model is not None:
        vectors = model.item_vectors()
    if vectors is None:
        raise DataError(
            f"similarity=vectors: model {type(model).__name__} has no item vectors; similarity=co_occurrence needs none"
        )
    if not (sound := vectors.isfinite().all(1)).all():
        item = split.item_ids[int((~sound).nonzero()[0])]
        raise DataError(f"similarity=vectors: expected finite item vectors, found NaN or inf for item {item!s}")
    return cosine(vectors.detach())


def co_occurrence(split: Split, model: Recommender | None = None) -> Similarity:
    """Return cosines of the items' columns of training positives: users of both over the root of users of each."""
    matrix = positives_matrix(split.train, split.num_users, split.num_items).astype(np.float32)
    lengths = np.sqrt(np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1))
    matrix = matrix @ sparse.diags_array(1 / lengths, dtype=np.float32)
    table = sparse.csr_matrix(matrix.T @ matrix)
    if split.num_items <= _LARGEST_TABLE:
        return Table(torch.from_numpy(table.toarray()))
    table.sort_indices()
    return Sparse(table)


SIMILARITIES: dict[str, Callable[[Split, Recommender | None], Similarity]] = {
    "genre": genre,
    "vectors": learned,
    "co_occurrence": co_occurrence,
}


def similarity_of(name: str, split: Split, model: Recommender | None = None) -> Similarity:
    """Return the similarity called `name`. Raises ConfigError for an unknown name, and DataError as the others."""
    if name not in SIMILARITIES:
        raise ConfigError(f"similarity: expected one of {', '.join(SIMILARITIES)}, got {name!r}")
    return SIMILARITIES[name](split, model)
