"""Thompson sampling with a factor model: draw what rewards may be from the posterior, recommend the highest."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.rng import generator
from ncf.errors import ConfigError
from ncf.simulation.base import Agent, Recommendations, State, best_of, unknown
from ncf.simulation.interactions import Interactions
from ncf.simulation.posterior import Posterior

Factors = Annotated[int, Field(ge=1, le=500)]
Mean = Annotated[float, Field(ge=-1e3, le=1e3)]
Positive = Annotated[float, Field(ge=1e-12, le=1e6)]
Sweeps = Annotated[int, Field(ge=1, le=1000)]


class Thompson(Agent):
    """Draws every user's scores on their own and recommends the item with the highest (Thompson 1933).

    The posterior is that of `ncf.simulation.posterior`, brought up to date by `sweeps` sweeps after each period. One
    draw of the items for all users of a period would send all of them after the same items; see `bayes_original`.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, factors: Factors,
        prior_mean: Mean, prior_variance: Positive, noise: Positive, empirical: bool,
        learn_noise: bool, sweeps: Sweeps,
    ) -> None:  # fmt: skip
        super().__init__(num_users, num_items, seed, device)
        refuse_more_factors(factors, num_items)
        self._sweeps = sweeps
        self.seen = Interactions(num_users, num_items, device)
        stream = generator(seed, "initialisation", device=device)
        self.posterior = Posterior(
            num_users, num_items, factors, prior_mean=prior_mean, prior_variance=prior_variance, noise=noise,
            empirical=empirical, learn_noise=learn_noise, stream=stream, device=device,
        )  # fmt: skip

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        _, items = best_of(self._explored(users, stream))
        expected = (self.posterior.sides[0].means[users] * self.posterior.sides[1].means[items]).sum(1)
        return Recommendations(items, expected, unknown(items))

    def _explored(self, users: Tensor, stream: torch.Generator) -> Tensor:
        """Return the scores (B, I) whose highest is recommended."""
        return self.posterior.drawn(users, stream)

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        self.seen.add(users, items, rewards)
        for _ in range(self._sweeps):
            self.posterior.sweep(self.seen)

    def _score(self, users: Tensor) -> Tensor:
        return self.posterior.means(users)

    def _state(self) -> State:
        return {**self.seen.state(), **self.posterior.state()}

    def _load(self, state: State) -> None:
        self.seen.load(state)
        self.posterior.load(state)


def refuse_more_factors(factors: int, num_items: int) -> None:
    """Raise ConfigError if there are fewer items than factors: nothing could tell the factors apart."""
    if factors > num_items:
        raise ConfigError(f"agent.factors: expected at most the {num_items} items of the environment, got {factors}")
