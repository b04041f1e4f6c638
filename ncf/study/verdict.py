"""Derive the verdict from a results table by the registered rule alone."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ncf.core.rng import numpy_generator
from ncf.stats.checks import Array, StatisticsError
from ncf.stats.comparison import Comparison, compare
from ncf.stats.multiplicity import bonferroni, holm
from ncf.stats.trend import growth
from ncf.study.registration import Compared, Hypothesis, Registration, Selector, resolved

Finding = Literal["better", "worse", "equivalent", "undecided", "incomplete"]
Outcome = Literal["supported", "refuted", "inconclusive"]
LEAST_PAIRS = 3


@dataclass(frozen=True)
class JudgedComparison:
    """A registered comparison after its runs.

    Attributes:
        compared: the registered comparison.
        missing: registered seeds that lack a run in either arm; if there are any, the comparison is incomplete.
        result: over the available seeds; None if they are too few. For "grows" each pair is (b + g, b), where b is the
            seed's mean baseline over the ratios and g the growth of its fitted gain from lowest to highest ratio.
        p: Wilcoxon p, corrected within the hypothesis; 1 if incomplete.
        p_equivalent: TOST p, corrected likewise.
        finding: at the registered alpha.
        obstacle: why a comparison whose runs are all there is undecided without a result: too few pairs, for example,
            or no spread; None for any other.
    """

    compared: Compared
    missing: tuple[int, ...]
    result: Comparison | None
    p: float
    p_equivalent: float
    finding: Finding
    obstacle: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict on a hypothesis: the outcome, the reason in words, and the comparisons it is based on."""

    hypothesis: str
    statement: str
    outcome: Outcome
    reason: str
    comparisons: tuple[JudgedComparison, ...]


def verdict(registration: Registration, results: pd.DataFrame) -> list[Verdict]:
    """Judge each registered hypothesis on `results`, in the registered order.

    A comparison is *better* or *worse*, by the sign of the mean difference, if its corrected Wilcoxon p is at most
    alpha; otherwise *equivalent* if its corrected TOST p is; otherwise *undecided*. A hypothesis is supported if all
    (any) of its comparisons are better, refuted if one (all) of them is worse or equivalent, and else inconclusive.
    Only registered seeds count; a comparison that lacks some is *incomplete*, however clear the others look. One that
    no test can judge (all differences zero, for example) is *undecided*, with its `obstacle`.

    Args:
        registration: what was registered.
        results: one row per finished run; columns `neg_ratio`, `seed`, those of the arms, and the metrics.

    Raises:
        StatisticsError: a column is missing, an arm has two runs with the same seed and ratio, or a metric is not
            finite.
    """
    return [_judge(name, hypothesis, registration, results) for name, hypothesis in registration.hypotheses.items()]


def decide(findings: list[Finding], supported_if: Literal["all", "any"]) -> Outcome:
    """Combine findings into an outcome by the rule; see `verdict`."""
    holds = [finding == "better" for finding in findings]
    fails = [finding in ("worse", "equivalent") for finding in findings]
    supported, refuted = (all(holds), any(fails)) if supported_if == "all" else (any(holds), all(fails))
    return "supported" if supported else "refuted" if refuted else "inconclusive"


def arm_values(results: pd.DataFrame, arm: Selector, ratio: int, metric: str) -> pd.Series:
    """Return `metric` of an arm's runs at a ratio, indexed by seed.

    Raises:
        StatisticsError: a column is missing, a seed has two runs, or a run's metric is not finite.
    """
    absent = {"neg_ratio", "seed", metric, *arm} - set(results.columns)
    if absent:
        raise StatisticsError(f"results: missing columns {sorted(absent)}, got {sorted(results.columns)}")
    rows = results[results["neg_ratio"] == ratio]
    for column, value in arm.items():
        rows = rows[_has(rows[column], resolved(value, ratio))]
    where = f"{arm} at 1:{ratio} with seed"
    values = rows.set_index("seed")[metric].astype(float)
    for seed in values.index[values.index.duplicated()]:
        raise StatisticsError(f"results: expected one run of {where} {seed}, got several")
    for seed in values.index[~np.isfinite(values)]:
        raise StatisticsError(f"results: expected a finite {metric} of {where} {seed}, got {values[seed]}")
    return values


