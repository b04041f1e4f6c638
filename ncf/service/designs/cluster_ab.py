"""The clustered A/B test: a random share of the regions is shown B, as where users of a region meet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ncf.errors import ConfigError
from ncf.online.clusters import cluster_means, cluster_robust
from ncf.online.means import welch
from ncf.service.designs.base import Answer, Cost, Design, chosen, refuse_small_arms
from ncf.service.sample import Sample, linearised, numpy
from ncf.service.service import Service

ORDER = 2  # block of the assignment


@dataclass(frozen=True, kw_only=True)
class ClusterABTest(Design):
    """Answers by means of users, as if they were independent and with errors of regions, and by means of regions.

    Attributes:
        share: of the regions that are shown B.
    """

    share: Annotated[float, Field(gt=0, lt=1)]

    def check(self, service: Service) -> None:
        """As `Design.check`."""
        refuse_small_arms("cluster_ab", service.world.regions, self.share, "regions")
        if service.world.regions == service.world.users:
            raise ConfigError("design.cluster_ab: expected regions of several users, got one of each; use design=ab")

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        world, found, truth = sample.service.world, sample.experiment, sample.service.effect
        region = sample.region.cpu().numpy()
        treated = numpy(chosen(sample.order(ORDER, world.regions), self.share)) > 0
        for r in range(len(sample)):
            t, sessions = treated[r][region], found.sessions[r]
            values = linearised(np.where(t, found.clicks_b[r], found.clicks_a[r]), sessions)
            cost = Cost(float(sessions.sum()), float(sessions[t].sum()))
            yield [
                Answer("clusters, as if users", welch(values, t).absolute, truth, cost=cost),
                Answer("clusters, robust", cluster_robust(values, t, region).absolute, truth, cost=cost),
                Answer("clusters, means", cluster_means(values, t, region).absolute, truth, cost=cost),
            ]
