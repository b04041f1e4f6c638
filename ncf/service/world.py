"""Worlds: users who come back day after day, how they click, and two rankers whose effect on clicks is known.

A session looks at a list of K places. The item at place k is clicked, independently of the other places, with
probability 1 / (1 + k)^position_bias x relevance(user, item) x what is the user's, the region's and the day's own. All
factors have mean one, so that the value of a policy is a sum over its chances of items at places: exact, and closed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.registry import Registry
from ncf.core.rng import generator
from ncf.errors import ConfigError, DataError

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, eq=False)
class Rankers:
    """What is known of the rankers A and B that are asked about.

    Attributes:
        first: (U, I), scores of A.
        second: (U, I), scores of B.
        seen: (U, I) bool, items that a user has had and is not shown again.
        scores: the scores (U, I) of the finished run in a folder, with the users and items of A and B.
    """

    first: Tensor
    second: Tensor
    seen: Tensor
    scores: Callable[[str], Tensor]


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of each user: the items that A or B would show, and some more.

    Attributes:
        items: (U, C) int64, in ascending order.
        relevance: (U, C) float64, chance of a click at the first place, all other factors being one.
        first: (U, C) float64, scores of A, with mean 0 and standard deviation 1 over a user's candidates.
        second: (U, C) float64, scores of B, likewise.
    """

    items: Tensor
    relevance: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True, kw_only=True)
class World(ABC):
    """The settings that every world has; a subclass says where the candidates and their relevance come from.

    Attributes:
        users: N, of each replication: drawn from the U users of the pool, each with an enthusiasm of its own.
        places: K of a list.
        candidates: C of a user.
        sessions: mean number a user and day.
        activity: coefficient of variation over users of their mean number of sessions.
        position_bias: exponent of the chance that a place is looked at.
        enthusiasm: how far it moves clicks, up and down; hidden from all, and it drives who opts in.
        regions: number of regions, to which users belong in turn.
        region_effect: how far a region's own factor moves clicks.
        trend: how far clicks rise over the experiment, from 1 - trend to 1 + trend.
        day_effect: how far a day's own factor moves clicks.
        learning: how far clicks on B's lists rise as users get used to B.
        satiation: how far clicks on B's lists fall as its novelty wears off.
        half_life: days with B after which half of learning and satiation has come.
    """

    users: Annotated[int, Field(ge=20, le=10_000_000)]
    places: Annotated[int, Field(ge=1, le=100)]
    candidates: Annotated[int, Field(ge=2, le=1000)]
    sessions: Annotated[float, Field(gt=0, le=100)]
    activity: Annotated[float, Field(ge=0, le=10)]
    position_bias: Annotated[float, Field(ge=0, le=10)]
    enthusiasm: Share
    regions: Annotated[int, Field(ge=1, le=100_000)]
    region_effect: Share
    trend: Share
    day_effect: Share
    learning: Annotated[float, Field(ge=0, le=10)]
    satiation: Share
    half_life: Annotated[float, Field(gt=0, le=1000)]

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that do not go together."""
        if self.candidates < 2 * self.places:
            raise ConfigError(
                f"world.candidates: expected at least {2 * self.places}, the places of two lists, got {self.candidates}"
            )
        if self.regions > self.users:
            raise ConfigError(f"world.regions: expected at most the {self.users} users, got {self.regions}")

    @abstractmethod
    def pool(self, rankers: Rankers | None, seed: int) -> Pool:
        """Return the candidates. Raises ConfigError or DataError if they cannot be made."""

    def attention(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the chance (K,), float64, that a place is looked at, 1 for the first."""
        return torch.arange(1, self.places + 1, dtype=torch.float64, device=device) ** -self.position_bias

    def days(self, days: int, seed: int) -> Tensor:
        """Return the factor (T,), float64, of each day; their mean is 1."""
        noise = torch.rand(days, generator=generator(seed, "world", 0, 1), dtype=torch.float64)
        slope = torch.linspace(-1, 1, days, dtype=torch.float64) if days > 1 else torch.zeros(1, dtype=torch.float64)
        return (1 + self.trend * slope) + self.day_effect * centred(noise)

    def familiarity(self, days_with_b: Tensor) -> Tensor:
        """Return the factor (...) of clicks on B's lists after so many days with B (...), 1 on the first."""
        come = 1 - 0.5 ** (days_with_b.double() / self.half_life)
        return 1 + (self.learning - self.satiation) * come

    def refuse_certain(self, pool: Pool) -> None:
        """Raise ConfigError if a chance of a click could exceed one, in which case values would not be exact."""
        most = float(pool.relevance.max())
        for factor in (self.enthusiasm, self.region_effect, self.trend + self.day_effect, self.learning):
            most *= 1 + factor
        if most > 1:
            raise ConfigError(
                f"world: expected chances of a click of at most 1, got up to {most:.3g}; lower world.highest, "
                "enthusiasm, region_effect, trend, day_effect or learning"
            )


