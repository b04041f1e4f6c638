"""Optimism: recommend the item whose reward may be highest."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.simulation.agents.thompson import Factors, Mean, Positive, Sweeps, Thompson


class UCB(Thompson):
    """Recommends the highest upper confidence bound, mean + `width` standard deviations of the posterior of u . v.

    As LinUCB (Li et al. 2010), but users and items are both learned, by the posterior that `Thompson` draws from.
    Nothing is random, so users of whom as much is known go after the same items.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, factors: Factors,
        prior_mean: Mean, prior_variance: Positive, noise: Positive, empirical: bool,
        learn_noise: bool, sweeps: Sweeps,
        width: Annotated[float, Field(ge=0, le=100)],
    ) -> None:  # fmt: skip
        super().__init__(
            num_users, num_items, seed, device, factors=factors, prior_mean=prior_mean, prior_variance=prior_variance,
            noise=noise, empirical=empirical, learn_noise=learn_noise, sweeps=sweeps,
        )  # fmt: skip
        self._width = width

    def _explored(self, users: Tensor, stream: torch.Generator) -> Tensor:
        return self.posterior.means(users).float() + self._width * self.posterior.deviations(users)
