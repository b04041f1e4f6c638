"""The Bayesian agent of the notebook that this package grew out of, kept to reproduce it; batched exactly.

A user's Gaussian is updated by `n_samples` draws of the item's as if each were an item that the user had rated so, then
the item's by as many draws of the user's new one. So the precision of the noise that the agent assumes is not beta but
beta x n_samples: at the defaults .1 x 1000 = 1 / .1^2, which is right by luck.

Updates depend on one another only through the item: with the interactions of a period in the order given, those that
are the k-th of their items are independent, and are made at once, round by round. Of the draws, an update needs only
the mean and the scatter, which are independent, normal and Wishart, and so are drawn instead.
"""

import logging
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.errors import ConfigError
from ncf.simulation.agents.thompson import Factors, Positive, refuse_more_factors
from ncf.simulation.base import Agent, Recommendations, State, Stream, best_of, unknown
from ncf.simulation.gaussians import bartlett, drawn_by_precision, normals
from ncf.simulation.original import OriginalStream

log = logging.getLogger(__name__)

_SAMPLES, _BETA = 1000, 0.1  # of the notebook


class BayesOriginal(Agent):
    """Draws a vector for each user and *one for each item, which all users share*, and recommends the best item.

    Args:
        alpha: variance of the prior, N(0, alpha), of every coordinate.
        beta: by which each draw counts.
        n_samples: draws an update; at least factors + 1.
    """

    def __init__(
        self, num_users: int, num_items: int, seed: int, device: torch.device | str, *, factors: Factors,
        alpha: Positive, beta: Positive, n_samples: Annotated[int, Field(ge=2, le=1_000_000)],
    ) -> None:  # fmt: skip
        super().__init__(num_users, num_items, seed, device)
        refuse_more_factors(factors, num_items)
        if n_samples <= factors:
            raise ConfigError(f"agent.n_samples: expected more than agent.factors={factors}, got {n_samples}")
        if n_samples != _SAMPLES:
            log.warning(
                "agent.n_samples=%d also changes the model: beta x n_samples is the precision of the noise that the "
                "agent assumes, here %g, against %g at the notebook's defaults; agent.beta=%g would keep that",
                n_samples, beta * n_samples, _BETA * _SAMPLES, _BETA * _SAMPLES / n_samples,
            )  # fmt: skip
        self._beta, self._samples = beta, n_samples
        identity = torch.eye(factors, dtype=torch.float64, device=device)
        self.precisions = [(identity / alpha).repeat(size, 1, 1) for size in (num_users, num_items)]
        self.rights = [identity.new_zeros(size, factors) for size in (num_users, num_items)]  # precision x mean
        self._items: Tensor | None = None  # this period's draw

    def recommend(self, users: Tensor, stream: Stream) -> Recommendations:
        """Recommend an item to each of `users` (B,). Raises DataError as `Agent`."""
        if not isinstance(stream, OriginalStream):
            return super().recommend(users, stream)
        self._check(users)
        if not self.periods:
            stream.items(len(users), self.num_items)  # of ALS, which ran on the same stream
        everything = torch.arange(self.num_items)
        vectors = stream.gaussians(*self._gaussians(0, users))
        items = stream.gaussians(*self._gaussians(1, everything))
        predicted, chosen = best_of(vectors @ items.T)
        return Recommendations(chosen, predicted, unknown(chosen))

    def _gaussians(self, side: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means (R, D) and covariances (R, D, D) of `rows` (R,)."""
        covariances = torch.cholesky_inverse(torch.linalg.cholesky(self.precisions[side][rows]))
        return (covariances @ self.rights[side][rows][..., None])[..., 0], covariances

    def _prepare(self, stream: Stream) -> None:
        self._items = drawn_by_precision(self.precisions[1], self.rights[1], stream.block(-1))

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        assert self._items is not None
        vectors = drawn_by_precision(self.precisions[0][users], self.rights[0][users], stream)
        predicted, chosen = best_of(vectors @ self._items.T)
        return Recommendations(chosen, predicted, unknown(chosen))

    def _learn(self, users: Tensor, items: Tensor, rewards: Tensor) -> None:
        size, stream = self.rights[0].shape[1], self.learning()
        noise = []  # for the draws of items and of users: a Bartlett factor and a normal vector each, (B, D, D + 1)
        for _ in range(2):
            scatters = bartlett(len(users), size, self._samples - 1, stream, self.device)
            noise.append(torch.cat([scatters, normals((len(users), size, 1), stream, self.device)], 2))
        turns = list(rounds(users, items))
        sizes, order = [len(rows) for rows in turns], torch.cat(turns)
        by_round = (values[order].split(sizes) for values in (users, items, rewards))
        parts = zip(*by_round, *(part.split(sizes) for part in noise), strict=True)
        for some_users, some_items, ratings, of_items, of_users in parts:
            self._update(0, (some_users, some_items), ratings, of_items)
            self._update(1, (some_users, some_items), ratings, of_users)

    def _update(self, side: int, pair: tuple[Tensor, Tensor], rewards: Tensor, noise: Tensor) -> None:
        """Update rows pair[side] (R,), each different, by draws of pair[1 - side] (R,), also different.

        With precision L L' of the other, its draws' scatter is F F' for F = L'^-1 A, A the Bartlett factor, and their
        mean, times the root of n, is L'^-1 (root n L^-1 right + normals): so their X'X is G G' for G = (F, that).

        Args:
            side: 0 to update users by draws of items, 1 the other way round.
            pair: users and items.
            rewards: (R,).
            noise: (R, D, D + 1): A, and normals; it is used up.
        """
        own, other = pair[side], pair[1 - side]
        factors, _ = torch.linalg.cholesky_ex(self.precisions[1 - side][other])
        right = self.rights[1 - side][other][..., None]
        root = self._samples**0.5
        noise[..., -1:].add_(torch.linalg.solve_triangular(factors, right, upper=False), alpha=root)
        drawn = torch.linalg.solve_triangular(factors.mT, noise, upper=True)
        self.precisions[side].index_add_(0, own, drawn @ drawn.mT, alpha=self._beta)
        self.rights[side].index_add_(0, own, rewards[:, None] * drawn[..., -1], alpha=self._beta * root)

    def _score(self, users: Tensor) -> Tensor:
        everything = torch.arange(self.num_items, device=self.device)
        return self._gaussians(0, users)[0] @ self._gaussians(1, everything)[0].T

    def _state(self) -> State:
        names = ("users", "items")
        state = {f"{name}.precisions": value for name, value in zip(names, self.precisions, strict=True)}
        return state | {f"{name}.rights": value for name, value in zip(names, self.rights, strict=True)}

    def _load(self, state: State) -> None:
        self.precisions = [state[f"{name}.precisions"] for name in ("users", "items")]
        self.rights = [state[f"{name}.rights"] for name in ("users", "items")]


def rounds(users: Tensor, items: Tensor) -> Iterator[Tensor]:
    """Yield the positions (R,) of interactions that can be made at once: no user and no item comes up twice in them.

    Every user's and every item's interactions come in their order where users are different; where some come up again,
    first all users' first ones.
    """
    again = occurrence(users)
    for turn in range(int(again.max()) + 1):
        rows = (again == turn).nonzero()[:, 0]
        place = occurrence(items[rows])
        order = torch.sort(place, stable=True).indices
        yield from rows[order].split(torch.bincount(place).tolist())


def occurrence(values: Tensor) -> Tensor:
    """(N,) -> (N,): how many equal values come before each."""
    ordered, order = torch.sort(values, stable=True)
    starts = torch.searchsorted(ordered, ordered)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(values), device=values.device) - starts)
