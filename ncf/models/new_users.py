"""Users who were not in training: their histories, and the fit of their rows alone in a model trained by gradient."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from ncf.core.rng import numpy_generator
from ncf.data.batch import Batch
from ncf.errors import DataError

if TYPE_CHECKING:
    from ncf.models.base import GradientRecommender

STEPS = 20  # of Adam, each with all items of a user and fresh negatives
RATE = 0.02  # its learning rate


@dataclass(frozen=True)
class Histories:
    """The items of B users, one user after the other.

    Attributes:
        items: (E,) int64: those of the first user in ascending order, then those of the next, each once a user.
        counts: (B,) int64, the number of items of each user.
        ratings: (E,) float32, those of the items; None if unknown.
        weights: (E,) float32, how much each item counts; None: all alike.
    """

    items: Tensor
    counts: Tensor
    ratings: Tensor | None = None
    weights: Tensor | None = None

    @property
    def owners(self) -> Tensor:
        """(E,) int64: whose each item is, from 0 to B - 1."""
        return torch.repeat_interleave(self.counts)

    def dense(self, num_items: int) -> Tensor:
        """Return (B, I) float32, 1 where the user has the item, or its weight."""
        ones = torch.zeros(len(self.counts), num_items, device=self.items.device)
        ones[self.owners, self.items] = 1 if self.weights is None else self.weights
        return ones

    def matrix(self, num_items: int, values: Tensor | None = None) -> sparse.csr_matrix:
        """Return the (B, I) float64 matrix with `values` (E,), or ones, at the users' items."""
        starts = np.concatenate([[0], self.counts.cpu().numpy().cumsum()])
        numbers = np.ones(len(self.items)) if values is None else values.double().cpu().numpy()
        return sparse.csr_matrix((numbers, self.items.cpu().numpy(), starts), shape=(len(self.counts), num_items))

    def parts(self, limit: int) -> Iterator["Histories"]:
        """Yield the users in groups that have at most `limit` items together, or are one user; at least one group."""
        ends = np.concatenate([[0], self.counts.cpu().numpy().cumsum()])
        start = 0
        while True:
            end = max(start + 1, int(np.searchsorted(ends, ends[start] + limit, "right")) - 1)
            own = slice(ends[start], ends[min(end, len(ends) - 1)])
            ratings, weights = (None if v is None else v[own] for v in (self.ratings, self.weights))
            yield Histories(self.items[own], self.counts[start:end], ratings, weights)
            if end >= len(self.counts):
                return
            start = end


@dataclass(frozen=True)
class Objective:
    """What the rows of new users are fitted to: the loss of the run and its number of negatives per item.

    Attributes:
        losses: logits (E, 1+K) and their batch -> losses (E, 1+K).
        needs: the optional fields of `Batch` that `losses` reads.
        neg_ratio: K, the number of negatives per item.
        seed: of the run; with the step, it alone decides the draws of negatives.
        frequencies: (I,) float32, as in `Batch`, of every item; None unless `losses` needs them.
    """

    losses: Callable[[Tensor, Batch], Tensor]
    needs: frozenset[str]
    neg_ratio: int
    seed: int
    frequencies: Tensor | None = None


def with_rows_for(model: "GradientRecommender", histories: Histories, objective: Objective) -> "GradientRecommender":
    """Return the model of the B users of `histories`: rows of their own, fitted to their items; all else is shared.

    The rows start at the mean of all users' and take `STEPS` steps of Adam at rate `RATE`, each with all items and
    `objective.neg_ratio` fresh negatives an item, uniform among the items that the user does not have. A user's rows do
    not depend on the others, but for rounding. Those of a user without items, or with all of them, stay at the mean.

    Raises:
        DataError: the loss needs ratings, and there are none.
    """
    fitted, rows = _with_mean_rows(model, len(histories.counts))
    if not len(histories.items):
        return fitted
    with torch.no_grad():
        num_items = fitted.score(histories.items.new_zeros(1)).shape[1]
    draws = _Draws(histories, num_items, objective)
    optimizer = torch.optim.Adam(rows, lr=RATE)
    with torch.enable_grad():
        for step in range(STEPS):
            batch = draws.batch(step)
            losses = objective.losses(fitted(batch.users, batch.items), batch)
            optimizer.zero_grad()
            (losses.mean(1) * draws.weights).sum().backward()  # each user's mean, so that none weighs on another
            optimizer.step()
    return fitted


def _with_mean_rows(model: "GradientRecommender", count: int) -> tuple["GradientRecommender", list[nn.Parameter]]:
    """Return a model of `count` users that shares all other weights of `model`, frozen, and its users' rows."""
    # What the memo already holds, deepcopy does not copy.
    memo: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    memo |= {id(shared): shared for shared in (*model.buffers(), model.objective)}
    rows = []
    for table in model.user_tables():
        rows.append(nn.Parameter(table.weight.detach().mean(0, keepdim=True).repeat(count, 1)))
        memo[id(table.weight)] = rows[-1]
    fitted = copy.deepcopy(model, memo).eval()
    for table in fitted.user_tables():
        table.num_embeddings = count
    return fitted, rows


class _Draws:
    """The batches of a fit: every item of every user, with negatives that differ from step to step.

    Attributes:
        weights: (E,) float32, 1 / the number of the user's items.
    """

    def __init__(self, histories: Histories, num_items: int, objective: Objective) -> None:
        self._objective = objective
        if "ratings" in objective.needs and histories.ratings is None:
            raise DataError("fold_in: the loss of the run needs ratings; expected one for each item, found none")
        starts = histories.counts.cumsum(0) - histories.counts
        some = (histories.counts < num_items)[histories.owners]  # who has everything has no negatives
        self._users, self._items = histories.owners[some], histories.items[some]
        self._ratings = None if histories.ratings is None else histories.ratings[some]
        places = torch.arange(len(histories.items), device=self._items.device) - starts[histories.owners]
        self._places = places[some]
        self._stride = num_items + 1
        self._keys = self._users * self._stride + self._items - self._places  # negatives below each item
        self._first = torch.searchsorted(self._users, self._users)
        self._free = num_items - histories.counts[self._users]
        self.weights = 1 / histories.counts[self._users].float()

    def batch(self, step: int) -> Batch:
        """Return the groups (E, 1+K) of a step."""
        negatives = self._negatives(step)
        log_probs = -self._free.double().log()[:, None].expand(negatives.shape).float()
        return Batch(
            self._users,
            torch.cat([self._items[:, None], negatives], dim=1),
            self._ratings if "ratings" in self._objective.needs else None,
            log_probs if "log_probs" in self._objective.needs else None,
            None if self._objective.frequencies is None else self._objective.frequencies[self._items],
        )

    def _negatives(self, step: int) -> Tensor:
        """Return (E, K) int64: the n-th items of all users share their random numbers, so none depends on who else."""
        longest = int(self._places.max()) + 1 if len(self._places) else 0
        stream = numpy_generator(self._objective.seed, f"new users/{step}")
        units = torch.from_numpy(stream.random((longest, self._objective.neg_ratio))).to(self._items.device)
        position = (units[self._places] * self._free[:, None]).long()
        passed = torch.searchsorted(self._keys, self._users[:, None] * self._stride + position, right=True)
        return position + passed - self._first[:, None]
