"""The mean reward of each item, whoever the user is: a normal model with a common prior, fitted to all rewards."""

import torch
from torch import Tensor

from ncf.simulation.base import State


class ItemMeans:
    """Rewards of item i are N(m_i, s^2) and the means m_i are N(m, t^2); m, t and s are estimated from the rewards.

    s^2 is the variance within items, pooled; m and t^2 follow by the method of moments (DerSimonian and Laird 1986).
    """

    def __init__(self, num_items: int, device: torch.device | str = "cpu") -> None:
        self._totals = torch.zeros(3, num_items, dtype=torch.float64, device=device)  # counts, sums, sums of squares

    def add(self, items: Tensor, rewards: Tensor) -> None:
        """Add rewards (B,) float64 of items (B,)."""
        terms = torch.stack([torch.ones_like(rewards), rewards, rewards.square()])
        self._totals.index_add_(1, items, terms)

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Return the means (I,) and variances (I,) of the items' mean rewards; before any reward, 0 and 1."""
        counts, sums, squares = self._totals
        total = counts.sum()
        if not total:
            return torch.zeros_like(sums), torch.ones_like(sums)
        means = sums / counts.clamp(min=1)
        seen = counts > 0
        spare = (total - seen.sum()).clamp(min=1)
        within = ((squares - counts * means.square()).clamp(min=0).sum() / spare).clamp(min=1e-9)
        overall = sums.sum() / total
        deviations = (counts * (means - overall).square()).sum()
        weight = (total - counts.square().sum() / total).clamp(min=1e-9)
        between = ((deviations - (seen.sum() - 1) * within) / weight).clamp(min=1e-3 * float(within))
        precisions = 1 / between + counts / within
        return (overall / between + sums / within) / precisions, 1 / precisions

    def state(self) -> State:
        """Return what `load` takes."""
        return {"totals": self._totals}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._totals = state["totals"]
