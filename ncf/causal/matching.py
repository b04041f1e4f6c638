"""Matching on the propensity score, with Abadie and Imbens' errors."""

from dataclasses import dataclass

import numpy as np

from ncf.causal.adjusted import target
from ncf.causal.linear import cleared, largest
from ncf.causal.nearest import TIES, Matches, match
from ncf.causal.propensity import Scores
from ncf.causal.units import Units
from ncf.stats.checks import Array, StatisticsError, number, one_of, whole
from ncf.stats.estimate import Estimate, effective_size, estimate

SCALES = ("logit", "score")
_VARIANCE_NEIGHBOURS = 2
_MOST_UNMATCHED = 0.1


@dataclass(frozen=True)
class Rule:
    """How to match.

    Attributes:
        neighbours: how many of the other arm stand in for a unit.
        replace: whether one unit may stand in for several.
        caliper: largest distance; None: any.
        relative: whether `caliper` counts in standard deviations, the root of the mean of both arms' variances.
        scale: "logit" of the score, or "score".
        ties: see `ncf.causal.nearest`; without replacement "average" is read as "first".
    """

    neighbours: int = 1
    replace: bool = True
    caliper: float | None = None
    relative: bool = False
    scale: str = "logit"
    ties: str = "average"

    def __post_init__(self) -> None:
        """Raise StatisticsError for a setting out of range."""
        whole(self.neighbours, "neighbours", 1, 1000)
        one_of(self.scale, "scale", SCALES)
        one_of(self.ties, "ties", TIES)
        if self.caliper is not None and number(self.caliper, "caliper") <= 0:
            raise StatisticsError(f"caliper: expected a positive number, got {self.caliper:g}")

    def position(self, scores: Array) -> Array:
        """Return what distances are taken of, (N,), for scores (N,)."""
        return np.log(scores) - np.log1p(-scores) if self.scale == "logit" else scores

    def reach(self, position: Array, treatment: Array) -> float:
        """Return the caliper in the unit of `position`."""
        if self.caliper is None:
            return float("inf")
        spread = np.sqrt(np.mean([position[treatment == arm].var(ddof=1) for arm in (0, 1)])) if self.relative else 1
        return float(self.caliper * spread)


@dataclass(frozen=True, eq=False)
class Matched:
    """The sample that a matched estimate uses.

    Attributes:
        effect: (N,), outcome if treated less if untreated, one of them a unit's own, the other imputed.
        counted: (N,) bool, units of the target that have a match.
        used: (N,), how often each stands in for others, a k-th or so each time.
        squares: (N,), the sum of the squares of these parts.
        tied: share of the target's matched units with more than `neighbours` that are equally near.
        wanted: number of the target's units.
    """

    effect: Array
    counted: Array
    used: Array
    squares: Array
    tied: float
    wanted: int

    @property
    def weights(self) -> Array:
        """(N,), the weight of each unit's outcome in its arm."""
        return self.counted + self.used

    @property
    def value(self) -> float:
        """The mean effect."""
        return float(self.effect[self.counted].mean())


def matched(units: Units, values: Array, rule: Rule, estimand: str = "ATT") -> Matched:
    """Return the sample matched on the scores `values` (N,). Raises StatisticsError if no unit has a match."""
    d, y = units.treatment, units.outcome
    among = target(d, estimand) == 1
    position = rule.position(values)
    reach = rule.reach(position, d)
    effect, used, squares, tied = np.zeros(len(d)), np.zeros(len(d)), np.zeros(len(d)), 0
    counted = np.zeros(len(d), bool)
    for arm in (1, 0):
        if not among[d == arm].any():
            continue
        own, other = np.flatnonzero(d == arm), np.flatnonzero(d != arm)
        found = _match(position[own], position[other], rule, reach)
        there = found.counts > 0
        counted[own] = there
        effect[own] = (2 * arm - 1) * cleared(y[own] - found.means(y[other]), largest(y)) * there
        used[other], squares[other] = found.used()
        tied += int((found.counts > rule.neighbours).sum())
    if not counted.any():
        raise StatisticsError(f"matching: expected units within the caliper {reach:.3g}, found none; widen it")
    return Matched(effect, counted, used, squares, tied / counted.sum(), int(among.sum()))


def matching(
    units: Units, scores: Scores, rule: Rule | None = None, *, estimand: str = "ATT", level: float = 0.95
) -> Estimate:
    """Return the mean difference between units and those that stand in for them.

    Source of the error: Abadie and Imbens (2006), theorem 7, with the variance of an outcome given the score from its
    two nearest neighbours in its arm; for a logistic score that was estimated, Abadie and Imbens (2016), theorem 2.
    The influence values are scaled to that error: what a unit adds to the effect, and, with the sign of its deviation
    from its neighbours, what it adds by standing in for others.

    Args:
        units: N units.
        scores: of them.
        rule: how to match.
        estimand: "ATT", "ATC" or "ATE"; of the units that have a match.
        level: nominal coverage.

    Raises StatisticsError for another estimand, or if no unit has a match.
    """
    rule = rule or Rule()
    sample = matched(units, scores.values, rule, estimand)
    variance, influence = _variance(units, scores.values, sample, rule)
    if rule.replace and scores.design is not None:
        adjusted = variance + _estimated(units, scores, sample, rule, estimand)
        variance = adjusted if adjusted > 0.01 * variance else variance
    influence = influence - influence.mean()
    size = float(influence @ influence)
    influence = influence * np.sqrt(variance * len(units) ** 2 / size) if size > 0 else influence
    result = estimate(
        sample.value, influence, estimand=estimand, method=_name(rule), level=level, clusters=units.clusters, lost=0,
        weights=sample.weights, degrees=None if units.clusters is not None else float("inf"),
    )  # fmt: skip
    return _described(result, units, scores, sample, rule, estimand)


