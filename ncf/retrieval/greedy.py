"""Choose a list one item at a time, each the best beside those chosen before it, for many users at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates


class Reranker(ABC):
    """Chooses a list from candidates; objects hold tables of the data and nothing of the users at hand.

    Attributes:
        weight: lambda in [0, 1], the weight of relevance; at 1 the order of the candidates stays.
    """

    weight: float

    @abstractmethod
    def choose(self, candidates: Candidates, k: int) -> Tensor:
        """Return positions (B, k) int64 among the candidates in the order of the list; -1 after the last candidate.

        Of candidates that are equally good, the one that comes first does so here.
        """


def greedy(there: Tensor, k: int, objective: Callable[[], Tensor], take: Callable[[Tensor], None]) -> Tensor:
    """Return positions (B, k) int64 of the k items that a greedy search takes, -1 where none is left.

    Args:
        there: (B, C) bool, which places hold a candidate.
        objective: returns (B, C), finite, what each item would add to the list so far; the highest is taken.
        take: is told which (B,) was taken in each row; any position of a row where none was left.
    """
    closed = torch.zeros(there.shape).masked_fill_(~there, -torch.inf)
    positions = torch.full((len(there), k), -1)
    for step in range(min(k, there.shape[1])):
        value, at = (objective() + closed).max(1)  # of equal ones the first
        positions[:, step] = torch.where(value > -torch.inf, at, -1)
        closed.scatter_(1, at[:, None], -torch.inf)
        if step + 1 < k:
            take(at)
    return positions
