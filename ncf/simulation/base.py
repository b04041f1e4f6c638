"""What an agent and an environment are: the two sides of a simulation."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ncf.core.rng import generator
from ncf.errors import ConfigError, DataError

_SCORES_AT_ONCE = 2**22  # users x items whose scores an agent holds at a time
State = dict[str, Tensor]


@dataclass(frozen=True)
class Stream:
    """The random numbers with which an agent explores in one period, in blocks addressed by their number."""

    seed: int
    period: int
    device: torch.device | str = "cpu"

    def block(self, number: int) -> torch.Generator:
        """Return the generator of a block: the same for equal seed, period and number."""
        return generator(self.seed, "exploration", self.period, number, self.device)


class Recommendations(NamedTuple):
    """What an agent recommends to B users.

    Attributes:
        items: (B,) int64.
        predicted: (B,) float, the reward that the agent expects; NaN where it does not know yet.
        propensity: (B,) float, the probability with which the agent recommends this item; NaN where it cannot say.
    """

    items: Tensor
    predicted: Tensor
    propensity: Tensor


class Agent(ABC):
    """Recommends one item to each user who asks, and learns from the rewards.

    A subclass implements `_choose`, `_learn`, `_score`, and `_state` and `_load` for all that it has learned. It draws
    only from streams that it is given: `_choose` from its argument, `_learn` from `self.learning()`.

    Args:
        num_users: U, from 0 to U - 1.
        num_items: I, likewise.
        seed: of the streams that `_learn` draws from.
        device: of all tensors.

    Raises:
        ConfigError: the agent needs more items.
    """

    least_items: ClassVar[int] = 2

    def __init__(self, num_users: int, num_items: int, seed: int, device: torch.device | str = "cpu") -> None:
        if num_items < self.least_items:
            raise ConfigError(
                f"environment.items: expected at least {self.least_items} for the agent to choose from, got {num_items}"
            )
        self.num_users, self.num_items, self.seed, self.device = num_users, num_items, seed, torch.device(device)
        self.periods = 0  # how often it has learned

    @torch.no_grad()
    def recommend(self, users: Tensor, stream: Stream) -> Recommendations:
        """Recommend an item to each of `users` (B,) int64; what is random is drawn from `stream`.

        Raises:
            DataError: nobody asks, a user is not in the world, or the agent's equations have no solution.
        """
        self._check(users)
        size = self.users_at_once()
        with self._solvable():
            self._prepare(stream)
            parts = [self._choose(part, stream.block(number)) for number, part in enumerate(users.split(size))]
        return Recommendations(*map(torch.cat, zip(*parts, strict=True)))

    @torch.no_grad()
    def learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        """Learn from a period: users, items (B,) int64 and rewards (B,).

        Raises:
            DataError: lengths differ, a user or item is not in the world, a reward is NaN or infinite, or the
                agent's equations have no solution.
        """
        self._check(users)
        if not users.shape == items.shape == rewards.shape:
            shapes = f"{tuple(users.shape)}, {tuple(items.shape)} and {tuple(rewards.shape)}"
            raise DataError(f"learn: expected users, items and rewards of equal length, got {shapes}")
        refuse_outside("item", items, self.num_items)
        if not (finite := rewards.isfinite()).all():
            where = int((~finite).nonzero()[0])
            raise DataError(
                f"rewards: expected finite numbers, got {float(rewards[where])} for user {int(users[where])} and item "
                f"{int(items[where])}"
            )
        with self._solvable():
            self._learn(users, items, rewards.double())
        self.periods += 1

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """users (B,) -> the reward that the agent expects of every item (B, I) float32, without exploration.

        Raises DataError as `recommend`.
        """
        self._check(users)
        return self._score(users).float()

    def users_at_once(self) -> int:
        """Return for how many users `_choose` is called at a time, which bounds the memory of their scores."""
        return max(1, _SCORES_AT_ONCE // self.num_items)

    def learning(self, block: int = 0) -> torch.Generator:
        """Return the generator for what is drawn while learning from this period."""
        return generator(self.seed, "learning", self.periods, block, self.device)

    def state(self) -> State:
        """Return everything that the agent has learned; with it, `load` goes on to the same bits."""
        return {"periods": torch.tensor(self.periods), **self._state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`: tensors (...) by name."""
        self.periods = int(state["periods"])
        self._load({name: tensor.to(self.device) for name, tensor in state.items() if name != "periods"})

    @contextmanager
    def _solvable(self) -> Iterator[None]:
        """Raise DataError in place of what linear algebra raises for a matrix that is not positive definite."""
        try:
            yield
        except torch.linalg.LinAlgError:
            raise DataError(
                f"agent: expected equations that have a solution, found none in period {self.periods}: rounding "
                "decides; a larger agent.noise or agent.l2, or a smaller agent.prior_variance, helps"
            ) from None

    def _check(self, users: Tensor) -> None:
        if not users.numel():
            raise DataError("users: expected at least one request in a period, got none")
        refuse_outside("user", users, self.num_users)

    def _prepare(self, stream: Stream) -> None:  # noqa: B027  most agents draw nothing for all users together
        """Draw what all users of a period share."""

    @abstractmethod
    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations: ...

    @abstractmethod
    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None: ...

    @abstractmethod
    def _score(self, users: Tensor) -> Tensor: ...

    @abstractmethod
    def _state(self) -> State: ...

    @abstractmethod
    def _load(self, state: State) -> None: ...


def best_of(scores: Tensor) -> tuple[Tensor, Tensor]:
    """scores (B, I) -> the highest of each row (B,) and where it is (B,)."""
    highest, items = scores.max(1)
    return highest, items


def certain(items: Tensor) -> Tensor:
    """Return propensities (B,) of one."""
    return torch.ones(len(items), dtype=torch.float64, device=items.device)


def unknown(items: Tensor) -> Tensor:
    """Return NaN (B,)."""
    return torch.full((len(items),), torch.nan, dtype=torch.float64, device=items.device)


def at_random(users: Tensor, num_items: int, stream: torch.Generator) -> Recommendations:
    """Recommend items drawn uniformly to `users` (B,)."""
    items = torch.randint(num_items, users.shape, generator=stream, device=users.device)
    return Recommendations(items, unknown(items), certain(items) / num_items)


def refuse_outside(what: str, indices: Tensor, size: int) -> None:
    """Raise DataError if one of `indices` (N,) is not in [0, size)."""
    outside = (indices < 0) | (indices >= size)
    if outside.any():
        found = int(indices[outside][0])
        raise DataError(f"{what}: expected one of the world's {size:,} {what}s, 0 to {size - 1}, got {found}")
