"""Non-gradient recommenders: fitted once to the training positives, then scored like any other."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from ncf.data.split import Pairs, Split
from ncf.models.base import Recommender
from ncf.models.new_users import Histories


class StoppedError(Exception):
    """A fit was asked to stop, and has learned nothing."""


class NonGradientRecommender(Recommender):
    """A recommender trained by `fit`; everything it learns is a buffer, so that its state dict is complete.

    Attributes:
        stopped: returns true once the fit is to be abandoned; set by who calls `fit`.
    """

    stopped: Callable[[], bool] = staticmethod(lambda: False)

    @abstractmethod
    def fit(self, split: Split) -> None:
        """Learn from `split.train` only, and call `go_on` as often as possible.

        Raises:
            DataError: the split lacks what the method needs.
            StoppedError: see `go_on`.
        """

    def go_on(self) -> None:
        """Raise StoppedError if the fit has been asked to stop: Python heeds Ctrl-C only between two long calls."""
        if self.stopped():
            raise StoppedError

    def restore(self, arrays: Mapping[str, Tensor]) -> None:
        """Load the state dict of a fitted model, instead of `fit`; buffers take their shapes (...) from it."""
        for name in arrays.keys() - self.state_dict().keys():
            self.register_buffer(name, arrays[name])
        self.load_state_dict(arrays)

    def keep(self, name: str, array: np.ndarray | Tensor) -> None:
        """Store `array` (...) as the buffer `name`: float32 if it has floats, else int64."""
        tensor = torch.as_tensor(array)
        self.register_buffer(name, tensor.float() if tensor.is_floating_point() else tensor.long())

    def keep_history(self, matrix: sparse.csr_matrix) -> None:
        """Store the users' training items: `starts` (U+1,) offsets into `history_items` (N,), and weights but 1."""
        self.keep("starts", matrix.indptr)
        self.keep("history_items", matrix.indices)
        if (matrix.data != 1).any():
            self.keep("history_weights", matrix.data)

    def history(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """users (B,) -> their training items (E,), ordered by user, and the number of items of each (B,)."""
        entries, counts = self._entries(users)
        return self.get_buffer("history_items")[entries], counts

    def _entries(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """users (B,) -> where their training items stand in what `keep_history` stored (E,), and how many (B,)."""
        starts = self.get_buffer("starts")
        counts = starts[users + 1] - starts[users]
        shift = torch.repeat_interleave(starts[users] - (counts.cumsum(0) - counts), counts)
        return shift + torch.arange(len(shift), device=users.device), counts

    def histories(self, users: Tensor) -> Histories:
        """users (B,) -> their training items, to score them as `fold_in` does new users."""
        weights = getattr(self, "history_weights", None)
        own = None if weights is None else weights[self._entries(users)[0]]
        return Histories(*self.history(users), weights=own)


def positives_matrix(pairs: Pairs, num_users: int, num_items: int) -> sparse.csr_matrix:
    """Return the (U, I) float64 matrix with ones at `pairs` and sorted indices."""
    ones = np.ones(len(pairs.users))
    matrix = sparse.csr_matrix((ones, (pairs.users, pairs.items)), shape=(num_users, num_items))
    matrix.sort_indices()
    return matrix


def sum_rows(table: Tensor, rows: Tensor, counts: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum rows (E,) of `table` (R, C), times `weights` (E,), to (B, C): the first `counts[0]`, then `counts[1]`, ..."""
    if not len(rows):
        return table.new_zeros(len(counts), table.shape[1])
    return F.embedding_bag(rows, table, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights)
