"""Environments: users and items with hidden attributes, who ask for recommendations and reward them.

An environment is a pure function of its seed and the period: it can be taken up at any period. The noise of a reward is
addressed by period and user, not by item, so that two agents in the same world are paired user by user.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.rng import generator
from ncf.errors import ConfigError, DataError
from ncf.simulation.base import State, Stream, refuse_outside

_SCORES_AT_ONCE = 2**23
_CLICK_SLOPE = 2.0  # of the probability of a click: a rating of 1 above the world's mean is clicked with .88

Users = Annotated[int, Field(ge=1, le=100_000_000)]
Items = Annotated[int, Field(ge=1, le=10_000_000)]
Features = Annotated[int, Field(ge=1, le=1000)]
Requests = Annotated[int, Field(ge=1)] | None
Feedback = Literal["rating", "click"]
Noise = Annotated[float, Field(ge=0, le=1e6)]
Drift = Annotated[float, Field(ge=0, le=1)]
Scores = Callable[[str], Tensor]
"""Returns the scores (U, I) of the finished run in a folder."""


class Environment(ABC):
    """A world in which users ask, are recommended an item, and reward it.

    Args:
        seed: of everything random.
        num_users: U.
        num_items: I.
        device: of all tensors.
        requests: users who ask in each period, each at most once; None: all of them.
        feedback: "rating", the mean plus normal noise, or "click", 1 with the probability that is the mean, else 0.
        noise: standard deviation of a rating around its mean.
        drift: share of the users who, in each period after the first, take on the tastes of a user drawn at random.

    Raises:
        ConfigError: more requests than users.
    """

    def __init__(
        self, seed: int, num_users: int, num_items: int, device: torch.device | str, *, requests: int | None,
        feedback: Feedback, noise: float, drift: float,
    ) -> None:  # fmt: skip
        if requests is not None and requests > num_users:
            raise ConfigError(f"environment.requests: expected at most the {num_users} users, got {requests}")
        self.seed, self.num_users, self.num_items, self.device = seed, num_users, num_items, torch.device(device)
        self.feedback, self.noise, self.drift = feedback, noise, drift
        self._requests = requests
        self._period = 0
        self._tastes = torch.arange(num_users, device=device)  # whose attributes each user has
        self._best: Tensor | None = None  # (U,) by whose attributes
        self._best_item: int | None = None

    def begin(self, period: int) -> Tensor:
        """Go to `period`, from 0, not before the current one; return the users who ask, (B,) int64."""
        while self._period < period:
            self._period += 1
            if self.drift:
                self._drift()
        if self._requests is None:
            return torch.arange(self.num_users, device=self.device)
        stream = generator(self.seed, "requests", period)
        return torch.randperm(self.num_users, generator=stream)[: self._requests].to(self.device)

    def _drift(self) -> None:
        stream = generator(self.seed, "drift", self._period)
        changing = (torch.rand(self.num_users, generator=stream) < self.drift).to(self.device)
        others = torch.randint(self.num_users, (self.num_users,), generator=stream).to(self.device)
        self._tastes = torch.where(changing, others, self._tastes)
        self._best_item = None

    def stream(self) -> Stream:
        """Return the stream with which agents explore in this period."""
        return Stream(self.seed, self._period, self.device)

    def step(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the rewards (B,) of recommending items (B,) to users (B,); pure: asked twice, it answers alike.

        Raises DataError for a user or item that is not in the world.
        """
        mean = self.mean(users, items)
        stream = generator(self.seed, "noise", self._period)
        if self.feedback == "click":
            return (torch.rand(self.num_users, generator=stream, dtype=mean.dtype).to(mean)[users] < mean).to(mean)
        return mean + self.noise * torch.randn(self.num_users, generator=stream, dtype=mean.dtype).to(mean)[users]

    def mean(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the mean rewards (B,) of items (B,) for users (B,). Raises DataError as `step`."""
        refuse_outside("user", users, self.num_users)
        refuse_outside("item", items, self.num_items)
        return self._linked(self._pairs(self._tastes[users], items))

    def means(self, users: Tensor) -> Tensor:
        """Return the mean rewards (B, I) of every item for users (B,). Raises DataError as `step`."""
        refuse_outside("user", users, self.num_users)
        return self._linked(self._rows(self._tastes[users]))

    def best(self, users: Tensor) -> Tensor:
        """Return the highest mean reward (B,) that each of the users (B,) can have."""
        if self._best is None:
            everyone = torch.arange(self.num_users, device=self.device)
            self._best = torch.cat([self._linked(self._rows(part)).amax(1) for part in self._parts(everyone)])
        return self._best[self._tastes[users]]

    def best_item(self) -> int:
        """Return the item whose mean reward over all users is highest: the best that is the same for everybody."""
        if self._best_item is None:
            totals = sum((self._linked(self._rows(part)).sum(0) for part in self._parts(self._tastes)), torch.zeros(()))
            self._best_item = int(totals.argmax())
        return self._best_item

    def _parts(self, rows: Tensor) -> Iterator[Tensor]:
        return iter(rows.split(max(1, _SCORES_AT_ONCE // self.num_items)))

    def _linked(self, values: Tensor) -> Tensor:
        """Return mean rewards for values of any shape: themselves, or probabilities of a click."""
        return values if self.feedback == "rating" else torch.sigmoid(_CLICK_SLOPE * (values - self._centre()))

    @abstractmethod
    def _centre(self) -> float:
        """Return the value that is clicked with probability one half."""

    @abstractmethod
    def _rows(self, tastes: Tensor) -> Tensor:
        """Return the values (B, I) of every item, by whose attributes (B,)."""

    @abstractmethod
    def _pairs(self, tastes: Tensor, items: Tensor) -> Tensor:
        """Return the values (B,) of items (B,), by whose attributes (B,)."""

    def state(self) -> State:
        """Return what cannot be computed again from seed and period: nothing."""
        return {}

    def load(self, state: State) -> None:  # noqa: B027  most have no state
        """Go on from a `state`."""


class Linear(Environment):
    """A value is the inner product of user and item attributes, each uniform on [0, 1]: float64.

    Attributes that are never negative make quality dominate: an item with large ones is good for everybody.
    """

    def __init__(
        self, seed: int, scores: Scores | None, device: torch.device | str, *,
        users: Users, items: Items, features: Features, requests: Requests, feedback: Feedback, noise: Noise,
        drift: Drift,
    ) -> None:  # fmt: skip
        super().__init__(seed, users, items, device, requests=requests, feedback=feedback, noise=noise, drift=drift)
        self.users, self.items = (part.to(device) for part in self._attributes(features))

    def _attributes(self, features: int) -> tuple[Tensor, Tensor]:
        """Return the attributes of users (U, D) and items (I, D)."""
        streams = (generator(self.seed, "world", 0, block) for block in range(2))
        users, items = (
            torch.rand(size, features, generator=stream, dtype=torch.float64)
            for size, stream in zip((self.num_users, self.num_items), streams, strict=True)
        )
        return users, items

    def _centre(self) -> float:
        return float(self.users.mean(0) @ self.items.mean(0))

    def _rows(self, tastes: Tensor) -> Tensor:
        return self.users[tastes] @ self.items.T

    def _pairs(self, tastes: Tensor, items: Tensor) -> Tensor:
        return (self.users[tastes] * self.items[items]).sum(1)


class LinearFixedNorm(Linear):
    """As `Linear`, but attributes are directions, uniform on the sphere, of one length: taste decides, not quality.

    The length is sqrt(D / 3), the root mean square of that of attributes uniform on [0, 1].
    """

    def _attributes(self, features: int) -> tuple[Tensor, Tensor]:
        """Return the attributes of users (U, D) and items (I, D)."""
        length = (features / 3) ** 0.5
        parts = []
        for size, block in ((self.num_users, 0), (self.num_items, 1)):
            stream = generator(self.seed, "world", 0, block)
            normals = torch.randn(size, features, generator=stream, dtype=torch.float64)
            parts.append(length * torch.nn.functional.normalize(normals, dim=1))
        return parts[0], parts[1]


class MovieLens(Environment):
    """A world from the scores of a finished run: who likes what is as that run has it.

    A value is the score, standardised over all users and items, squeezed by the logistic function into (0, 1): the mean
    rating, or the probability of a click.
    """

    def __init__(
        self, seed: int, scores: Scores | None, device: torch.device | str, *, run: str,
        requests: Requests, feedback: Feedback, noise: Noise, drift: Drift,
    ) -> None:  # fmt: skip
        if not run:
            raise ConfigError("environment.run: expected the folder of a finished run, got none")
        if scores is None:
            raise ConfigError("environment.run: expected scores of the run, got none")
        found = scores(run).double()
        if not found.isfinite().all():
            raise DataError(f"{run}: expected a finite score of every item, found NaN or inf")
        if not found.amax() > found.amin():
            raise DataError(f"{run}: expected scores that differ, found {float(found.amin()):g} everywhere")
        size = len(found), found.shape[1]
        super().__init__(seed, *size, device, requests=requests, feedback=feedback, noise=noise, drift=drift)
        self._values = torch.sigmoid((found - found.mean()) / found.std()).to(device)

    def _centre(self) -> float:
        return 0.0

    def _linked(self, values: Tensor) -> Tensor:
        return values

    def _rows(self, tastes: Tensor) -> Tensor:
        return self._values[tastes]

    def _pairs(self, tastes: Tensor, items: Tensor) -> Tensor:
        return self._values[tastes, items]
