"""Off-policy evaluation: A explores a little, and its logs are asked what B would have earned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ncf.data.feedback import LoggedFeedback
from ncf.off_policy.estimators import dr, ips, snips
from ncf.off_policy.rounds import Rounds
from ncf.service.designs.base import Answer, Cost, Design
from ncf.service.policies import PlackettLuce, Temperature
from ncf.service.sample import Sample, numpy
from ncf.service.service import Service
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.estimate import Estimate, estimate, mean_estimate

LISTS, LOGGED = 2, 3  # blocks of the exploration


@dataclass(frozen=True, eq=False)
class Logs:
    """What was shown and clicked in one replication; a row for each place of each session, K in a row.

    Attributes:
        user: (n,) int64, of the N users.
        base: (n,) int64, of the U users.
        day: (n,) int64, from 1.
        item: (n,) int64, of the I items.
        place: (n,) int64, from 0.
        candidate: (n,) int64, position of the item among the user's candidates.
        click: (n,) float64.
    """

    user: Array
    base: Array
    day: Array
    item: Array
    place: Array
    candidate: Array
    click: Array


@dataclass(frozen=True, kw_only=True)
class OffPolicy(Design):
    """Answers by the value of B less that of A, both estimated from one log of A made stochastic (Plackett-Luce).

    A round is a place of a session, whose click depends on its own item alone, so weights are of items at places (Li
    et al. 2018). Intervals are clustered by user.

    Attributes:
        temperature: of the logging policy, in standard deviations of A's scores of a user's candidates.
        share: of the sessions that are logged.
    """

    temperature: Temperature
    share: Annotated[float, Field(gt=0, le=1)]

    @property
    def logging(self) -> PlackettLuce:
        """The logging policy."""
        return PlackettLuce(temperature=self.temperature)

    def logs(self, sample: Sample) -> Iterator[Logs]:
        """Yield what each replication's logs hold: the sessions of the experiment, shown the logging policy's lists."""
        service = sample.service
        scores, places = service.pool.first, service.world.places
        kept = ((sample.day > 0) & (sample.coins(LOGGED) < self.share)).nonzero()[:, 0]
        lists = sample.lists(lambda base, g: self.logging.draw(scores[base], places, g), LISTS)[kept]
        user = sample.user[kept]
        whose = sample.base.reshape(-1)[user]
        chance = service.pool.relevance.float()[whose].gather(1, lists) * service.attention.float()
        clicks = sample.clicked(kept, chance)
        items = service.pool.items[whose].gather(1, lists)
        lengths = torch.bincount(user // service.world.users, minlength=len(sample)).tolist()
        places_of = torch.arange(places, device=service.device).expand_as(lists)
        wide = [v[:, None].expand_as(lists) for v in (user % service.world.users, whose, sample.day[kept])]
        columns = [v.split(lengths) for v in (*wide, items, places_of, lists, clicks)]
        for parts in zip(*columns, strict=True):
            user, base, day, item, place, candidate, click = (part.reshape(-1).cpu().numpy() for part in parts)
            yield Logs(user, base, day, item, place, candidate, click.astype(np.float64))

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        chances = _chances(sample.service, self.temperature)
        for logs in self.logs(sample):
            if len(np.unique(logs.user)) < 2:
                raise StatisticsError("log: expected sessions of at least 2 users")
            cost = Cost(len(logs.click) / sample.service.world.places, 0.0)
            truth = float(sample.service.undisturbed)
            yield [Answer(name, found, truth, cost=cost) for name, found in _estimates(sample.service, logs, chances)]

    def feedback(self, sample: Sample) -> LoggedFeedback:
        """Return the logs of a sample's first replication as a table of logged feedback."""
        found = next(self.logs(sample))
        pscore = _chances(sample.service, self.temperature)[0][found.base, found.candidate, found.place]
        session = np.arange(len(found.item)) // sample.service.world.places
        user = np.char.add("user", found.user.astype(str))  # numbers would be taken for the ids of a run's users
        return LoggedFeedback(
            item=found.item, propensity=np.minimum(pscore, 1), reward=found.click, user=user,
            position=found.place, time=(found.day - 1) * 86400.0, slate=session,
            policy=np.full(len(found.item), "plackett_luce"),
        )  # fmt: skip


