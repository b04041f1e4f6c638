"""The index of a finished run: built once, kept beside the run, and used only with the vectors it was built from."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ncf.core.arrays import read_arrays
from ncf.core.files import atomic
from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError, DataError
from ncf.retrieval.approximate import INDEXES, Index, faiss
from ncf.retrieval.nearest import Exact, Search, recall, unseen
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.reranking import Candidates, Source

FORMAT = 1
EXACT = "exact"
RETRIEVALS = (EXACT, *INDEXES)
WANTED = 0.95
"""The recall up to which the effort of a new index is raised."""

_TUNED_AT, _TUNED_ON, _MEASURED_ON = 10, 300, 500  # length of lists, and users
Say = Callable[[str], object]


def vectors_of(run: LoadedRun) -> tuple[Tensor, Tensor]:
    """Return user vectors (U, D) and item vectors (I, D) float32 whose inner product is the score.

    Raises:
        DataError: the score is no inner product.
        CheckpointError: a weight is not finite.
    """
    users, items = run.model.user_vectors(), run.model.item_vectors()
    if users is None or items is None:
        raise DataError(
            f"retrieval: expected a model whose score is an inner product of vectors, found "
            f"{type(run.model).__name__}; retrieval={EXACT} serves every model"
        )
    run.refuse_unsound()
    return users.detach().float().contiguous(), items.detach().float().contiguous()


def by_index(run: LoadedRun, search: Search, user_vectors: Tensor, complete: bool = True) -> Source:
    """Return the source that asks `search` for as many items as a user has, and those wanted besides.

    Args:
        user_vectors: (U, D).
        complete: search all items for those users of whom the index finds too few for a list.
    """
    num_items = run.split.num_items
    exact = Exact(vectors_of(run)[1])
    known = np.diff(run.seen.tocsr().indptr)

    def asked(users: np.ndarray, count: int, searched: Search) -> tuple[Tensor, Tensor]:
        """Values and items (B, count), in groups of users that have about as many items."""
        values = torch.full((len(users), count), -torch.inf)
        items = torch.zeros(values.shape, dtype=torch.int64)
        sizes = np.minimum(1 << np.ceil(np.log2(count + known[users])).astype(int), num_items)
        for size in np.unique(sizes):
            rows = np.flatnonzero(sizes == size)
            found = searched.search(user_vectors[users[rows]], int(size))
            seen = run.seen[users[rows]].tocsr()
            seen.sort_indices()
            values[rows], items[rows] = unseen(found, seen.nonzero(), num_items, count)
        return values, items

    def found(users: np.ndarray, count: int) -> Candidates:
        """Return the best `count` unseen items of users (B,); where the index finds too few, by exact search."""
        count = min(count, num_items)
        values, items = asked(users, count, search)
        short = np.flatnonzero((values > -torch.inf).sum(1).numpy() < np.minimum(count, num_items - known[users]))
        if complete and len(short):
            values[short], items[short] = asked(users[short], count, exact)
        return Candidates(torch.from_numpy(users), items, values)

    return found


def sampled_recall(run: LoadedRun, source: Source, exact: Source, count: int, users: np.ndarray) -> float:
    """Return the share of the `count` best items of `users` (B,) by `exact` that `source` finds."""
    expected, found = exact(users, count), source(users, count)
    return recall(found.items.where(found.there, -1), expected.items, expected.there)


def sample(run: LoadedRun, purpose: str, size: int) -> np.ndarray:
    """Return the indices of at most `size` users, ascending; the same for a run and purpose."""
    stream = numpy_generator(int(run.result["config"]["seed"]), f"retrieval/{purpose}")
    return np.sort(stream.permutation(run.split.num_users)[:size])


def retrieval(run: LoadedRun, name: str, count: int, say: Say) -> Source:
    """Return the source of candidates called `name`, and `say` its recall of the `count` best on sampled users.

    Raises:
        ConfigError: an unknown name, or faiss is not installed.
        DataError: the model has no vectors.
        CheckpointError: a weight is not finite.
    """
    if name not in INDEXES:
        raise ConfigError(f"retrieval: expected one of {', '.join(RETRIEVALS)}, got {name!r}")
    faiss()
    users, items = vectors_of(run)
    exact = by_index(run, Exact(items), users)
    path = run.folder / f"index_{name}.npz"
    index = _kept(path, name, items, say)
    if index is None:
        index = INDEXES[name](items)
        _raise_effort(run, index, users, exact)
        _keep(path, index, say)
    source = by_index(run, index, users)
    asked = sample(run, "recall", _MEASURED_ON)
    found = sampled_recall(run, source, exact, count, asked)
    low = f"; below {WANTED}, where retrieval={EXACT} misses nothing" if found < WANTED else ""
    say(f"retrieval={name}: recall@{count} of {found:.4f} against exact, {len(asked):,} sampled users{low}")
    return source


def _raise_effort(run: LoadedRun, index: Index, users: Tensor, exact: Source) -> None:
    """Double the effort until other users' lists than those that are reported on have the recall that is wanted."""
    source, asked = by_index(run, index, users, complete=False), sample(run, "effort", _TUNED_ON)
    while sampled_recall(run, source, exact, _TUNED_AT, asked) < WANTED + 0.01 and 2 * index.effort <= index.efforts[1]:
        index.effort *= 2


def digest(vectors: Tensor) -> str:
    """Return the SHA-256 of vectors (I, D), their shape included."""
    whole = hashlib.sha256(f"{FORMAT}/{tuple(vectors.shape)}/".encode())
    whole.update(vectors.numpy().tobytes())
    return whole.hexdigest()


def _kept(path: Path, name: str, vectors: Tensor, say: Say) -> Index | None:
    """Return the index at `path`; None, and say why, if there is none that fits the vectors."""
    try:
        arrays = read_arrays(path, DataError)
        if str(arrays.get("digest")) != digest(vectors):
            raise DataError(f"{path}: expected the index of these weights, found one of others")
        effort = int(arrays["effort"])
        index = INDEXES[name](vectors, arrays)
        if not index.efforts[0] <= effort <= index.efforts[1]:
            raise DataError(f"expected an effort from {index.efforts[0]} to {index.efforts[1]}")
        index.effort = effort
        return index
    except FileNotFoundError:
        return None
    except (DataError, KeyError, ValueError, TypeError) as error:
        why = str(error) if str(path) in str(error) else f"{path}: {error}"
        say(f"{why}; it is built anew")
        return None


def _keep(path: Path, index: Index, say: Say) -> None:
    """Write the index; if that fails, say so and go on without."""
    try:
        with atomic(path) as file:
            np.savez(file, allow_pickle=False, digest=np.array(digest(index.vectors)), effort=np.array(index.effort),
                     **index.arrays())  # fmt: skip
    except OSError as error:
        say(f"{path}: the index is not kept ({error.strerror or error})")
