"""Plan a study: what a registered design can and cannot show, before any run."""

from dataclasses import dataclass

from ncf.stats.checks import StatisticsError
from ncf.stats.power import detectable_effect, power, reach, require_conclusive, seeds_needed
from ncf.study.registration import Compared, Pilot, Registration


@dataclass(frozen=True)
class Prospect:
    """The prospect of a comparison, given the spread seen in the pilot.

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
        prospect: None without a pilot of this metric and ratio, and for claims that a gain grows.
    """

    hypothesis: str
    comparison: str
    seeds: int
    smallest_p: float
    level: float
    conclusive: bool
    prospect: Prospect | None


def plans(registration: Registration) -> list[ComparisonPlan]:
    """Return a plan for each registered comparison, in the order of the verdict. Raises StatisticsError as `power`."""
    return [
        _plan(name, compared, len(hypothesis.comparisons()), registration)
        for name, hypothesis in registration.hypotheses.items()
        for compared in hypothesis.comparisons()
    ]


def require_plan(registration: Registration) -> None:
    """Raise StatisticsError, naming the comparison, if the design has a comparison that no data could decide."""
    for name, hypothesis in registration.hypotheses.items():
        family = hypothesis.comparisons()
        for compared in family:
            seeds = len(registration.seeds_at(*compared.ratios))
            try:
                require_conclusive(seeds, len(family), registration.alpha)
            except StatisticsError as error:
                raise StatisticsError(f"{name}, {compared.name}: {error}") from None


def _plan(name: str, compared: Compared, family: int, registration: Registration) -> ComparisonPlan:
    seeds = len(registration.seeds_at(*compared.ratios))
    design = reach(seeds, family, registration.alpha)
    pilot = _pilot(compared, registration)
    prospect = _prospect(pilot, seeds, design.level, registration) if pilot else None
    return ComparisonPlan(name, compared.name, seeds, design.smallest_p, design.level, design.conclusive, prospect)


def _pilot(compared: Compared, registration: Registration) -> Pilot | None:
    if compared.claim.says == "grows":
        return None
    return next((p for p in registration.pilot if (p.metric, p.ratio) == (compared.metric, compared.ratios[0])), None)


def _prospect(pilot: Pilot, seeds: int, level: float, registration: Registration) -> Prospect:
    sd, wanted = pilot.sd_difference, registration.smallest_effect * pilot.baseline_mean
    return Prospect(
        detectable=detectable_effect(sd, seeds, level, registration.power) / pilot.baseline_mean,
        power=power(wanted, sd, seeds, level),
        seeds_needed=seeds_needed(wanted, sd, level, registration.power),
    )


def describe(plan: ComparisonPlan) -> str:
    """Format the plan as one line for a terminal."""
    verdict = "can conclude" if plan.conclusive else "CANNOT conclude"
    line = (
        f"{plan.hypothesis}  {plan.comparison}: {plan.seeds} seeds, smallest p {plan.smallest_p:.2g} "
        f"against {plan.level:.2g}: {verdict}"
    )
    if plan.prospect is None:
        return f"{line}; no pilot, so no power"
    return (
        f"{line}; detects {plan.prospect.detectable:.1%}, power {plan.prospect.power:.2f} for the smallest effect of "
        f"interest, which needs {plan.prospect.seeds_needed} seeds"
    )
