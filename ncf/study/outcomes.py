"""What a design will say: chances of each outcome of its whole decision rule, simulated before it is registered.

Each simulated study draws every arm's metric for every seed, and then does what the verdict does: pairs, tests, region,
correction, combination of the parts (`ncf.stats.findings`). It does so with no effect at all, with the smallest effect
of interest in every comparison, and with twice that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ncf.core.rng import numpy_generator
from ncf.stats.checks import Array, StatisticsError, fraction, instance, number, table, whole
from ncf.stats.findings import FINDINGS, STATUSES, findings, statuses
from ncf.stats.paired import wilcoxon_of_many
from ncf.stats.power import upper_spread
from ncf.study.plan import PILOT_CONFIDENCE
from ncf.study.registration import Compared, Hypothesis, Registration
from ncf.study.verdict import arm_values, paired_values

Cell = tuple[str, int, str]
"""An arm, a ratio and a metric."""
EFFECTS = (0.0, 1.0, 2.0)
"""Multiples of the smallest effect of interest."""


@dataclass(frozen=True)
class Runs:
    """How the metrics of a seed's runs are distributed: jointly normal over the cells.

    Attributes:
        cells: C of them.
        mean: (C,), in the unit of each metric; only those of baselines count.
        covariance: (C, C) over seeds. Arms that share a seed's weights and batches correlate; so do metrics.
        source: where it is from, in words.
    """

    cells: tuple[Cell, ...]
    mean: Array
    covariance: Array
    source: str


@dataclass(frozen=True)
class Chances:
    """Chances of a hypothesis at an effect.

    Attributes:
        hypothesis: its name.
        effect: relative change in each of its comparisons; of a gain that grows, its growth.
        statuses: "holds", "fails", "refuted" (every part is worse or equivalent; not counted in "fails"), "undecided"
            -> its probability.
        findings: for each comparison, finding -> its probability after correction.
        draws: number of simulated studies.
        source: of the spread.
    """

    hypothesis: str
    effect: float
    statuses: dict[str, float]
    findings: tuple[dict[str, float], ...]
    draws: int
    source: str

    @property
    def error(self) -> float:
        """The largest Monte Carlo standard error of `statuses`."""
        return max((p * (1 - p) / self.draws) ** 0.5 for p in self.statuses.values())


def from_pilot(registration: Registration, confidence: float = PILOT_CONFIDENCE, correlation: float = 0.0) -> Runs:
    """Return the distribution that the registered pilot suggests, at the upper limit of its spread.

    A pilot gives the spread of differences only: arms are taken as independent with half of its variance each, ratios
    as independent. Cells without a pilot are left out, and with them every hypothesis that needs them.

    Args:
        registration: what is registered.
        confidence: level of the upper limit.
        correlation: between the metrics of a run, in [0, 1); 0 makes a claim of several metrics hardest to support.

    Raises StatisticsError for a registration without pilot, or settings out of range.
    """
    instance(registration, Registration, "registration"), fraction(confidence, "confidence")
    number(correlation, "correlation", 0, 1 - 1e-9)
    if not registration.pilot:
        raise StatisticsError("pilot: expected at least one spread in the registration, found none")
    cells = [(arm, pilot) for arm in registration.arms for pilot in registration.pilot]
    sd = np.array([upper_spread(p.sd_difference, p.pairs, confidence) for _, p in cells]) / np.sqrt(2)
    run = [(arm, p.ratio) for arm, p in cells]
    together = np.array([[one == other for other in run] for one in run])
    shape = np.where(together, correlation, 0.0)
    np.fill_diagonal(shape, 1.0)
    return Runs(
        tuple((arm, p.ratio, p.metric) for arm, p in cells), np.array([p.baseline_mean for _, p in cells]),
        shape * np.outer(sd, sd), f"the pilot, at the {confidence:.0%} upper limit of its spread",
    )  # fmt: skip


def from_runs(registration: Registration, results: pd.DataFrame) -> Runs:
    """Return the distribution that finished runs show, with the covariances between arms, metrics and ratios.

    Each covariance is over the registered seeds that both cells have; the nearest matrix that is one is then taken.
    Cells with fewer than 3 seeds are left out.

    Raises StatisticsError as `arm_values`, or if no cell is left.
    """
    instance(registration, Registration, "registration")
    columns = {}
    for arm, ratio, metric in dict.fromkeys(c for h in registration.hypotheses.values() for c in _cells(h)):
        values = arm_values(results, registration.arms[arm], ratio, metric)
        own = values[values.index.isin(registration.seeds_at(ratio))]
        if len(own) >= 3:
            columns[arm, ratio, metric] = own
    if not columns:
        raise StatisticsError("runs: expected at least 3 registered seeds of an arm, found fewer")
    seeds = pd.concat(columns.values(), axis=1, keys=range(len(columns)))
    sd = seeds.std().to_numpy()
    values, vectors = np.linalg.eigh(seeds.corr(min_periods=3).fillna(0.0).to_numpy())
    near = (vectors * np.clip(values, 0, None)) @ vectors.T
    scale = sd / np.sqrt(np.clip(np.diag(near), 1e-12, None))  # the variances stay those observed
    return Runs(tuple(columns), seeds.mean().to_numpy(), near * np.outer(scale, scale), "the finished runs")


def chances(
    registration: Registration, runs: Runs, effects: Sequence[float] = EFFECTS, draws: int = 2000
) -> list[Chances]:
    """Simulate each hypothesis with each effect; those with a cell that `runs` lacks are left out.

    Args:
        registration: what is registered: comparisons, seeds, alpha, correction, smallest effect.
        runs: distribution of the metrics; see `from_pilot` and `from_runs`.
        effects: multiples of the smallest effect of interest.
        draws: number of simulated studies; 2,000 give a Monte Carlo error of at most 0.011.

    Raises StatisticsError for settings out of range, or a covariance that does not fit the cells.
    """
    instance(registration, Registration, "registration"), instance(runs, Runs, "runs")
    whole(draws, "draws", 100, 10**6)
    multiples, count = table(effects, "effects"), len(runs.cells)
    if multiples.ndim != 1:
        raise StatisticsError(f"effects: expected a list of multiples, got shape {multiples.shape}")
    shapes = table(runs.mean, "means").shape, table(runs.covariance, "covariance").shape
    if shapes != ((count,), (count, count)):
        raise StatisticsError(f"runs: expected means and covariances of {count} cells, got shapes {shapes}")
    if (np.diag(runs.covariance) == 0).any():
        raise StatisticsError("runs: expected a positive variance of every cell, one has none")
    return [
        _simulated(name, hypothesis, float(multiple) * registration.smallest_effect, registration, runs, draws)
        for name, hypothesis in registration.hypotheses.items()
        if set(_cells(hypothesis)) <= set(runs.cells)
        for multiple in multiples
    ]


def describe_chances(found: Chances) -> str:
    """Format the chances as one line for a terminal."""
    instance(found, Chances, "chances")
    effect = f"a change of {found.effect:.1%}" if found.effect else "no effect"
    said = ", ".join(f"{status} {p:.2f}" for status, p in found.statuses.items())
    return f"{found.hypothesis}  with {effect}: {said} (± {found.error:.2f}; spread of {found.source})"


def _cells(hypothesis: Hypothesis) -> list[Cell]:
    return [
        (arm, ratio, c.metric)
        for c in hypothesis.comparisons()
        for ratio in c.ratios
        for arm in (c.claim.treatment, c.claim.baseline)
    ]


def _root(covariance: Array) -> Array:
    """A matrix R with R R' the covariance, which need not have full rank."""
    values, vectors = np.linalg.eigh(covariance)
    if values.min() < -1e-6 * max(values.max(), 1e-300):
        raise StatisticsError("covariance: expected no negative eigenvalue, got one")
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


