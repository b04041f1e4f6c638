"""Draws of a service: stacked replications of users, their sessions, and what they click.

Streams are addressed by replication, so a replication is the same whichever others it is stacked with, and all designs
see the same users, days, sessions and clicks. Shapes: `R` replications, `N` users, `T` days, `M` sessions of all.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ncf.core.rng import Purpose, generator
from ncf.service.service import Service
from ncf.service.world import centred
from ncf.stats.checks import Array

_SESSIONS_AT_ONCE = 2**18
_CLICKS_AT_ONCE = 2**20

Draw = Callable[[torch.Generator], Tensor]


class Sample:
    """Some replications of a service.

    Attributes:
        replications: their numbers, R.
        base: (R, N) int64, which of the pool's users each one is like.
        enthusiasm: (R, N) float64, uniform on [-1, 1]: hidden, it moves clicks and who opts in.
        region: (N,) int64.
        counts: (R, N, 1 + T) int64, sessions before the experiment and on each of its days.
    """

    def __init__(self, service: Service, replications: range) -> None:
        self.service, self.replications = service, replications
        world, device = service.world, service.device
        n, users = world.users, len(service.pool.items)
        self.base = self._draw("users", 0, lambda g: torch.randint(users, (n,), generator=g, device=device))
        self.enthusiasm = 2 * self._draw("users", 1, lambda g: _uniform((n,), g)) - 1
        self.region = torch.arange(n, device=device) % world.regions
        regions = centred(self._draw("users", 2, lambda g: _uniform((world.regions,), g)))
        self.factor = (1 + world.enthusiasm * self.enthusiasm) * (1 + world.region_effect * regions[:, self.region])
        rates = self._rates()
        self.counts = torch.stack([
            torch.poisson(rate, generator=self.stream("sessions", r, 1)).long()
            for r, rate in zip(replications, rates, strict=True)
        ])  # fmt: skip

    def _rates(self) -> Tensor:
        """Return the expected sessions (R, N, 1 + T) of each user, before the experiment and on each day."""
        world, device = self.service.world, self.service.device
        spread = math.sqrt(math.log1p(world.activity**2))
        normal = self._draw("sessions", 0, lambda g: torch.randn(
            world.users, generator=g, device=device, dtype=torch.float64))  # fmt: skip
        activity = torch.exp(spread * normal - spread**2 / 2)  # log-normal, with mean 1
        days = torch.ones(1 + self.service.days, dtype=torch.float64, device=device)
        days[0] = self.service.before
        return world.sessions * activity[:, :, None] * days

    def __len__(self) -> int:
        return len(self.replications)

    def stream(self, purpose: Purpose, replication: int, block: int = 0) -> torch.Generator:
        """Return the stream of a replication."""
        return generator(self.service.seed, purpose, replication, block, self.service.device)

    def _draw(self, purpose: Purpose, block: int, draw: Draw) -> Tensor:
        """Return the draws of each replication, stacked."""
        return torch.stack([draw(self.stream(purpose, r, block)) for r in self.replications])

    def order(self, block: int, units: int | None = None) -> Tensor:
        """Return the users of each replication, or as many other units, in a random order, (R, N), to be assigned."""
        n, device = units or self.service.world.users, self.service.device
        return self._draw("assignment", block, lambda g: torch.randperm(n, generator=g, device=device))

    def uniform(self, block: int) -> Tensor:
        """Return a number in [0, 1) for each user (R, N), for an assignment of its own."""
        return self._draw("assignment", block, lambda g: _uniform((self.service.world.users,), g))

    @cached_property
    def cell(self) -> Tensor:
        """(M,) int64, position in `counts` of each session, in order of replication, user and day."""
        counts = self.counts.reshape(-1)
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)

    @cached_property
    def user(self) -> Tensor:
        """(M,) int64, position in (R, N) of each session's user."""
        return self.cell // (1 + self.service.days)

    @cached_property
    def day(self) -> Tensor:
        """(M,) int64, day of each session from 1; 0 before the experiment."""
        return self.cell % (1 + self.service.days)

    @cached_property
    def lengths(self) -> list[int]:
        """Sessions of each replication, R."""
        return [int(length) for length in self.counts.sum((1, 2))]

    @cached_property
    def noise(self) -> Tensor:
        """(M, K) float32 in [0, 1): a place is clicked if its number is below the chance, whatever is shown there."""
        return self._by_session("clicks", 0, self.service.world.places)

    def _by_session(self, purpose: Purpose, block: int, columns: int) -> Tensor:
        device = self.service.device
        parts = [
            torch.rand((length, columns), generator=self.stream(purpose, r, block), device=device)
            for r, length in zip(self.replications, self.lengths, strict=True)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def coins(self, block: int) -> Tensor:
        """Return a number in [0, 1) for each session (M,), by which a design chooses."""
        return self._by_session("exploration", block, 1)[:, 0]

    def lists(self, draw: Callable[[Tensor, torch.Generator], Tensor], block: int) -> Tensor:
        """Return the lists (M, K) that `draw` makes for base users (m,), by a stream of the block."""
        bases = self.base.reshape(-1)[self.user].split(self.lengths)
        parts = [
            draw(base, self.stream("exploration", r, block)) for r, base in zip(self.replications, bases, strict=True)
        ]
        return torch.cat(parts)

    @cached_property
    def scale(self) -> Tensor:
        """(M,) float32, the factor of clicks of each session's user, region and day."""
        found = self.factor.reshape(-1)[self.user] * self.service.day_factor[self.day]
        return found.float()

    def clicked(self, rows: Tensor | slice, chance: Tensor) -> Tensor:
        """Return the clicks (m, K) bool of sessions, from chances (m, K) with all factors of the session being one."""
        return self.noise[rows] < chance * self.scale[rows, None]

    @cached_property
    def _arms(self) -> tuple[Tensor, Tensor]:
        """Clicks (M,) of each session on A's and on B's list, on the first day with B."""
        return self._clicks(0, None), self._clicks(1, None)

    def _clicks(self, arm: int, gain: Tensor | None) -> Tensor:
        """Return the clicks (M,) of each session, shown an arm's list, times `gain` (M,)."""
        service = self.service
        relevance, attention = service.pool.relevance.float(), service.attention.float()
        scores, places = service.scores(arm), service.world.places
        bases = self.base.reshape(-1)
        always = service.policy.draw(scores, places, self.stream("exploration", 0))  # (U, K), if lists are fixed
        chances = relevance.gather(1, always) * attention
        drawn = None
        if not service.policy.fixed:
            drawn = self.lists(lambda base, g: service.policy.draw(scores[base], places, g), arm)
        found = torch.empty(len(self.cell), dtype=torch.int16, device=service.device)
        for rows in self.blocks():
            base = bases[self.user[rows]]
            chance = chances[base] if drawn is None else relevance[base].gather(1, drawn[rows]) * attention
            if gain is not None:
                chance = chance * gain[rows, None]
            found[rows] = self.clicked(rows, chance).sum(1, dtype=torch.int16)
        return found

    def blocks(self) -> Iterator[slice]:
        """Yield the sessions in blocks whose chances fit in memory."""
        return (slice(at, at + _CLICKS_AT_ONCE) for at in range(0, max(1, len(self.cell)), _CLICKS_AT_ONCE))

    def by_cell(self, values: Tensor) -> Tensor:
        """Return the sums (R, N, 1 + T), float64, of values (M,) of sessions."""
        total = torch.bincount(self.cell, values.double(), minlength=self.counts.numel())
        return total.reshape(self.counts.shape)

    @cached_property
    def clicks_a(self) -> Tensor:
        """(R, N, 1 + T) float64, clicks on A's lists."""
        return self.by_cell(self._arms[0])

    @cached_property
    def clicks_b(self) -> Tensor:
        """(R, N, 1 + T) float64, clicks on B's lists if they are shown from the first day on."""
        return self.with_b_from(torch.zeros_like(self.base))

    def with_b_from(self, start: Tensor) -> Tensor:
        """Return the clicks (R, N, 1 + T) on B's lists of users who have had B since day `start` (R, N), from 0."""
        world = self.service.world
        if world.learning == world.satiation:
            if "_with_b" not in self.__dict__:
                self._with_b = self.by_cell(self._arms[1])
            return self._with_b
        since = (self.day - 1 - start.reshape(-1)[self.user]).clamp(min=0)
        return self.by_cell(self._clicks(1, world.familiarity(since).float()))

    @cached_property
    def experiment(self) -> "Experiment":
        """What all designs that assign users for the whole experiment share."""
        counts = self.counts[:, :, 1:]
        return Experiment(
            numpy(counts.sum(2)), numpy(self.clicks_a[:, :, 1:].sum(2)), numpy(self.clicks_b[:, :, 1:].sum(2)),
            numpy(self.counts[:, :, 0]), numpy(self.clicks_a[:, :, 0]),
        )  # fmt: skip


class Experiment:
    """What R x N users did in the T days; (R, N) float64 each.

    Attributes:
        sessions: of the experiment.
        clicks_a: clicks in them if shown A.
        clicks_b: if shown B.
        sessions_before: sessions before the experiment.
        clicks_before: clicks in them, all on A.
    """

    def __init__(
        self, sessions: Array, clicks_a: Array, clicks_b: Array, sessions_before: Array, clicks_before: Array
    ) -> None:
        self.sessions, self.clicks_a, self.clicks_b = sessions, clicks_a, clicks_b
        self.sessions_before, self.clicks_before = sessions_before, clicks_before

    def covariates(self, r: int) -> Array:
        """Return (N, 2) of replication r: clicks before less what its sessions before foretell, and those sessions."""
        clicks, sessions = self.clicks_before[r], self.sessions_before[r]
        return np.column_stack([clicks - sessions * _rate(clicks, sessions), sessions])


def linearised(clicks: Array, sessions: Array) -> Array:
    """Return clicks a session as numbers of units, of the shape of `clicks`, that can be averaged.

    (clicks - r sessions) / mean sessions + r, r being clicks over sessions of all: means of groups that have sessions
    alike differ as their ratios of totals do (Budylin et al. 2018).
    """
    rate, mean = _rate(clicks, sessions), sessions.mean()
    return np.asarray((clicks - rate * sessions) / mean + rate if mean else clicks)


def numpy(values: Tensor) -> Array:
    """Return values (...) as float64 on the CPU."""
    return values.double().cpu().numpy()


def _rate(clicks: Array, sessions: Array) -> float:
    return float(clicks.sum() / sessions.sum()) if sessions.any() else 0.0


def _uniform(shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=stream, device=stream.device, dtype=torch.float64)


def samples(service: Service, replications: int) -> Iterator[Sample]:
    """Yield all replications, as many at a time as are handled well together."""
    world = service.world
    expected = world.users * world.sessions * (service.days + service.before)
    step = max(1, int(_SESSIONS_AT_ONCE / max(expected, 1)))
    return (Sample(service, range(at, min(at + step, replications))) for at in range(0, replications, step))