@cache
def _chances(service: Service, temperature: float) -> tuple[Array, Array, Array]:
    """Return the chances (U, C, K) of items at places under the logging policy, A and B."""
    places = service.world.places
    logged: Tensor = PlackettLuce(temperature=temperature).marginals(service.pool.first, places)
    of_a, of_b = (service.policy.marginals(service.scores(arm), places) for arm in (0, 1))
    return numpy(logged), numpy(of_a), numpy(of_b)


def _estimates(service: Service, logs: Logs, chances: tuple[Array, Array, Array]) -> Iterator[tuple[str, Estimate]]:
    """Yield name and estimate of each method, from the chances of `_chances`."""
    logged, *targets = chances
    at = logs.base, logs.candidate, logs.place
    reward = service.world.places * logs.click  # so that a mean over places is a sum over the list
    anywhere = [of.sum(2)[logs.base, logs.candidate] for of in targets]
    yield "logs, naive", _difference("naive", [_kept(reward, w) for w in anywhere], logs.user)
    everyone = np.zeros(len(reward), np.int64)
    means = [_modelled(service, logs, reward, of, everyone, by_place=False)[1] for of in targets]
    direct = [mean_estimate(q, estimand="policy value", method="DM") for q in means]
    yield "logs, item means", _difference("DM", direct, logs.user)
    rounds = [Rounds(reward, logged[at], of[at]) for of in targets]
    yield "logs, IPS", _difference("IPS", [ips(own) for own in rounds], logs.user)
    yield "logs, SNIPS", _difference("SNIPS", [snips(own) for own in rounds], logs.user)
    for own, of in enumerate(targets):
        q_logged, q_policy = _modelled(service, logs, reward, of, 1 + logs.user % 2, by_place=True)
        rounds[own] = replace(rounds[own], q_logged=q_logged, q_policy=q_policy)
    yield "logs, DR", _difference("DR", [dr(own) for own in rounds], logs.user)


def _kept(reward: Array, weight: Array) -> Estimate:
    """Return the mean reward (n,) of what a policy would have shown too, wherever the log showed it."""
    value = float(weight @ reward / weight.sum()) if weight.any() else 0.0
    return estimate(value, weight * (reward - value) / (weight.mean() or 1.0), estimand="policy value", method="naive")


def _modelled(
    service: Service, logs: Logs, reward: Array, policy: Array, fold: Array, *, by_place: bool
) -> tuple[Array, Array]:
    """Return mean rewards of items, (n,) of the logged ones and (n,) expected under a policy, from other folds' rows.

    Args:
        service: has the candidates.
        logs: n rows.
        reward: (n,).
        policy: (U, C, K), chances of items at places.
        fold: (n,), 1 or 2; 0: predict the rows from themselves.
        by_place: whether the mean of an item is scaled by that of the place.
    """
    items = service.pool.items.cpu().numpy()
    logged, expected = np.empty(len(reward)), np.empty(len(reward))
    for number in np.unique(fold):
        own = fold == number
        fit = ~own if number else own
        overall = float(reward[fit].mean()) if fit.any() else 0.0
        counts = np.bincount(logs.item[fit], minlength=items.max() + 1)
        means = (np.bincount(logs.item[fit], reward[fit], items.max() + 1) + overall) / (counts + 1)
        place = np.ones(policy.shape[2])
        if by_place and overall:
            shown = np.bincount(logs.place[fit], minlength=len(place))
            place = np.bincount(logs.place[fit], reward[fit], len(place)) / np.maximum(shown, 1) / overall
        logged[own] = means[logs.item[own]] * place[logs.place[own]]
        table = np.einsum("uck,uc->uk", policy, means[items]) * place
        expected[own] = table[logs.base[own], logs.place[own]]
    return logged, expected


def _difference(method: str, values: list[Estimate], users: Array) -> Estimate:
    """Return the value of B less that of A, given as [A's, B's], with users as clusters."""
    of_a, of_b = values
    assert of_a.influence is not None
    assert of_b.influence is not None
    return estimate(
        of_b.value - of_a.value, of_b.influence - of_a.influence, estimand="policy value", method=method,
        clusters=users,
    )  # fmt: skip