def _simulated(
    name: str, hypothesis: Hypothesis, effect: float, registration: Registration, runs: Runs, draws: int
) -> Chances:
    family = hypothesis.comparisons()
    seeds = max(len(registration.seeds_at(*c.ratios)) for c in family)
    own = [runs.cells.index(cell) for cell in dict.fromkeys(_cells(hypothesis))]
    place = {runs.cells[index]: n for n, index in enumerate(own)}
    means = _means(family, effect, {cell: float(runs.mean[i]) for cell, i in zip(place, own)})
    rng = numpy_generator(registration.bootstrap_seed, f"outcomes/{name}/{effect:.6g}")
    noise = rng.normal(size=(draws, seeds, len(own))) @ _root(runs.covariance[np.ix_(own, own)]).T
    metrics = noise + np.array([means[cell] for cell in place])  # (draws, seeds, cells)
    tests = zip(*[_tested(c, metrics, place, registration) for c in family])
    direction, p, p_equivalent = (np.stack(values, axis=-1) for values in tests)  # (draws, comparisons) each
    alone, surviving = findings(direction, p, p_equivalent, registration.alpha, registration.correction)
    status = statuses(alone, surviving, hypothesis.supported_if)
    return Chances(
        name, effect, {kind: float((status == n).mean()) for n, kind in enumerate(STATUSES)},
        tuple({kind: float((column == n).mean()) for n, kind in enumerate(FINDINGS[:4])} for column in surviving.T),
        draws, runs.source,
    )  # fmt: skip


def _means(family: Sequence[Compared], effect: float, means: dict[Cell, float]) -> dict[Cell, float]:
    """The means under the effect: of a treatment, its baseline's and the effect, growing where a claim says so."""
    grown = dict(means)
    for c in family:
        for ratio in c.ratios:
            grown[c.claim.treatment, ratio, c.metric] = grown[c.claim.baseline, ratio, c.metric]
    for c in family:
        base = [grown[c.claim.baseline, ratio, c.metric] for ratio in c.ratios]
        for ratio, own in zip(c.ratios, base):
            gain = own * effect
            if c.claim.says == "grows":
                gain = np.mean(base) * effect * np.log(ratio / min(c.ratios)) / np.log(max(c.ratios) / min(c.ratios))
            grown[c.claim.treatment, ratio, c.metric] += float(gain)
    return grown


def _tested(
    compared: Compared, metrics: Array, place: dict[Cell, int], registration: Registration
) -> tuple[Array, Array, Array]:
    """Direction, p and equivalence p of a comparison in each simulated study: (draws,) each."""
    seeds = len(registration.seeds_at(*compared.ratios))
    arms = (compared.claim.treatment, compared.claim.baseline)
    treatment, baseline = (
        metrics[:, :seeds, [place[arm, ratio, compared.metric] for ratio in compared.ratios]] for arm in arms
    )
    t, b = paired_values(treatment, baseline, compared)  # (draws, seeds)
    p, direction = wilcoxon_of_many(t - b)
    margin = registration.smallest_effect
    low, high = (_t_statistic(t - (1 + side * margin) * b) for side in (-1, 1))
    return direction, p, np.maximum(stats.t.sf(low, seeds - 1), stats.t.cdf(high, seeds - 1))


def _t_statistic(d: Array) -> Array:
    return d.mean(-1) / (d.std(-1, ddof=1) / np.sqrt(d.shape[-1]))
