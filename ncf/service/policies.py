"""Policies: how a ranker's scores become the list of a session. Ranked, Plackett-Luce, or now and then a random list.

Shapes: `U` users, `M` sessions, `C` candidates of a user, `K` places of a list. Lists hold positions among candidates.
"""

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.registry import Registry
from ncf.service.plackett_luce import places_of

Temperature = Annotated[float, Field(ge=0.05, le=1000)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


def ranked(scores: Tensor, places: int) -> Tensor:
    """Return the lists (U, K) of the highest of scores (U, C), best first; of equal ones, the first comes first."""
    return scores.argsort(dim=1, descending=True, stable=True)[:, :places]


class Policy(ABC):
    """Makes lists of K candidates from scores (..., C).

    Attributes:
        fixed: whether a user's list is always the same.
    """

    fixed: bool = False

    @abstractmethod
    def marginals(self, scores: Tensor, places: int) -> Tensor:
        """Return the chance (U, C, K), float64, of each candidate at each place."""

    @abstractmethod
    def draw(self, scores: Tensor, places: int, stream: torch.Generator) -> Tensor:
        """Return the lists (M, K) of sessions with scores (M, C)."""

    @abstractmethod
    def chance(self, scores: Tensor, lists: Tensor) -> Tensor:
        """Return the chance (M,), float64, of whole lists (M, K) under scores (M, C)."""


class Ranked(Policy):
    """The best candidates, best first."""

    fixed = True

    def marginals(self, scores: Tensor, places: int) -> Tensor:
        """As `Policy.marginals`: scores (U, C) -> chances (U, C, K)."""
        found = scores.new_zeros((*scores.shape, places), dtype=torch.float64)
        return found.scatter_(1, ranked(scores, places)[:, None], 1.0)

    def draw(self, scores: Tensor, places: int, stream: torch.Generator) -> Tensor:
        """As `Policy.draw`: scores (M, C) -> lists (M, K)."""
        return ranked(scores, places)

    def chance(self, scores: Tensor, lists: Tensor) -> Tensor:
        """As `Policy.chance`: scores (M, C) and lists (M, K) -> chances (M,)."""
        return (ranked(scores, lists.shape[1]) == lists).all(1).double()


class PlackettLuce(Policy):
    """Draws place after place, without replacement, with chances proportional to exp(score / temperature).

    Source: Plackett (1975); drawn by adding Gumbel noise (Kool et al. 2019).
    """

    def __init__(self, *, temperature: Temperature) -> None:
        self.temperature = temperature

    def marginals(self, scores: Tensor, places: int) -> Tensor:
        """As `Policy.marginals`: scores (U, C) -> chances (U, C, K)."""
        return places_of(scores.double() / self.temperature, places)

    def draw(self, scores: Tensor, places: int, stream: torch.Generator) -> Tensor:
        """As `Policy.draw`: scores (M, C) -> lists (M, K)."""
        waits = torch.empty(scores.shape, device=scores.device).exponential_(generator=stream)
        return (scores / self.temperature - waits.clamp(min=1e-30).log()).topk(places).indices

    def chance(self, scores: Tensor, lists: Tensor) -> Tensor:
        """As `Policy.chance`: scores (M, C) and lists (M, K) -> chances (M,)."""
        logits = (scores.double() / self.temperature).clone()
        total = torch.zeros(len(scores), dtype=torch.float64, device=scores.device)
        for column in lists.T.unsqueeze(2):
            total += (logits.gather(1, column)[:, 0] - logits.logsumexp(1)).nan_to_num(nan=-torch.inf)
            logits.scatter_(1, column, -torch.inf)
        return total.exp()


class EpsilonMixed(Policy):
    """The best candidates or, with probability epsilon, candidates in a random order."""

    def __init__(self, *, epsilon: Epsilon) -> None:
        self.epsilon = epsilon

    def marginals(self, scores: Tensor, places: int) -> Tensor:
        """As `Policy.marginals`: scores (U, C) -> chances (U, C, K)."""
        return (1 - self.epsilon) * Ranked().marginals(scores, places) + self.epsilon / scores.shape[1]

    def draw(self, scores: Tensor, places: int, stream: torch.Generator) -> Tensor:
        """As `Policy.draw`: scores (M, C) -> lists (M, K)."""
        explores = torch.rand((len(scores), 1), generator=stream, device=scores.device) < self.epsilon
        order = torch.rand(scores.shape, generator=stream, device=scores.device)
        return torch.where(explores, order.topk(places).indices, ranked(scores, places))

    def chance(self, scores: Tensor, lists: Tensor) -> Tensor:
        """As `Policy.chance`: scores (M, C) and lists (M, K) -> chances (M,)."""
        left = torch.arange(scores.shape[1], scores.shape[1] - lists.shape[1], -1, dtype=torch.float64)
        return (1 - self.epsilon) * Ranked().chance(scores, lists) + self.epsilon / float(left.prod())


POLICIES = Registry("policy", {"ranked": Ranked, "plackett_luce": PlackettLuce, "epsilon_mixed": EpsilonMixed})
