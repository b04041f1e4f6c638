"""Indexes of faiss, which look at some items instead of all: `faiss_hnsw` and `faiss_ivf`.

An index is kept as arrays and rebuilt around the vectors of the run. Nothing that faiss has written is read: its
readers trust their input, and an array can be checked. A wrong index could then be no worse than a low recall.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ncf.errors import ConfigError, DataError

Arrays = dict[str, np.ndarray]

_LINKS, _CONSTRUCTION = 16, 80  # of a vertex (M), and candidates for them (efConstruction): Malkov and Yashunin 2018
_TRAINED_ON, _ROUNDS = 64, 10  # items a cell that k-means looks at, and its rounds
_SEED = 1234


def faiss() -> Any:
    """Return the module faiss. Raises ConfigError if it is not installed."""
    try:
        import faiss as found
    except ImportError:
        raise ConfigError("retrieval: faiss is not installed; pip install 'ncf[ann]' brings it") from None
    return found


class Index(ABC):
    """An index over item vectors (I, D), with an effort of its search: more is slower and finds more.

    Attributes:
        efforts: the least and the most effort.
    """

    efforts: ClassVar[tuple[int, int]]

    def __init__(self, vectors: Tensor, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Build the index, or rebuild it from `arrays`, on one thread, so that equal vectors give an equal index.

        Raises:
            ConfigError: faiss is not installed.
            DataError: the arrays are no index of as many vectors.
        """
        self.faiss = faiss()
        self.vectors = vectors.detach().float().contiguous()
        self.effort = self.efforts[0]
        threads = self.faiss.omp_get_max_threads()
        self.faiss.omp_set_num_threads(1)
        try:
            self._index = self._built() if arrays is None else self._rebuilt(arrays)
        finally:
            self.faiss.omp_set_num_threads(threads)

    def __len__(self) -> int:
        return len(self.vectors)

    @abstractmethod
    def _built(self) -> Any:
        """Return a new index of faiss."""

    @abstractmethod
    def _rebuilt(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """Return the index of faiss that `arrays` describe. Raises DataError."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Return what `arrays` of the constructor needs."""

    @abstractmethod
    def _nearest(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Return items (B, count) int64 near queries (B, D), -1 where no more were found."""

    def search(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """As `ncf.retrieval.nearest.Search.search`, of queries (B, D)."""
        items = torch.from_numpy(self._nearest(queries.detach().float().contiguous().numpy(), min(count, len(self))))
        values = torch.bmm(self.vectors[items.clamp(min=0)], queries.float()[:, :, None]).squeeze(2)
        values, order = values.masked_fill_(items < 0, -torch.inf).sort(dim=1, descending=True, stable=True)
        return values, items.clamp_(min=0).gather(1, order)


class HNSW(Index):
    """A graph of near items, walked from item to item (Malkov and Yashunin 2018), nearness being the inner product."""

    efforts = (16, 4096)

    def _empty(self) -> Any:
        index = self.faiss.IndexHNSWFlat(self.vectors.shape[1], _LINKS, self.faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _CONSTRUCTION
        return index

    def _built(self) -> Any:
        index = self._empty()
        index.add(self.vectors.numpy())
        return index

    def arrays(self) -> Arrays:
        """As `Index.arrays`: levels (I,), neighbours (E,), and the entry."""
        graph = self._index.hnsw
        as_array = self.faiss.vector_to_array
        return {
            "levels": as_array(graph.levels),
            "neighbours": as_array(graph.neighbors),
            "entry": np.array(graph.entry_point),
        }

    def _rebuilt(self, arrays: Mapping[str, np.ndarray]) -> Any:
        index = self._empty()
        room = [0] + [index.hnsw.cum_nb_neighbors(level) for level in range(1, 33)]
        levels, neighbours, entry = _graph(arrays, len(self), np.array(room))
        graph, copy = index.hnsw, self.faiss.copy_array_to_vector
        copy(levels, graph.levels)
        copy(neighbours, graph.neighbors)
        copy(_starts(levels, np.array(room)).astype(np.uint64), graph.offsets)
        graph.entry_point, graph.max_level = entry, int(levels.max()) - 1
        index.storage.add(self.vectors.numpy())
        index.ntotal = len(self)
        return index

    def _nearest(self, queries: np.ndarray, count: int) -> np.ndarray:
        self._index.hnsw.efSearch = max(self.effort, count)
        items: np.ndarray = self._index.search(queries, count)[1]
        return items


def _starts(levels: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return where each item's neighbours begin (I + 1,), by its number of levels (I,)."""
    return np.concatenate([[0], np.cumsum(room[levels])])


def _graph(arrays: Mapping[str, np.ndarray], count: int, room: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return levels (I,), neighbours (E,) and the entry of a graph that can be walked without leaving its arrays.

    Raises:
        DataError: it is none, or not one of `count` items.
    """
    levels, neighbours, entry = (
        _whole(arrays, "levels", np.int32),
        _whole(arrays, "neighbours", np.int32),
        arrays.get("entry"),
    )
    sound = (
        entry is not None and entry.shape == () and entry.dtype.kind == "i" and 0 <= int(entry) < count
        and len(levels) == count and bool(((levels >= 1) & (levels < len(room))).all())
    )  # fmt: skip
    if not sound or entry is None:
        raise DataError("expected the levels of a graph of the items")
    starts = _starts(levels, room)
    in_range = len(neighbours) == starts[-1] and bool(((neighbours >= -1) & (neighbours < count)).all())
    if not in_range or levels[int(entry)] != levels.max():
        raise DataError("expected the neighbours of a graph of the items")
    for level in range(1, int(levels.max())):  # a neighbour on a level has to be on that level itself
        on_it = np.flatnonzero(levels > level)
        places = starts[on_it][:, None] + np.arange(room[level], room[level + 1])
        linked = neighbours[places]
        if (levels[linked[linked >= 0]] <= level).any():
            raise DataError("expected neighbours that are on the level of the graph on which they are linked")
    return levels, neighbours, int(entry)


class IVF(Index):
    """Cells around centres; a search looks at the items of the nearest cells (Sivic and Zisserman 2003).

    One more coordinate makes all item vectors equally long, so that the highest inner product is the least distance
    (Bachrach et al. 2014): cells of inner products would leave long vectors to the wrong centres.
    """

    efforts = (1, 1024)

    def _lengthened(self) -> np.ndarray:
        squared = self.vectors.double().square().sum(1)
        last = (squared.max() - squared).clamp(min=0).sqrt().float()
        return torch.cat([self.vectors, last[:, None]], 1).numpy()

    def _built(self) -> Any:
        vectors = self._lengthened()
        cells = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // 39))  # faiss wants 39 items a cell
        means = self.faiss.Kmeans(
            vectors.shape[1], cells, niter=_ROUNDS, seed=_SEED, max_points_per_centroid=_TRAINED_ON
        )
        means.train(vectors)
        _, nearest = means.index.search(vectors, 1)
        return self._filled(np.ascontiguousarray(means.centroids), nearest.ravel(), vectors)

    def _filled(self, centres: np.ndarray, cells: np.ndarray, vectors: np.ndarray) -> Any:
        self._centres, self._cells = centres, cells
        quantizer = self.faiss.IndexFlatL2(vectors.shape[1])
        quantizer.add(centres)
        index = self.faiss.IndexIVFFlat(quantizer, vectors.shape[1], len(centres), self.faiss.METRIC_L2)
        index.is_trained = True
        pointer = self.faiss.swig_ptr
        cells = np.ascontiguousarray(cells, np.int64)
        index.add_core(len(vectors), pointer(vectors), None, pointer(cells))
        return index

    def arrays(self) -> Arrays:
        """As `Index.arrays`: centres (cells, D + 1) float32 and the cell of each item (I,) int32."""
        return {"centres": self._centres, "cells": self._cells.astype(np.int32)}

    def _rebuilt(self, arrays: Mapping[str, np.ndarray]) -> Any:
        centres, cells = arrays.get("centres"), _whole(arrays, "cells", np.int32)
        if (
            centres is None or centres.dtype != np.float32 or centres.ndim != 2 or not len(centres)
            or centres.shape[1] != self.vectors.shape[1] + 1 or not np.isfinite(centres).all()
        ):  # fmt: skip
            raise DataError("expected centres of cells, as long as the vectors and one more")
        if len(cells) != len(self) or not ((cells >= 0) & (cells < len(centres))).all():
            raise DataError("expected a cell of each item")
        return self._filled(np.ascontiguousarray(centres), cells, self._lengthened())

    def _nearest(self, queries: np.ndarray, count: int) -> np.ndarray:
        self._index.nprobe = self.effort
        lengthened = np.concatenate([queries, np.zeros((len(queries), 1), np.float32)], axis=1)
        items: np.ndarray = self._index.search(lengthened, count)[1]
        return items


def _whole(arrays: Mapping[str, np.ndarray], name: str, dtype: type) -> np.ndarray:
    """Return an array (N,) of the type. Raises DataError."""
    array = arrays.get(name)
    if array is None or array.ndim != 1 or array.dtype != dtype:
        raise DataError(f"expected an array {name!r} of {np.dtype(dtype)}")
    return np.ascontiguousarray(array)


INDEXES: dict[str, type[HNSW] | type[IVF]] = {"faiss_hnsw": HNSW, "faiss_ivf": IVF}