def _has(column: pd.Series, value: str | int | float) -> pd.Series:
    if isinstance(value, str):
        return column == value
    return (pd.to_numeric(column, errors="coerce") - value).abs() <= 1e-9


def _judge(name: str, hypothesis: Hypothesis, registration: Registration, results: pd.DataFrame) -> Verdict:
    measured = [(c, *_measure(c, registration, results)) for c in hypothesis.comparisons()]
    complete = [result if not missing else None for _, missing, result, _ in measured]
    # One that is incomplete or has an obstacle stays in the family with p = 1: the others are corrected as registered.
    correct = holm if registration.correction == "holm" else bonferroni
    p = correct(np.array([result.wilcoxon.p if result else 1.0 for result in complete])).tolist()
    p_equivalent = correct(np.array([result.equivalence.p if result else 1.0 for result in complete])).tolist()
    findings: list[Finding] = [
        "undecided" if obstacle else _finding(r, a, b, registration.alpha)
        for r, a, b, (*_, obstacle) in zip(complete, p, p_equivalent, measured)
    ]
    judged = tuple(
        JudgedComparison(compared, missing, result, a, b, finding, obstacle)
        for (compared, missing, result, obstacle), a, b, finding in zip(measured, p, p_equivalent, findings)
    )
    reason = _reason(findings, hypothesis.supported_if)
    return Verdict(name, hypothesis.statement, decide(findings, hypothesis.supported_if), reason, judged)


def _finding(result: Comparison | None, p: float, p_equivalent: float, alpha: float) -> Finding:
    if result is None:
        return "incomplete"
    if p <= alpha:
        return "better" if result.treatment_mean > result.baseline_mean else "worse"
    return "equivalent" if p_equivalent <= alpha else "undecided"


def _reason(findings: list[Finding], supported_if: str) -> str:
    counts = [f"{findings.count(kind)} {kind}" for kind in dict.fromkeys(findings)]
    return f"needs {supported_if} of {len(findings)} comparisons better: {', '.join(counts)}"


def _measure(
    compared: Compared, registration: Registration, results: pd.DataFrame
) -> tuple[tuple[int, ...], Comparison | None, str | None]:
    """Return the missing registered seeds, the comparison over the others, and why there is none if none is missing."""
    registered = registration.seeds_at(*compared.ratios)
    arms = [registration.arms[compared.claim.treatment], registration.arms[compared.claim.baseline]]
    columns = [
        arm_values(results, arm, r, compared.metric).reindex(registered) for arm in arms for r in compared.ratios
    ]
    present = pd.concat(columns, axis=1).dropna()
    missing = tuple(seed for seed in registered if seed not in present.index)
    if len(present) < LEAST_PAIRS:
        return missing, None, None if missing else f"{len(present)} pairs, at least {LEAST_PAIRS} are needed"
    treatment, baseline = np.split(present.to_numpy(dtype=np.float64), 2, axis=1)  # (seeds, ratios) each
    try:
        return missing, _compare(treatment, baseline, compared, registration), None
    except StatisticsError as error:  # must not prevent the verdict on the others
        return missing, None, None if missing else str(error)


def _compare(treatment: Array, baseline: Array, compared: Compared, registration: Registration) -> Comparison:
    level = baseline.mean(axis=1)  # (seeds,), the baseline itself at a single ratio
    if compared.claim.says == "grows":
        treated = level + growth(treatment - baseline, np.array(compared.ratios))
    else:
        treated = treatment[:, 0]
    return compare(
        treated,
        level,
        margin=registration.smallest_effect,
        level=registration.interval_level,
        resamples=registration.resamples,
        rng=numpy_generator(registration.bootstrap_seed, compared.name),  # a separate stream per comparison
    )
