"""The A/B test: a random share of the users is shown B; the others, A."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from ncf.online.means import cuped, ratio
from ncf.service.designs.base import Answer, Cost, Design, chosen, refuse_small_arms
from ncf.service.sample import Sample, numpy
from ncf.service.service import Service

ORDER = 1  # block of the assignment


@dataclass(frozen=True, kw_only=True)
class ABTest(Design):
    """Answers by the difference of clicks a session, plain (the delta method) and adjusted by what was before (CUPED).

    Attributes:
        share: of the users who are shown B.
    """

    share: Annotated[float, Field(gt=0, lt=1)]

    def check(self, service: Service) -> None:
        """As `Design.check`."""
        refuse_small_arms("ab", service.world.users, self.share)

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        treated = numpy(chosen(sample.order(ORDER), self.share)) > 0
        found, truth = sample.experiment, sample.service.effect
        for r in range(len(sample)):
            clicks = np.where(treated[r], found.clicks_b[r], found.clicks_a[r])
            sessions, t = found.sessions[r], treated[r]
            cost = Cost(float(sessions.sum()), float(sessions[t].sum()))
            answers = [Answer("A/B", ratio(clicks, sessions, t).absolute, truth, cost=cost)]
            if sample.service.before:
                adjusted = cuped(clicks, found.covariates(r), t, denominator=sessions)
                answers.append(Answer("A/B, CUPED", adjusted.absolute, truth, cost=cost))
            yield answers
