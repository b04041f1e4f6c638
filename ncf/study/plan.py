"""Plan a study: what a registered design can and cannot show, before any run.

A pilot of 5 or 6 pairs tells the spread badly: it understates it half of the time. What a design is planned by is
therefore the upper confidence limit of the spread; what it would be at the pilot's own spread stands beside it.
`ncf.study.outcomes` simulates what the whole decision rule will say.
"""

from dataclasses import dataclass

from ncf.stats.checks import StatisticsError, fraction, instance
from ncf.stats.power import detectable_effect, power, reach, require_conclusive, seeds_needed, upper_spread
from ncf.study.registration import Compared, Pilot, Registration

PILOT_CONFIDENCE = 0.8
"""Level of the upper limit of a pilot's spread: the planned power is attained this often (Browne 1995)."""


@dataclass(frozen=True)
class Prospect:
    """The prospect of a comparison, given a spread.

    Attributes:
        detectable: smallest relative change detected with the registered power; inf if there is none.
        power: probability of detecting a relative change of the registered smallest effect.
        seeds_needed: seeds needed to detect that change with the registered power.
    """

    detectable: float
    power: float
    seeds_needed: int


@dataclass(frozen=True)
class ComparisonPlan:
    """A registered comparison before its runs.

    Attributes:
        hypothesis: name of the hypothesis.
        comparison: such as "focal vs bce, test/ndcg@10, 1:10".
        seeds: number of registered pairs.
        smallest_p: smallest two-sided Wilcoxon p that they can reach.
        level: alpha divided by the number of comparisons of the hypothesis.
        conclusive: smallest_p <= level.
        prospect: by the normal approximation, as if the pilot's spread were known, which is too hopeful; None without
            a pilot of this metric and ratio, and for claims that a gain grows.
        cautious: at the upper limit of the pilot's spread, the power simulated where seeds are few; None likewise.
        confidence: level of that limit.
    """

    hypothesis: str
    comparison: str
    seeds: int
    smallest_p: float
    level: float
    conclusive: bool
    prospect: Prospect | None
    cautious: Prospect | None = None
    confidence: float = PILOT_CONFIDENCE


def plans(registration: Registration, confidence: float = PILOT_CONFIDENCE) -> list[ComparisonPlan]:
    """Return a plan for each registered comparison, in the order of the verdict.

    Args:
        registration: what is registered.
        confidence: level of the upper limit of the pilot's spread, in (0, 1).

    Raises StatisticsError as `power`.
    """
    instance(registration, Registration, "registration"), fraction(confidence, "confidence")
    return [
        _plan(name, compared, len(hypothesis.comparisons()), registration, confidence)
        for name, hypothesis in registration.hypotheses.items()
        for compared in hypothesis.comparisons()
    ]


def require_plan(registration: Registration) -> None:
    """Raise StatisticsError, naming the comparison, if the design has a comparison that no data could decide."""
    instance(registration, Registration, "registration")
    for name, hypothesis in registration.hypotheses.items():
        family = hypothesis.comparisons()
        for compared in family:
            seeds = len(registration.seeds_at(*compared.ratios))
            try:
                require_conclusive(seeds, len(family), registration.alpha)
            except StatisticsError as error:
                raise StatisticsError(f"{name}, {compared.name}: {error}") from None


def _plan(name: str, compared: Compared, family: int, registration: Registration, confidence: float) -> ComparisonPlan:
    seeds = len(registration.seeds_at(*compared.ratios))
    design = reach(seeds, family, registration.alpha)
    prospect, cautious = None, None
    if pilot := pilot_of(compared, registration):
        limit = upper_spread(pilot.sd_difference, pilot.pairs, confidence)
        prospect = _prospect(pilot, pilot.sd_difference, seeds, design.level, registration, simulate=False)
        cautious = _prospect(pilot, limit, seeds, design.level, registration, simulate=True)
    return ComparisonPlan(
        name, compared.name, seeds, design.smallest_p, design.level, design.conclusive, prospect, cautious, confidence
    )


def pilot_of(compared: Compared, registration: Registration) -> Pilot | None:
    """Return the pilot of a comparison's metric and ratio; None without one, and for claims that a gain grows."""
    instance(compared, Compared, "comparison"), instance(registration, Registration, "registration")
    if compared.claim.says == "grows":
        return None
    return next((p for p in registration.pilot if (p.metric, p.ratio) == (compared.metric, compared.ratios[0])), None)


def _prospect(
    pilot: Pilot, sd: float, seeds: int, level: float, registration: Registration, simulate: bool
) -> Prospect:
    wanted = registration.smallest_effect * pilot.baseline_mean
    return Prospect(
        detectable=detectable_effect(sd, seeds, level, registration.power, simulate=simulate) / pilot.baseline_mean,
        power=power(wanted, sd, seeds, level, simulate=simulate),
        seeds_needed=seeds_needed(wanted, sd, level, registration.power, simulate=simulate),
    )


def describe(plan: ComparisonPlan) -> str:
    """Format the plan as one line for a terminal."""
    instance(plan, ComparisonPlan, "plan")
    verdict = "can conclude" if plan.conclusive else "CANNOT conclude"
    line = (
        f"{plan.hypothesis}  {plan.comparison}: {plan.seeds} seeds, smallest p {plan.smallest_p:.2g} "
        f"against {plan.level:.2g}: {verdict}"
    )
    if plan.prospect is None or plan.cautious is None:
        return f"{line}; no pilot, so no power"
    own = plan.prospect
    return (
        f"{line}; detects {plan.cautious.detectable:.1%}, power {plan.cautious.power:.2f} for the smallest effect of "
        f"interest, which needs {plan.cautious.seeds_needed} seeds, at the {plan.confidence:.0%} upper limit of the "
        f"pilot's spread ({own.detectable:.1%}, {own.power:.2f}, {own.seeds_needed} if its spread were known)"
    )