def pairs(units: Units, values: Array, rule: Rule) -> tuple[Array, Array]:
    """Return positions (M,) of treated units and of the untreated that stand in for them, for scores (N,)."""
    treated, untreated = np.flatnonzero(units.treatment == 1), np.flatnonzero(units.treatment == 0)
    position = rule.position(values)
    found = _match(position[treated], position[untreated], rule, rule.reach(position, units.treatment))
    who, stand_in = found.pairs()
    return treated[who], untreated[stand_in]


def _match(seekers: Array, pool: Array, rule: Rule, reach: float) -> Matches:
    return match(seekers, pool, neighbours=rule.neighbours, replace=rule.replace, caliper=reach, ties=rule.ties)


def _variance(units: Units, values: Array, sample: Matched, rule: Rule) -> tuple[float, Array]:
    """Return the variance for a known score, and values (N,) whose squares sum to it times N²."""
    n, counted = len(units), sample.counted
    deviation = _deviations(units, rule.position(values))
    own = np.where(counted, sample.effect - sample.value, 0.0)
    extra = np.maximum(sample.used**2 + 2 * counted * sample.used - sample.squares, 0.0)
    lent = np.sqrt(extra) * deviation * (2 * units.treatment - 1)
    influence = n / counted.sum() * np.copysign(np.hypot(own, lent), np.where(own != 0, own, lent))
    return float(influence @ influence) / n**2, influence


def _deviations(units: Units, position: Array) -> Array:
    """Return (N,) values whose squares estimate the variance of an outcome given its score and arm."""
    found = np.zeros(len(units))
    for arm in (0, 1):
        own = np.flatnonzero(units.treatment == arm)
        near = match(position[own], position[own], neighbours=_VARIANCE_NEIGHBOURS + 1)
        y, counts = units.outcome[own], near.counts
        others = (near.means(y) * counts - y) / np.maximum(counts - 1, 1)
        found[own] = np.sqrt((counts - 1) / counts) * cleared(y - others, largest(y))
    return found


def _estimated(units: Units, scores: Scores, sample: Matched, rule: Rule, estimand: str) -> float:
    """Return what estimating the score adds to the variance; for an ATE it is never positive."""
    assert scores.design is not None
    assert scores.inverse is not None
    d, e = units.treatment, scores.values
    position, density = rule.position(e), e * (1 - e)
    treated, untreated = (_covariances(units, scores.design, position, arm) for arm in (1, 0))
    share = target(d, estimand).mean()
    odds = (e / (1 - e))[:, None]
    if estimand == "ATE":
        lost, gained = treated / e[:, None] + untreated / (1 - e)[:, None], None
    else:
        everyone = matched(units, e, Rule(rule.neighbours, scale=rule.scale), "ATE")
        varying = scores.design * (everyone.effect - sample.value)[:, None]
        sign = 1 if estimand == "ATT" else -1
        lost = sign * varying + (treated + odds * untreated if estimand == "ATT" else treated / odds + untreated)
        gained = sign * (varying + treated - untreated)
    gradients = [density @ g / len(d) / share for g in (lost, gained) if g is not None]
    sizes = [float(g @ scores.inverse @ g) for g in gradients]  # the inverse information is of N units already
    return -sizes[0] + sum(sizes[1:])


def _covariances(units: Units, design: Array, position: Array, arm: int) -> Array:
    """Return (N, Q) covariances of the design and the outcome among the nearest of an arm."""
    own = units.treatment == arm
    near = match(position, position[own], neighbours=_VARIANCE_NEIGHBOURS)
    y = units.outcome[own] - units.outcome[own].mean()
    counts, mean = near.counts, near.means(y)
    unbiased = counts / np.maximum(counts - 1, 1)
    columns = (design[own, q] for q in range(design.shape[1]))  # one at a time: there may be a million units
    return np.column_stack([(near.means(z * y) - near.means(z) * mean) * unbiased for z in columns])


def _described(result: Estimate, units: Units, scores: Scores, sample: Matched, rule: Rule, estimand: str) -> Estimate:
    other = sample.used > 0
    details = {
        "matched": float(sample.counted.sum()), "unmatched": float(sample.wanted - sample.counted.sum()),
        "stand_ins": float(other.sum()), "effective_stand_ins": effective_size(sample.used[other]),
        "tied_share": sample.tied,
    }  # fmt: skip
    if rule.replace:
        for ties in ("first", "last"):
            chosen = Rule(rule.neighbours, True, rule.caliper, rule.relative, rule.scale, ties)
            details[f"ties_{ties}"] = matched(units, scores.values, chosen, estimand).value
    lost = details["unmatched"] / sample.wanted
    warnings = []
    if lost > _MOST_UNMATCHED:
        warnings.append(f"{lost:.0%} of the units whose effect is asked for have no match: the estimate is of the rest")
    return result.noting(*warnings, **details)


def _name(rule: Rule) -> str:
    with_without = "with" if rule.replace else "without"
    return f"matching 1:{rule.neighbours} {with_without} replacement"
