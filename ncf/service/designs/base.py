"""What a design is: a way to ask what B does instead of A, whose answers are estimates beside the truth."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ncf.errors import ConfigError
from ncf.service.sample import Sample
from ncf.service.service import Service
from ncf.stats.estimate import Estimate

CLICKS = "clicks a session"


class Cost(NamedTuple):
    """What a method takes.

    Attributes:
        sessions: sessions that it looks at.
        shown_b: and how many of them were shown B.
    """

    sessions: float = 0.0
    shown_b: float = 0.0


_NO_COST = Cost()


@dataclass(frozen=True, eq=False)
class Answer:
    """What one method says in one replication.

    Attributes:
        method: as a table names it.
        estimate: in the unit of its estimand.
        truth: what it estimates, exact; NaN where the exact value is of another unit.
        estimand: what that is.
        cost: what the method takes.
        numbers: further numbers by name, a column each.
    """

    method: str
    estimate: Estimate
    truth: float
    estimand: str = CLICKS
    cost: Cost = _NO_COST
    numbers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Design(ABC):
    """Settings of a design; `answers` does the rest."""

    def check(self, service: Service) -> None:  # noqa: B027  most go with any service
        """Raise ConfigError if the design does not go with the service."""

    @abstractmethod
    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """Yield the answers of each replication of a sample, in order."""


def chosen(order: Tensor, share: float) -> Tensor:
    """Return which units (R, N) bool are among the first `share` of a random order (R, N)."""
    n = order.shape[1]
    found = torch.zeros(order.shape, dtype=torch.bool, device=order.device)
    return found.scatter_(1, order[:, : round(share * n)], True)


def refuse_small_arms(name: str, units: int, share: float, what: str = "users") -> None:
    """Raise ConfigError if one of two arms would have fewer than two units."""
    if min(round(share * units), units - round(share * units)) < 2:
        raise ConfigError(
            f"design.{name}.share: expected a share that leaves at least 2 {what} in each arm of {units}, got {share}"
        )
