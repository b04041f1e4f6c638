"""Small candidates, genres and vectors for re-rankers, and the search that tries every item at each step."""

from collections.abc import Callable

import torch
from torch import Tensor

from ncf.retrieval.candidates import Candidates

USERS, COUNT, ITEMS, GENRES = 7, 9, 40, 5


def candidates(seed: int = 0, fewer: bool = True) -> Candidates:
    """Candidates of 7 users, the last two of whom have four and none."""
    stream = torch.Generator().manual_seed(seed)
    items = torch.stack([torch.randperm(ITEMS, generator=stream)[:COUNT] for _ in range(USERS)])
    scores = torch.randn(USERS, COUNT, generator=stream).sort(1, descending=True).values
    if fewer:
        scores[-2, 4:] = scores[-1] = -torch.inf
    return Candidates(torch.arange(USERS), items, scores)


def genres(seed: int = 0) -> Tensor:
    """(I, G): the first item has none, and some have the same."""
    table = (torch.rand(ITEMS, GENRES, generator=torch.Generator().manual_seed(seed)) < 0.4).float()
    table[0] = 0
    return table


def tastes(seed: int = 0) -> Tensor:
    """(U, G): the second user has none."""
    table = torch.rand(USERS, GENRES, generator=torch.Generator().manual_seed(seed))
    table[1] = 0
    return table / table.sum(1, keepdim=True).clamp(min=1e-9)


def brute_force(found: Candidates, k: int, value: Callable[[int, list[int], int], float]) -> list[list[int]]:
    """The positions that a search takes which works out `value(row, list so far, position)` for every one left."""
    lists = []
    for row in range(len(found.users)):
        left = found.there[row].nonzero()[:, 0].tolist()
        chosen: list[int] = []
        while left and len(chosen) < k:
            best = max(left, key=lambda position: (round(value(row, chosen, position), 5), -position))
            chosen.append(best)
            left.remove(best)
        lists.append(chosen + [-1] * (k - len(chosen)))
    return lists