@dataclass(frozen=True, kw_only=True)
class Trained(World):
    """The world of finished runs: a third run, held out from the comparison, says who finds what relevant.

    Relevance falls with the item's place r in the held-out run's ranking of what the user has not had:
    lowest + (highest - lowest) / (1 + r / depth).

    Attributes:
        run: folder of the held-out run.
        popularity: what a standard deviation of log popularity adds to a score, in standard deviations of scores.
        highest: relevance of the item that the held-out run ranks first.
        lowest: of items that it ranks last.
        depth: places down which relevance has fallen half way.
    """

    run: str
    popularity: Annotated[float, Field(ge=-10, le=10)]
    highest: Annotated[float, Field(gt=0, le=1)]
    lowest: Annotated[float, Field(ge=0, le=1)]
    depth: Annotated[float, Field(gt=0, le=1e6)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.run:
            raise ConfigError("world.run: expected the folder of a third finished run, got none")
        if self.lowest > self.highest:
            raise ConfigError(f"world.lowest: expected at most world.highest={self.highest}, got {self.lowest}")

    def pool(self, rankers: Rankers | None, seed: int) -> Pool:
        """As `World.pool`."""
        if rankers is None:
            raise ConfigError("run, against: expected the folders of two finished runs, got none")
        liking = _standardised(_sound(rankers.scores(self.run)))
        if self.popularity:
            liking = liking + self.popularity * _standardised(rankers.seen.sum(0, keepdim=True).double().log1p())
        place = _places(liking, rankers.seen)
        relevance = self.lowest + (self.highest - self.lowest) / (1 + place.double() / self.depth)
        return pool_of(_sound(rankers.first), _sound(rankers.second), relevance, rankers.seen, self)


@dataclass(frozen=True, kw_only=True)
class Synthetic(World):
    """A made-up world without runs: A and B score relevance itself, A with more noise than B.

    Attributes:
        base_users: U, users of the pool.
        noise_a: standard deviation of A's noise, that of what users like being 1.
        noise_b: of B's.
        highest: largest relevance.
    """

    base_users: Annotated[int, Field(ge=2, le=1_000_000)]
    noise_a: Annotated[float, Field(ge=0, le=1000)]
    noise_b: Annotated[float, Field(ge=0, le=1000)]
    highest: Annotated[float, Field(gt=0, le=1)]

    def pool(self, rankers: Rankers | None, seed: int) -> Pool:
        """As `World.pool`."""
        if rankers is not None:
            raise ConfigError("run, against: expected none for world=synthetic, which makes up A and B; leave them out")
        shape = (3, self.base_users, self.candidates)
        liking, of_a, of_b = torch.randn(shape, generator=generator(seed, "world"), dtype=torch.float64)
        scores = [_standardised(liking + s * noise) for s, noise in ((self.noise_a, of_a), (self.noise_b, of_b))]
        items = torch.arange(self.candidates).expand(self.base_users, -1)
        return Pool(items, self.highest * torch.sigmoid(1.5 * liking - 1), scores[0], scores[1])


def pool_of(first: Tensor, second: Tensor, relevance: Tensor, seen: Tensor, world: World) -> Pool:
    """Return the pool in which A and B take turns to add their best item left, so that both show what they would.

    Args:
        first: (U, I), scores of A.
        second: (U, I), of B.
        relevance: (U, I).
        seen: (U, I) bool, items that are not shown.
        world: says how many candidates a user has.

    Raises:
        DataError: a user has fewer unseen items.
    """
    left = int((~seen).sum(1).min())
    if left < world.candidates:
        raise DataError(f"world.candidates: expected at most {left}, what a user has not had, got {world.candidates}")
    turn = torch.minimum(2 * _places(first, seen), 2 * _places(second, seen) + 1)
    turn = turn.masked_fill(seen, torch.iinfo(turn.dtype).max)
    items = turn.argsort(dim=1, stable=True)[:, : world.candidates].sort(dim=1).values
    return Pool(items, relevance.gather(1, items), *(_standardised(s.gather(1, items)) for s in (first, second)))


def _places(scores: Tensor, seen: Tensor) -> Tensor:
    """Return the place (U, I), from 0, of each item by its score; seen items come last."""
    order = scores.masked_fill(seen, -torch.inf).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(scores.shape[1]).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _standardised(scores: Tensor) -> Tensor:
    """Return each row with mean 0 and standard deviation 1; a row of equal scores as zeros."""
    centred = scores - scores.mean(1, keepdim=True)
    spread = centred.std(1, keepdim=True, correction=0)
    return torch.where(spread > 0, centred / spread, 0.0)


def _sound(scores: Tensor) -> Tensor:
    """Return scores (U, I) as float64, -inf as one less than the user's lowest."""
    found = scores.double()
    lowest = torch.where(found.isfinite(), found, torch.inf).amin(1, keepdim=True)
    return torch.where(found == -torch.inf, lowest - 1, found)


def centred(values: Tensor) -> Tensor:
    """Return values (..., n) moved to mean 0 and scaled to at most 1 either way."""
    moved = values - values.mean(-1, keepdim=True)
    return moved / moved.abs().amax(-1, keepdim=True).clamp(min=1e-12)


WORLDS = Registry("world", {"trained": Trained, "synthetic": Synthetic})
