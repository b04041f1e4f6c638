"""Opting in: who wants B gets it. Enthusiasm moves both opting in and clicks, and analysts may see it, or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy.special import logit

from ncf.causal import evalue
from ncf.causal.adjusted import aipw
from ncf.causal.double import Predicted, interactive, parts, predict
from ncf.causal.matching import matching
from ncf.causal.omitted import omitted
from ncf.causal.propensity import scores
from ncf.causal.units import Units, units
from ncf.causal.weighting import ipw
from ncf.online.means import welch
from ncf.service.designs.base import Answer, Cost, Design
from ncf.service.sample import Sample, linearised, numpy
from ncf.stats.checks import Array
from ncf.stats.estimate import Estimate

OPTING, PROXY = 3, 4  # blocks of the assignment
VIEWS = ("seen", "proxy", "unseen")
Numbers = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class OptIn(Design):
    """Answers by those who opted in against those who did not: as they are, matched, weighted, and by double ML.

    Enthusiasm is *seen*, seen as a *proxy* with noise, or *unseen*; sessions before the experiment are always seen.
    The estimates by double ML carry what would warn of a hidden confounder: `evalue` and `evalue_limit`, `robustness`
    and, knowing what an analyst does not, the shares that enthusiasm explains beyond what was seen and the largest bias
    that a confounder of that strength could make.

    Attributes:
        share: of users of middling enthusiasm who opt in.
        confounding: what enthusiasm, from -1 to 1, adds to the log odds of opting in.
        proxy_noise: standard deviation of the proxy's noise; that of enthusiasm is 0.58.
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    confounding: Annotated[float, Field(ge=0, le=4)]
    proxy_noise: Annotated[float, Field(gt=0, le=1000)]

    def answers(self, sample: Sample) -> Iterator[list[Answer]]:
        """As `Design.answers`."""
        for values, t, columns, cost in self.observed(sample):
            yield [
                Answer(f"opt-in, {name}", estimate, sample.service.effect, numbers=numbers, cost=cost)
                for name, estimate, numbers in _estimates(values, t, columns)
            ]

    def observed(self, sample: Sample) -> Iterator[tuple[Array, Array, dict[str, Array], Cost]]:
        """Yield of each replication outcomes (N,), who opted in (N,) bool, confounders (N, P) by view, and the cost."""
        odds = logit(self.share) + self.confounding * sample.enthusiasm
        treated = numpy(sample.uniform(OPTING) < torch.sigmoid(odds)) > 0
        noise = torch.special.ndtri(sample.uniform(PROXY).clamp(min=1e-12))
        enthusiasm, proxy = numpy(sample.enthusiasm), numpy(sample.enthusiasm + self.proxy_noise * noise)
        found = sample.experiment
        for r in range(len(sample)):
            t, sessions = treated[r], found.sessions[r]
            values = linearised(np.where(t, found.clicks_b[r], found.clicks_a[r]), sessions)
            always = found.sessions_before[r][:, None]
            views = {"seen": enthusiasm[r][:, None], "proxy": proxy[r][:, None], "unseen": np.empty((len(t), 0))}
            columns = {view: np.column_stack([own, always]) if np.ptp(always) else own for view, own in views.items()}
            yield values, t, columns, Cost(float(sessions.sum()), float(sessions[t].sum()))


def _estimates(values: Array, treated: Array, columns: dict[str, Array]) -> Iterator[tuple[str, Estimate, Numbers]]:
    """Yield name, estimate and further numbers of each method with each view of the confounder."""
    yield "naive", welch(values, treated).absolute, ()
    oracle: tuple[Units, Predicted] | None = None
    for view, own in columns.items():
        given = units(treated.astype(np.float64), values, own)
        chance = scores(given)
        yield f"matching, {view}", matching(given, chance, estimand="ATE"), ()
        yield f"IPW, {view}", ipw(given, chance), ()
        yield f"AIPW, {view}", aipw(given, chance), ()
        predicted = predict(given)
        oracle = oracle or (given, predicted)  # with the confounder seen, which comes first
        effect = interactive(given, predicted)
        yield f"double ML, {view}", effect, _warnings(given, predicted, effect, oracle)


def _warnings(given: Units, predicted: Predicted, effect: Estimate, oracle: tuple[Units, Predicted]) -> Numbers:
    """Return what would warn of a hidden confounder, and how strong the hidden one is."""
    spread = float(given.outcome.std())
    e = evalue.standardised(effect.value / spread, effect.standard_error / spread)
    bounds = omitted(given, predicted, effect, "ATE")
    _, representer, residual = parts(given, predicted, "ATE")
    _, fuller, better = parts(*oracle, "ATE")
    outcome = float(np.clip(1 - (better @ better) / (residual @ residual), 0, 0.999))
    treatment = float(np.clip(1 - (representer @ representer) / (fuller @ fuller), 0, 0.999))
    return (
        ("evalue", e.estimate), ("evalue_limit", e.limit), ("robustness", bounds.robustness()),
        ("hidden_outcome", outcome), ("hidden_treatment", treatment),
        ("largest_bias", bounds.bias(outcome, treatment)),
    )  # fmt: skip
