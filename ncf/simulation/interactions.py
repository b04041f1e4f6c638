"""What an agent has seen: the number and the sum of the rewards of each pair, sparse, ordered by user and by item.

Nothing dense of size U x I is kept: memory grows with the number of different pairs that were recommended.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Rows:
    """The pairs of all rows of one side, those of row r from `starts[r]` on.

    Attributes:
        starts: (R+1,) int64.
        others: (N,) int64, the index on the other side.
        counts: (N,) float64, how often the pair was recommended.
        sums: (N,) float64, of its rewards.
    """

    starts: Tensor
    others: Tensor
    counts: Tensor
    sums: Tensor

    def part(self, first: int, last: int) -> "Rows":
        """Return rows `first` to `last`, the last excluded, at the positions from 0 on."""
        low, high = int(self.starts[first]), int(self.starts[last])
        pairs = slice(low, high)
        return Rows(self.starts[first : last + 1] - low, self.others[pairs], self.counts[pairs], self.sums[pairs])

    def counted(self, table: Tensor) -> Tensor:
        """Sum rows of `table` (R', C) over each row's pairs, weighted by their counts: (R, C)."""
        return self._sum(table, self.counts)

    def summed(self, table: Tensor) -> Tensor:
        """Sum rows of `table` (R', C) over each row's pairs, weighted by their sums of rewards: (R, C)."""
        return self._sum(table, self.sums)

    def _sum(self, table: Tensor, weights: Tensor) -> Tensor:
        if not len(self.others):
            return table.new_zeros(len(self.starts) - 1, table.shape[1])
        weights = weights.to(table.dtype)
        return F.embedding_bag(self.others, table, self.starts[:-1], mode="sum", per_sample_weights=weights)


class Interactions:
    """All interactions so far, added a period at a time.

    Args:
        num_users: U.
        num_items: I.
        device: of the tensors.
    """

    def __init__(self, num_users: int, num_items: int, device: torch.device | str = "cpu") -> None:
        self.num_users, self.num_items = num_users, num_items
        self._keys = torch.zeros(0, dtype=torch.int64, device=device)
        self._counts = torch.zeros(0, dtype=torch.float64, device=device)
        self._sums = torch.zeros(0, dtype=torch.float64, device=device)
        self._views: tuple[Rows, Rows] | None = None
        self.total = 0  # number of interactions
        self.squares = 0.0  # sum of the squared rewards

    def __len__(self) -> int:
        """Return the number of different pairs."""
        return len(self._keys)

    def add(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        """Add interactions: users, items (B,) int64, rewards (B,)."""
        rewards = rewards.double()
        keys, place = torch.unique(torch.cat([self._keys, users * self.num_items + items]), return_inverse=True)
        zeros, ones = rewards.new_zeros(len(keys)), torch.ones_like(rewards)
        counts = zeros.index_add(0, place, torch.cat([self._counts, ones]))
        sums = zeros.index_add(0, place, torch.cat([self._sums, rewards]))
        self._keys, self._counts, self._sums, self._views = keys, counts, sums, None
        self.total += len(rewards)
        self.squares += float(rewards.square().sum())

    def by_user(self) -> Rows:
        """Return the pairs ordered by user and item."""
        return self._both()[0]

    def by_item(self) -> Rows:
        """Return the pairs ordered by item and user."""
        return self._both()[1]

    def _both(self) -> tuple[Rows, Rows]:
        if self._views is None:
            users, items = self._keys // self.num_items, self._keys % self.num_items
            order = torch.sort(items, stable=True).indices
            self._views = (
                Rows(_starts(users, self.num_users), items, self._counts, self._sums),
                Rows(_starts(items[order], self.num_items), users[order], self._counts[order], self._sums[order]),
            )
        return self._views

    def state(self) -> dict[str, Tensor]:
        """Return what `load` takes."""
        totals = torch.tensor([float(self.total), self.squares], dtype=torch.float64)
        return {"keys": self._keys, "counts": self._counts, "sums": self._sums, "totals": totals}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`: keys, counts and sums (N,), and totals (2,)."""
        device = self._keys.device
        self._keys, self._counts, self._sums = (state[name].to(device) for name in ("keys", "counts", "sums"))
        self.total, self.squares = int(state["totals"][0]), float(state["totals"][1])
        self._views = None


def _starts(ordered: Tensor, rows: int) -> Tensor:
    """Return (R+1,) where each of `rows` rows starts in `ordered` (N,), which is ascending."""
    return torch.searchsorted(ordered, torch.arange(rows + 1, device=ordered.device))
