"""Offline evaluation: do held-out positives rank higher with B? It answers on a scale of its own, NDCG."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ncf.core.rng import generator
from ncf.service.designs.base import Answer, Design
from ncf.service.policies import ranked
from ncf.service.sample import Sample, numpy
from ncf.service.service import Service
from ncf.stats.checks import Array
from ncf.stats.estimate import mean_estimate

NDCG = "NDCG@10"


@dataclass(frozen=True, kw_only=True)
class Offline(Design):
    """Answers by the mean difference of NDCG@10 over test users, from the ranks that the two runs have written.

    Without runs, by a positive of each user of the pool, drawn among the candidates in proportion to relevance. The
    answer is the same in every replication: the positives are.
    """

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        of_a, of_b = _ndcg(sample.service)
        found = mean_estimate(of_b - of_a, estimand=NDCG, method="paired")
        for _ in range(len(sample)):
            yield [Answer("offline NDCG@10", found, float("nan"), NDCG)]


def _ndcg(service: Service) -> tuple[Array, Array]:
    """Return NDCG@10 (users,) of A and of B."""
    if service.offline is not None:
        of_a, of_b = numpy(service.offline)
        return of_a, of_b
    stream = generator(service.seed, "world", 0, 2)
    positive = torch.multinomial(service.pool.relevance.cpu(), 1, generator=stream)
    found = []
    for arm in (0, 1):
        hit = ranked(service.scores(arm).cpu(), 10) == positive
        gains = 1 / torch.arange(2, 2 + hit.shape[1], dtype=torch.float64).log2()
        found.append(numpy((hit * gains).sum(1)))
    return found[0], found[1]
