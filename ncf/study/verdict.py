"""Derive the verdict from a results table by the registered rule alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ncf.core.rng import numpy_generator
from ncf.stats.checks import Array, StatisticsError, instance, one_of, table, whole
from ncf.stats.comparison import Comparison, compare
from ncf.stats.findings import CORRECTIONS, FINDINGS, STATUSES, Finding, findings, statuses
from ncf.stats.multiplicity import corrected_level
from ncf.stats.power import detectable_from
from ncf.stats.trend import growth
from ncf.study.conclusion import Conclusion, Part
from ncf.study.registration import Compared, Hypothesis, Registration, Selector, resolved

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
        finding: at the registered alpha, after the correction.
        obstacle: why a comparison whose runs are all there is undecided without a result: too few pairs, for example,
            or no spread; None for any other.
        alone: the finding at alpha without correction, as a claim needs it that all of its comparisons are better.
        detectable: the smallest relative change that these runs would have detected with the registered power, from the
            observed spread; None without a result or where no pair differs, inf if there is none.
    """

    compared: Compared
    missing: tuple[int, ...]
    result: Comparison | None
    p: float
    p_equivalent: float
    finding: Finding
    obstacle: str | None = None
    alone: Finding = "undecided"
    detectable: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict on a hypothesis.

    Attributes:
        hypothesis: its name.
        statement: its words.
        comparisons: what it is based on.
        conclusion: whether the claim holds, fails or is undecided, part by part; and its sentence.
        intervals: what the intervals of the comparisons are: "95%, not corrected for 4 comparisons".
    """

    hypothesis: str
    statement: str
    comparisons: tuple[JudgedComparison, ...]
    conclusion: Conclusion
    intervals: str


def verdict(
    registration: Registration, results: pd.DataFrame, intervals: Literal["plain", "corrected"] = "plain"
) -> list[Verdict]:
    """Judge each registered hypothesis on `results`, in the registered order.

    A comparison is *equivalent* if TOST puts its effect into the region of practical equivalence; otherwise *better* or
    *worse*, in the direction of the Wilcoxon statistic, if its p shows an effect; otherwise *undecided*
    (`ncf.stats.findings`). The p behind the finding has to be at most alpha after the correction, or the comparison is
    *undecided*. Only registered seeds count; a comparison that lacks some is *incomplete*, however clear the others
    look. One that no test can judge (no spread, for example) is *undecided*, with its `obstacle`.

    A claim that all of its comparisons are better holds if each of them is at alpha, without correction; it fails if
    one is worse or equivalent after correction. One that any is better holds if one is after correction. Every claim is
    refuted if all of its comparisons are worse or equivalent at alpha, and else undecided.

    Args:
        registration: what was registered.
        results: one row per finished run; columns `neg_ratio`, `seed`, those of the arms, and the metrics.
        intervals: "plain", each at the registered level, or "corrected", at the level at which all of the hypothesis
            hold together.

    Raises:
        StatisticsError: a column is missing, an arm has two runs with the same seed and ratio, or a metric is not
            finite.
    """
    instance(registration, Registration, "registration"), instance(results, pd.DataFrame, "results")
    one_of(intervals, "intervals", ["plain", "corrected"])
    return [
        _judge(name, hypothesis, registration, results, intervals == "corrected")
        for name, hypothesis in registration.hypotheses.items()
    ]


def arm_values(results: pd.DataFrame, arm: Selector, ratio: int, metric: str) -> pd.Series:
    """Return `metric` of an arm's runs at a ratio, indexed by seed.

    Raises:
        StatisticsError: a column is missing, a seed has two runs, or a run's metric is not finite.
    """
    instance(results, pd.DataFrame, "results"), instance(arm, Mapping, "arm"), instance(metric, str, "metric")
    whole(ratio, "ratio", 1, 10**9)
    absent = {"neg_ratio", "seed", metric, *arm} - set(results.columns)
    if absent:
        known = sorted(map(str, results.columns))
        raise StatisticsError(f"results: missing columns {sorted(map(str, absent))}, got {known}")
    used = results.columns[results.columns.isin(["neg_ratio", "seed", metric, *arm])]
    if not used.is_unique:
        raise StatisticsError(f"results: expected each column once, got several {', '.join(used[used.duplicated()])}")
    if np.iscomplexobj(results[metric]):
        raise StatisticsError(f"results: expected a real {metric}, got complex numbers")
    own = results["neg_ratio"] == ratio
    for column, value in arm.items():
        own &= _has(results[column], resolved(value, ratio))
    where = f"{arm} at 1:{ratio} with seed"
    values = pd.to_numeric(results[metric][own], errors="coerce").astype(float)
    values.index = pd.Index(results["seed"][own])
    for seed in values.index[values.index.duplicated()]:
        raise StatisticsError(f"results: expected one run of {where} {seed}, got several")
    for seed in values.index[~np.isfinite(values)]:
        raise StatisticsError(f"results: expected a finite {metric} of {where} {seed}, got {values[seed]}")
    return values


def _has(column: pd.Series, value: str | int | float) -> pd.Series:
    if isinstance(value, str):
        return column == value
    return (pd.to_numeric(column, errors="coerce") - value).abs() <= 1e-9


def _judge(
    name: str, hypothesis: Hypothesis, registration: Registration, results: pd.DataFrame, corrected: bool
) -> Verdict:
    family, alpha = hypothesis.comparisons(), registration.alpha
    level = corrected_level(registration.interval_level, len(family)) if corrected else registration.interval_level
    measured = [(c, *_measure(c, registration, results, level, len(family))) for c in family]
    # One that is incomplete or has an obstacle stays in the family with p = 1: the others are corrected as registered.
    complete = [result if not missing else None for _, missing, result, *_ in measured]
    direction = np.array([result.wilcoxon.direction if result else 0 for result in complete])
    raw = np.array([result.wilcoxon.p if result else 1.0 for result in complete])
    raw_equivalent = np.array([result.equivalence.p if result else 1.0 for result in complete])
    alone, surviving = findings(direction, raw, raw_equivalent, alpha, registration.correction)
    lacking = [bool(missing) for _, missing, *_ in measured]
    alone, surviving = (np.where(lacking, FINDINGS.index("incomplete"), found) for found in (alone, surviving))
    p, p_equivalent = (CORRECTIONS[registration.correction](values).tolist() for values in (raw, raw_equivalent))
    judged = tuple(
        JudgedComparison(compared, missing, result, a, b, FINDINGS[found], obstacle, FINDINGS[single], detectable)
        for (compared, missing, result, obstacle, detectable), a, b, found, single in zip(
            measured, p, p_equivalent, surviving, alone
        )
    )
    needs = hypothesis.supported_if
    status = STATUSES[int(statuses(alone, surviving, needs))]
    conclusion = Conclusion(status, needs, tuple(Part(j.compared.name, j.finding, j.alone) for j in judged))
    return Verdict(
        name, hypothesis.statement, judged, conclusion,
        _level_in_words(registration.interval_level, len(family), corrected),
    )  # fmt: skip


def _level_in_words(level: float, comparisons: int, corrected: bool) -> str:
    if comparisons == 1:
        return f"{100 * level:g}%"
    together = f"{100 * level:g}% together, corrected" if corrected else f"{100 * level:g}% each, not corrected"
    return f"{together} for {comparisons} comparisons"


def _measure(
    compared: Compared, registration: Registration, results: pd.DataFrame, level: float, family: int
) -> tuple[tuple[int, ...], Comparison | None, str | None, float | None]:
    """Return the missing registered seeds, the comparison over the others, why there is none if none is missing, and
    what the observed spread would have detected.
    """
    registered = registration.seeds_at(*compared.ratios)
    arms = [registration.arms[compared.claim.treatment], registration.arms[compared.claim.baseline]]
    columns = [
        arm_values(results, arm, r, compared.metric).reindex(registered) for arm in arms for r in compared.ratios
    ]
    present = pd.concat(columns, axis=1).dropna()
    missing = tuple(seed for seed in registered if seed not in present.index)
    if len(present) < LEAST_PAIRS:
        why = None if missing else f"{len(present)} pairs, at least {LEAST_PAIRS} are needed"
        return missing, None, why, None
    treatment, baseline = np.split(present.to_numpy(dtype=np.float64), 2, axis=1)  # (seeds, ratios) each
    treated, base = paired_values(treatment, baseline, compared)
    try:
        result = compare(
            treated, base, margin=registration.smallest_effect, level=level, resamples=registration.resamples,
            rng=numpy_generator(registration.bootstrap_seed, compared.name),  # a separate stream per comparison
        )  # fmt: skip
    except StatisticsError as error:  # must not prevent the verdict on the others
        return missing, None, None if missing else str(error), None
    seen = None
    if result.wilcoxon.n and registration.power > registration.alpha / family:
        seen = detectable_from(treated - base, registration.alpha / family, registration.power) / result.baseline_mean
    return missing, result, None, seen


def paired_values(treatment: Array, baseline: Array, compared: Compared) -> tuple[Array, Array]:
    """Return what a comparison pairs, (..., seeds) each, from the metrics of both arms (..., seeds, ratios).

    At one ratio these are the metrics themselves. For "grows" the second is each seed's mean baseline over the ratios,
    and the first that plus the growth of the seed's fitted gain from lowest to highest ratio.

    Raises StatisticsError for arrays of other shapes.
    """
    instance(compared, Compared, "comparison")
    t, b = table(treatment, "treatment"), table(baseline, "baseline")
    if t.shape != b.shape or t.ndim < 2 or t.shape[-1] != len(compared.ratios):
        raise StatisticsError(
            f"comparison: expected equal shapes (..., seeds, {len(compared.ratios)}), got {t.shape} and {b.shape}"
        )
    if compared.claim.says != "grows":
        return t[..., 0], b[..., 0]
    level, gains = b.mean(-1), (t - b).reshape(-1, t.shape[-1])
    return level + growth(gains, np.array(compared.ratios)).reshape(level.shape), level
