"""A service: a world, a policy, and the question what showing B's lists instead of A's does, with the exact answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ncf.service.policies import Policy
from ncf.service.world import Pool, World


@dataclass(frozen=True, eq=False)
class Service:
    """What is asked, and where.

    Attributes:
        world: who comes and how they click.
        pool: candidates of the U base users and the rankers' scores of them.
        policy: makes lists from scores, for A and B alike.
        days: T, of the experiment.
        before: days with A before it, of which covariates are.
        seed: of everything random.
        device: of all tensors.
        offline: NDCG@10 of A and B on the test positives, (2, users); None if there are no runs.
    """

    world: World
    pool: Pool
    policy: Policy
    days: int
    before: int
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    offline: Tensor | None = None

    @cached_property
    def attention(self) -> Tensor:
        """The chance (K,), float64, that a place is looked at."""
        return self.world.attention(self.device)

    @cached_property
    def day_factor(self) -> Tensor:
        """The factor (1 + T,), float64, of clicks in the time before the experiment, 1, and on each of its days."""
        days = self.world.days(self.days, self.seed)
        return torch.cat([torch.ones(1, dtype=torch.float64), days]).to(self.device)

    def scores(self, arm: int) -> Tensor:
        """Return the scores (U, C) of A, 0, or B, 1."""
        return self.pool.second if arm else self.pool.first

    @cached_property
    def values(self) -> tuple[Tensor, Tensor]:
        """Expected clicks a session (U,), float64, on A's and on B's lists, all other factors being one."""
        of_a, of_b = (self.value(self.policy.marginals(self.scores(arm), self.world.places)) for arm in (0, 1))
        return of_a, of_b

    def value(self, marginals: Tensor) -> Tensor:
        """Return expected clicks a session (U,) of a policy that shows items at places with chances (U, C, K)."""
        return torch.einsum("uck,k,uc->u", marginals, self.attention, self.pool.relevance)

    def effect_of(self, starts: Sequence[int], sizes: Sequence[float]) -> float:
        """Return the mean effect on clicks a session over the days with B of groups of users.

        Args:
            starts: first day with B of each group, from 0.
            sizes: their relative sizes.
        """
        of_a, of_b = (float(value.mean()) for value in self.values)
        total, cells = 0.0, 0.0
        for start, size in zip(starts, sizes, strict=True):
            days = torch.arange(start, self.days, device=self.device)
            gains = of_b * self.world.familiarity(days - start) - of_a
            total += size * float((self.day_factor[1 + days] * gains).sum())
            cells += size * len(days)
        return total / cells

    @cached_property
    def effect(self) -> float:
        """The truth: the change in expected clicks a session if everybody is shown B instead of A on all days."""
        return self.effect_of([0], [1.0])

    @cached_property
    def undisturbed(self) -> float:
        """The effect of B on users who are not used to it: what logs of A alone can tell of."""
        of_a, of_b = self.values
        return float((of_b - of_a).mean())
