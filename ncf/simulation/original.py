"""The world of the notebook that this package grew out of, number for number: NumPy's legacy global stream.

One `RandomState` serves everything, in this order: attributes of users, then of items; in each period the order in
which users ask, the first recommendations of ALS at random, the draws of the Bayesian agent for users and then for
items, and one normal number, *the same for all users of the period*, as the noise of each agent's ratings. With seed
42, 1000 users and 1000 items, period 0 gives the regrets that the notebook printed: 1.568143 for its Bayesian agent
and 1.583331 for ALS. Its agents ran side by side on the one stream, so a stream alone skips what the other would draw.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf.simulation.base import State, Stream
from ncf.simulation.environments import Features, Items, Linear, Noise, Scores, Users


@dataclass(frozen=True)
class OriginalStream(Stream):
    """A stream that also holds the notebook's generator, for the agents that the notebook had."""

    legacy: np.random.RandomState | None = None

    def items(self, users: int, num_items: int) -> Tensor:
        """Draw items (B,) as the notebook's ALS does before it has learned."""
        assert self.legacy is not None
        return torch.from_numpy(self.legacy.choice(num_items, users))

    def gaussians(self, means: Tensor, covariances: Tensor) -> Tensor:
        """Draw from each of the Gaussians (R, D), (R, D, D) as the notebook does, one after the other: (R, D)."""
        assert self.legacy is not None
        pairs = zip(means.numpy(), covariances.numpy(), strict=True)
        return torch.from_numpy(np.stack([self.legacy.multivariate_normal(mean, cov) for mean, cov in pairs]))


class OriginalWorld(Linear):
    """`Linear` with the notebook's draws, on the CPU; everybody asks in every period."""

    def __init__(
        self, seed: int, scores: Scores | None, device: torch.device | str, *,
        users: Users, items: Items, features: Features, noise: Noise,
    ) -> None:  # fmt: skip
        self._legacy = np.random.RandomState(seed % 2**32)
        super().__init__(
            seed, scores, "cpu", users=users, items=items, features=features, requests=None, feedback="rating",
            noise=noise, drift=0.0,
        )  # fmt: skip
        self._table = torch.from_numpy(self.users.numpy() @ self.items.numpy().T)  # its last digits matter

    def _rows(self, tastes: Tensor) -> Tensor:
        return self._table[tastes]

    def _pairs(self, tastes: Tensor, items: Tensor) -> Tensor:
        return self._table[tastes, items]

    def _attributes(self, features: int) -> tuple[Tensor, Tensor]:
        """Return the attributes of users (U, D) and items (I, D)."""
        users = self._legacy.rand(self.num_users, features)
        return torch.from_numpy(users), torch.from_numpy(self._legacy.rand(self.num_items, features))

    def begin(self, period: int) -> Tensor:
        """Return all users in the order in which they ask; periods have to come one after the other."""
        self._period = period
        return torch.from_numpy(self._legacy.choice(self.num_users, self.num_users, replace=False))

    def stream(self) -> Stream:
        """Return a stream with the notebook's generator."""
        return OriginalStream(self.seed, self._period, self.device, self._legacy)

    def step(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the rewards (B,): every mean with the same noise."""
        self._legacy.randn()  # of the other agent's ratings
        return self.mean(users, items) + self.noise * self._legacy.randn()

    def state(self) -> State:
        """Return the state of the generator."""
        _, keys, position, has_gauss, gauss = self._legacy.get_state()
        place = torch.tensor([float(position), float(has_gauss), float(gauss)], dtype=torch.float64)
        return {"keys": torch.from_numpy(np.asarray(keys, np.int64)), "place": place}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        position, has_gauss, gauss = state["place"].tolist()
        keys = state["keys"].numpy().astype(np.uint32)
        self._legacy.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
