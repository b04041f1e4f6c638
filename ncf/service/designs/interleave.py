"""Interleaving: each session sees one list of A's and B's items, and clicks say whose are preferred (team draft)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ncf.errors import ConfigError
from ncf.online.preferences import preferences
from ncf.service.designs.base import Answer, Cost, Design
from ncf.service.policies import ranked
from ncf.service.sample import Sample, numpy
from ncf.service.service import Service

COINS = 4  # block of the exploration
PREFERENCE = "preference a session"
MOST_PLACES = 20


@dataclass(frozen=True, kw_only=True)
class Interleave(Design):
    """Answers by clicks on items that B added less those that A did, a session: a preference, on a scale of its own.

    Its sign, not its size, is that of the change in clicks.
    """

    def check(self, service: Service) -> None:
        """As `Design.check`."""
        if not service.policy.fixed:
            raise ConfigError("design.interleave: expected policy=ranked, whose lists can be merged; leave it out")
        if service.world.places > MOST_PLACES:
            raise ConfigError(
                f"design.interleave: expected world.places of at most {MOST_PLACES}, got {service.world.places}"
            )

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        service = sample.service
        teams, chances, truth = _drafts(service)
        rows = (sample.day > 0).nonzero()[:, 0]
        codes = (sample.coins(COINS)[rows] * len(teams)).long()
        user = sample.user[rows]
        base = sample.base.reshape(-1)[user]
        clicked = sample.clicked(rows, chances[base, codes])
        of_b = teams[codes].bool()
        credit = torch.stack([(clicked & ~of_b).sum(1), (clicked & of_b).sum(1)], 1)
        lengths = torch.bincount(user // service.world.users, minlength=len(sample)).tolist()
        for own, whose in zip(credit.split(lengths), user.split(lengths), strict=True):
            found = preferences(["A", "B"], numpy(own), clusters=whose.cpu().numpy(), method="team_draft")[0]
            cost = Cost(float(len(own)), len(own) / 2)
            yield [Answer("interleaving", found.estimate, truth, PREFERENCE, cost=cost)]


@cache
def _drafts(service: Service) -> tuple[Tensor, Tensor, float]:
    """Return of all X team drafts the team (X, K) of each place and the chances of a click (U, X, K), float32.

    And the exact preference, the mean over users and drafts.
    """
    orders = [ranked(service.scores(arm), service.world.places) for arm in (0, 1)]
    lists, teams = team_drafts(orders[0], orders[1], service.pool.items.shape[1])
    users = len(lists)
    relevance = service.pool.relevance.gather(1, lists.reshape(users, -1)).reshape(lists.shape)
    chances = relevance * service.attention
    return teams, chances.float(), float((chances * (2 * teams - 1)).sum(2).mean())


def team_drafts(first: Tensor, second: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """Return every list that team draft can make, all equally likely, and who added its items.

    In each round both add their best item left, in the order of a coin (Radlinski, Kurup and Joachims 2008).

    Args:
        first: (U, K) int64, A's lists, positions in [0, C).
        second: (U, K), B's.
        candidates: C.

    Returns:
        Lists (U, X, K), and teams (X, K), 1 for B, for the X = 2^ceil(K / 2) outcomes of the coins.
    """
    users, places = first.shape
    rounds = -(-places // 2)
    codes = torch.arange(2**rounds, device=first.device)
    begins = (codes[:, None] >> torch.arange(rounds, device=first.device)) & 1
    teams = torch.stack([begins, 1 - begins], 2).reshape(len(codes), -1)[:, :places]
    rank = torch.full((2, users, candidates), places, dtype=torch.int16, device=first.device)
    numbers = torch.arange(places, dtype=torch.int16, device=first.device).expand(users, -1)
    for team, order in enumerate((first, second)):
        rank[team].scatter_(1, order, numbers)
    lists = torch.empty((users, len(codes), places), dtype=torch.int64, device=first.device)
    taken = torch.zeros((users, len(codes), candidates), dtype=torch.int16, device=first.device)
    for place in range(places):
        left = rank[teams[:, place]].transpose(0, 1) + taken
        lists[:, :, place] = left.argmin(2)
        taken.scatter_(2, lists[:, :, place : place + 1], 2 * places)
    return lists, teams
