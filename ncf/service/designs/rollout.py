"""A staged rollout: users get B in waves, a last group never does, and panels are asked what it did."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ncf.causal.group_time import group_time
from ncf.causal.panel import Panel
from ncf.causal.twfe import twfe
from ncf.errors import ConfigError
from ncf.service.designs.base import Answer, Cost, Design
from ncf.service.sample import Sample, linearised, numpy
from ncf.service.service import Service
from ncf.stats.checks import Array
from ncf.stats.estimate import Estimate, mean_estimate

ORDER = 5  # block of the assignment


@dataclass(frozen=True, kw_only=True)
class Rollout(Design):
    """Answers by before and after, two-way fixed effects, and group-time effects (Callaway and Sant'Anna 2021).

    The truth is the mean effect over the days with B of those who get it. It differs from that on all days of all users
    where days do, or where effects grow.

    Attributes:
        waves: groups of equal size that get B, one after the other; one more group never does.
    """

    waves: Annotated[int, Field(ge=1, le=100)]

    def check(self, service: Service) -> None:
        """As `Design.check`."""
        if service.days <= self.waves:
            raise ConfigError(
                f"design.rollout.waves: expected fewer waves than days={service.days}, the first of which is "
                f"without B, got {self.waves}"
            )
        if service.world.users < 2 * (self.waves + 1):
            raise ConfigError(
                f"design.rollout.waves: expected groups of at least 2 of {service.world.users} users, got {self.waves}"
            )

    def starts(self, days: int) -> list[int]:
        """Return the first day with B of each wave, from 1."""
        return [days * (wave + 1) // (self.waves + 1) for wave in range(self.waves)]

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        days, users = sample.service.days, sample.service.world.users
        waves = torch.arange(users) * (self.waves + 1) // users
        sizes = torch.bincount(waves)[:-1].tolist()
        truth = sample.service.effect_of(self.starts(days), sizes)
        for panel, cost in self.panels(sample):
            yield [Answer(f"rollout, {name}", found, truth, cost=cost) for name, found in _estimates(panel)]

    def panels(self, sample: Sample) -> Iterator[tuple[Panel, Cost]]:
        """Yield the users and days of each replication, and what they cost."""
        days, users = sample.service.days, sample.service.world.users
        of_group = torch.tensor([*self.starts(days), days], device=sample.base.device)
        place = torch.empty_like(sample.base)
        numbers = torch.arange(users, device=place.device).expand_as(place)
        place.scatter_(1, sample.order(ORDER), numbers)
        start = of_group[place * (self.waves + 1) // users]
        treated = torch.arange(days, device=start.device) >= start[:, :, None]
        clicks = torch.where(treated, sample.with_b_from(start)[:, :, 1:], sample.clicks_a[:, :, 1:])
        for r in range(len(sample)):
            sessions, on = numpy(sample.counts[r, :, 1:]), treated[r].cpu().numpy()
            yield (
                _panel(linearised(numpy(clicks[r]), sessions), on),
                Cost(float(sessions.sum()), float(sessions[on].sum())),
            )


def _panel(outcome: Array, treated: Array) -> Panel:
    return Panel(outcome, treated, np.ones(outcome.shape), *map(np.arange, outcome.shape))


def _estimates(panel: Panel) -> Iterator[tuple[str, Estimate]]:
    ever = panel.first < len(panel.periods)
    on, outcome = panel.treated[ever], panel.outcome[ever]
    after = (outcome * on).sum(1) / on.sum(1)
    before = (outcome * ~on).sum(1) / (~on).sum(1)
    yield "before/after", mean_estimate(after - before, estimand="ATT", method="before/after")
    yield "two-way fixed effects", twfe(panel)
    yield "group-time", group_time(panel).average()
