"""Alternating least squares: point estimates of users and items, refined after each period."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.rng import generator
from ncf.simulation.agents.thompson import Factors, Sweeps, refuse_more_factors
from ncf.simulation.base import Agent, Recommendations, State, Stream, at_random
from ncf.simulation.gaussians import outer, unpacked
from ncf.simulation.interactions import Interactions, Rows
from ncf.simulation.original import OriginalStream
from ncf.simulation.policies import Epsilon, Temperature, greedy

First = Literal["uniform", "absolute", "normal"]
_ROWS_AT_ONCE = 2**15


class ALS(Agent):
    """Minimises squared errors + l2 n |x|^2, n a row's number of rewards, as Spark's ALS does (Zhou et al. 2008).

    Recommends at random in the first period; then the best item for each user by its estimates, or, with probability
    `epsilon`, any item; or by softmax with a `temperature` above 0.

    Args:
        first: factors of the items before the first fit: "uniform" on [0, 1], or directions of norm 1 that are
            "normal", or the "absolute" values of those. It decides where a greedy agent ends.
        fresh: whether each fit starts from the first factors, as Spark's does; else from those of the period before.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, factors: Factors,
        l2: Annotated[float, Field(gt=0, le=1e6)], sweeps: Sweeps, first: First, fresh: bool, epsilon: Epsilon,
        temperature: Temperature,
    ) -> None:  # fmt: skip
        super().__init__(num_users, num_items, seed, device)
        refuse_more_factors(factors, num_items)
        self._l2, self._sweeps, self._fresh, self._epsilon, self._temperature = l2, sweeps, fresh, epsilon, temperature
        self.seen = Interactions(num_users, num_items, device)
        stream = generator(seed, "initialisation", device=device)
        draw = torch.rand if first == "uniform" else torch.randn
        drawn = draw(num_items, factors, generator=stream, dtype=torch.float64, device=device)
        if first != "uniform":
            drawn = torch.nn.functional.normalize(drawn.abs() if first == "absolute" else drawn, dim=1)
        self._first = drawn
        self.users = torch.zeros(num_users, factors, dtype=torch.float64, device=device)
        self.items = self._first

    def recommend(self, users: Tensor, stream: Stream) -> Recommendations:
        """Recommend an item to each of `users` (B,). Raises DataError as `Agent`."""
        if isinstance(stream, OriginalStream) and not self.periods:
            found = at_random(users, self.num_items, stream.block(0))
            return found._replace(items=stream.items(len(users), self.num_items))
        return super().recommend(users, stream)

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        if not self.periods:
            return at_random(users, self.num_items, stream)
        return greedy(self._score(users), stream, self._epsilon, self._temperature)

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self.seen.add(users, items, rewards)
        if self._fresh:
            self.items = self._first
        self.fit()

    def fit(self) -> None:
        """Solve, `sweeps` times, for all users given the items and then for all items given the users.

        Rows without a reward get factors of 0, except that items keep theirs.
        """
        by_user, by_item = self.seen.by_user(), self.seen.by_item()
        for _ in range(self._sweeps):
            self.users = self._half_step(by_user, self.items)
            known = by_item.starts[1:] > by_item.starts[:-1]
            self.items = torch.where(known[:, None], self._half_step(by_item, self.users), self.items)

    def _half_step(self, rows: Rows, fixed: Tensor) -> Tensor:
        """Return the factors (R, D) of `rows`, given those of the other side, `fixed` (R', D)."""
        size, table = len(rows.starts) - 1, torch.cat([outer(fixed), fixed.new_ones(len(fixed), 1)], 1)
        parts = []
        for first in range(0, size, _ROWS_AT_ONCE):
            part = rows.part(first, min(first + _ROWS_AT_ONCE, size))
            sums = part.counted(table)
            systems = unpacked(sums[:, :-1], fixed.shape[1])
            systems.diagonal(dim1=1, dim2=2).add_(self._l2 * sums[:, -1:].clamp(min=1))
            solution = torch.cholesky_solve(part.summed(fixed)[..., None], torch.linalg.cholesky(systems))
            parts.append(solution[..., 0])
        return torch.cat(parts)

    def _score(self, users: Tensor) -> Tensor:
        return self.users[users] @ self.items.T

    def _state(self) -> State:
        return {**self.seen.state(), "users": self.users, "items": self.items}

    def _load(self, state: State) -> None:
        self.seen.load(state)
        self.users, self.items = state["users"], state["items"]
