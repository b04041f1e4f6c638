"""The effect of a treatment on units that chose it, or were chosen for it: estimates, and what to think of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.causal import double
from ncf.causal.adjusted import aipw, implied_weights, standardise
from ncf.causal.balance import balance, unbalanced
from ncf.causal.evalue import EValue, risk_ratio, standardised
from ncf.causal.matching import matched, matching, pairs
from ncf.causal.omitted import Omitted, omitted
from ncf.causal.propensity import Scores, arm_sizes, best_trim, given, no_overlap, scores, support, trim
from ncf.causal.rosenbaum import bounds, breaking_point
from ncf.causal.settings import ESTIMATORS, Settings
from ncf.causal.units import Units, read_units
from ncf.causal.weighting import ipw, weighted, weights
from ncf.data.frame import numbers, read_frame
from ncf.errors import ConfigError
from ncf.stats.checks import Array, StatisticsError, one_of
from ncf.stats.estimate import Estimate, table

FEW_CLUSTERS = 20


@dataclass(frozen=True, eq=False)
class Result:
    """One estimator's: its estimate, and the weights (N,) of the units that were kept, with which balance is judged."""

    name: str
    estimate: Estimate
    weights: Array
    omitted: Omitted | None = None


@dataclass(frozen=True, eq=False)
class Effect:
    """What was found.

    Attributes:
        settings: how.
        everyone: all units.
        kept: (N,) bool, those that trimming kept.
        all_scores: (N,), scores before trimming.
        scores: of the units that were kept.
        naive: the difference in means of all units, not adjusted.
        results: one for each estimator.
        warnings: what a reader has to know, one sentence each.
    """

    settings: Settings
    everyone: Units
    kept: Array
    all_scores: Array
    scores: Scores
    naive: Estimate
    results: tuple[Result, ...]
    warnings: tuple[str, ...]

    @property
    def units(self) -> Units:
        """The units that were kept."""
        return self.everyone.take(self.kept)

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """Those of the estimators, without the naive one."""
        return tuple(result.estimate for result in self.results)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for the naive difference and for each estimator; see `ncf.stats.estimate.table`."""
        frame = table([self.naive, *self.estimates])
        frame.insert(0, "estimator", ["naive", *(result.name for result in self.results)])
        return frame

    @cached_property
    def balance(self) -> pd.DataFrame:
        """A row for each estimator and confounder; see `ncf.causal.balance.balance`."""
        frames = [self.balance_of(result).assign(estimator=result.name) for result in self.results]
        found = pd.concat(frames, ignore_index=True)
        return found[["estimator", *(c for c in found.columns if c != "estimator")]]

    def balance_of(self, result: Result) -> pd.DataFrame:
        """Return the balance of confounders on the sample of one estimator."""
        every = np.zeros(len(self.everyone))
        every[self.kept] = result.weights
        return balance(self.everyone, every, "treated" if self.settings.estimand == "ATT" else "pooled")

    @cached_property
    def overlap(self) -> dict[str, float]:
        """The ranges of the scores, and how many units were kept."""
        d = self.everyone.treatment
        kept = {"kept_treated": float(d[self.kept].sum()), "kept_untreated": float((1 - d)[self.kept].sum())}
        counts = {"treated": float(d.sum()), "untreated": float((1 - d).sum())}
        return counts | support(d, self.all_scores) | kept

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """A row for each estimator.

        Columns: the E-values; the robustness values of cross-fitted estimators, for the estimate and for the end of the
        interval; and for match the gamma up to which pairs without replacement show an effect.
        """
        rows = []
        for result in self.results:
            e = self.e_value(result)
            row: dict[str, Any] = {"estimator": result.name, "risk_ratio": e.ratio, "e_value": e.estimate,
                                   "e_value_limit": e.limit}  # fmt: skip
            if result.omitted is not None:
                one_sided = 1 - (1 - self.settings.level) / 2
                row |= {"robustness": result.omitted.robustness(),
                        "robustness_limit": result.omitted.robustness(one_sided)}  # fmt: skip
            if result.name == "match" and self.pair_differences is not None:
                row["gamma"] = breaking_point(self.pair_differences, (1 - self.settings.level) / 2)
            rows.append(row)
        return pd.DataFrame(rows)

    def e_value(self, result: Result) -> EValue:
        """Return the E-value of an estimate.

        For an outcome of two values it is that of the risk ratio, the risk of the untreated being their weighted mean
        taken as known; for another that of the effect over the outcome's standard deviation within the arms.
        """
        found, units = result.estimate, self.units
        y = units.outcome
        low, high = y.min(), y.max()
        if np.isin(y, (low, high)).all() and high > low:
            rest = result.weights * (1 - units.treatment)
            base = float(rest @ ((y - low) / (high - low)) / rest.sum())
            risks = [base + v / (high - low) for v in (found.value, found.low, found.high)]
            if 0 < base < 1 and risks[0] > 0:
                return risk_ratio(*(max(risk, 1e-12) / base for risk in risks))
        spread = np.sqrt(np.mean([y[units.treatment == arm].var(ddof=1) for arm in (0, 1)]))
        if not spread > 0:
            return EValue(float("nan"), float("nan"), float("nan"))
        half = (found.high - found.low) / 2
        return standardised(found.value / spread, half / spread, 1.0)

    @cached_property
    def pair_differences(self) -> Array | None:
        """Treated less untreated outcome of pairs without replacement, (M,); None if match was not asked for."""
        if "match" not in self.settings.estimators or self.settings.estimand == "ATC":
            return None
        rule = replace(self.settings.rule, neighbours=1, replace=False)
        treated, untreated = pairs(self.units, self.scores.values, rule)
        found = self.units.outcome[treated] - self.units.outcome[untreated]
        return found if found.any() else None

    def rosenbaum(self) -> pd.DataFrame | None:
        """Return Rosenbaum's bounds of those pairs; None if there are none."""
        return None if self.pair_differences is None else bounds(self.pair_differences)


def effect(
    data: Units | pd.DataFrame | Path | str, treatment: str = "", outcome: str = "", confounders: Sequence[str] = (), *,
    categories: Sequence[str] = (), cluster: str | None = None, unit: str | None = None, score: str | None = None,
    estimator: str | Sequence[str] = "aipw", **settings: Any,
) -> Effect:  # fmt: skip
    """Estimate an effect, with the diagnostics that say whether to believe it.

    Args:
        data: a frame, the path of a CSV, TSV or Parquet file, or units of `ncf.causal.units`, which need no columns.
        treatment: column of 0 and 1.
        outcome: column of numbers.
        confounders: columns of numbers that may have moved both.
        categories: further confounders whose values are names.
        cluster: column of clusters of units that are not independent.
        unit: column of ids, which must not repeat.
        score: column of scores that are known, as from a lottery; None: they are estimated.
        estimator: one of ESTIMATORS, several, or "all".
        settings: see `Settings`.

    Raises:
        ConfigError, DataError, StatisticsError: a setting is out of range, the data are not fit, or the arms do not
            overlap.
    """
    known = set(Settings.__dataclass_fields__) - {"estimators"}
    if unknown := sorted(set(settings) - known):
        raise ConfigError(f"{unknown[0]}: expected one of the settings {', '.join(sorted(known))}")
    names = ESTIMATORS if estimator == "all" else (estimator,) if isinstance(estimator, str) else tuple(estimator)
    chosen = Settings(estimators=names, **settings)
    if isinstance(data, Units):
        return analyse(data, chosen)
    units = read_units(data, treatment, outcome, confounders, categories, cluster, unit)
    own = None if score is None else given(numbers(read_frame(data, [score]), score))
    return analyse(units, chosen, own)


def analyse(everyone: Units, settings: Settings, known: Scores | None = None) -> Effect:
    """Return what is found on units, with scores that are `known` or estimated. Raises as `effect`."""
    first = known or _scores(everyone, settings)
    kept, own, notes = _trimmed(everyone, first, settings, known is not None)
    units = everyone.take(kept)
    fitted, gone = units.varying()
    if gone:
        notes.append(f"{', '.join(gone)}: the same in all units that trimming kept, and left out of the models")
    results = []
    for name in settings.estimators:
        result = _RUN[name](fitted, own, settings, known is not None)
        if why := no_overlap(units.treatment, np.abs(result.weights), _of(name, settings)):
            if settings.overlap == "refuse":
                raise StatisticsError(f"{name}: {why}; trim the scores, ask for the ATT or ATO, or set overlap=warn")
            notes.append(f"{name}: {why}")
        results.append(_sized(result, units))
    found = Effect(settings, everyone, kept, first.values, own, _naive(everyone, settings.level), tuple(results), ())
    return replace(found, warnings=(*notes, *_warnings(found)))


def _sized(result: Result, units: Units) -> Result:
    """Return the result with the effective sample sizes of its arms, by sizes of weights."""
    sizes = arm_sizes(units.treatment, np.abs(result.weights))
    found = replace(result.estimate, effective_n=sum(sizes))
    return replace(result, estimate=found.noting(effective_treated=sizes[0], effective_untreated=sizes[1]))


def _scores(units: Units, settings: Settings) -> Scores:
    own = settings.score_model == "logistic"
    return scores(units, settings.score_model, count=1 if own else max(2, settings.folds), seed=settings.seed)


def _trimmed(units: Units, first: Scores, settings: Settings, known: bool) -> tuple[Array, Scores, list[str]]:
    if settings.trim is None:
        return np.ones(len(units), bool), first, []
    if isinstance(settings.trim, str):
        one_of(settings.trim, "trim", ["best"])
        low, high = best_trim(first.values)
    else:
        low, high = settings.trim
    kept = trim(first.values, low, high)
    counts = [int(kept[units.treatment == arm].sum()) for arm in (1, 0)]
    if min(counts) < 2:
        raise StatisticsError(
            f"trim: expected units of both arms with scores in [{low:g}, {high:g}], found {counts[0]:,} treated and "
            f"{counts[1]:,} untreated"
        )
    note = f"trimming to scores in [{low:.3g}, {high:.3g}] kept {kept.sum():,} of {len(units):,} units"
    again = settings.refit and not known
    own = _scores(units.take(kept).varying()[0], settings) if again else given(first.values[kept])
    return kept, own, [note]


def _naive(units: Units, level: float) -> Estimate:
    found = weighted(units, np.ones(len(units)), estimand="difference", level=level)
    return replace(found, method="difference in means, not adjusted", details={})


def _of(name: str, settings: Settings) -> str:
    return "ATO" if name == "dml" and settings.dml_form == "partially_linear" else settings.estimand


def _standardise(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    found = standardise(units, estimand=settings.estimand, level=settings.level)
    return Result("standardise", found, implied_weights(units, settings.estimand))


def _ipw(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    found = ipw(units, own, estimand=settings.estimand, normalised=settings.normalised, level=settings.level)
    if own.design is None and not known:
        found = found.noting("the error takes the scores as known, as it does where logistic scores are not refitted")
    return Result("ipw", found, weights(units.treatment, own.values, settings.estimand))


def _match(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    found = matching(units, own, settings.rule, estimand=settings.estimand, level=settings.level)
    return Result("match", found, matched(units, own.values, settings.rule, settings.estimand).weights)


def _aipw(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    if settings.crossed:
        result = _interactive(units, own, settings, known)
        return replace(result, name="aipw", estimate=replace(result.estimate, method="AIPW (cross-fitted)"))
    found = aipw(units, own, estimand=settings.estimand, level=settings.level)
    return Result("aipw", found, weights(units.treatment, own.values, settings.estimand))


def _dml(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    if settings.dml_form == "interactive":
        return _interactive(units, own, settings, known)
    predicted = _predicted(units, own, settings, known, interactive=False)
    found = double.partially_linear(units, predicted, level=settings.level)
    own_weights = np.where(units.treatment == 1, 1 - predicted.score, predicted.score)
    return Result("dml", found, own_weights, omitted(units, predicted, found))


def _interactive(units: Units, own: Scores, settings: Settings, known: bool) -> Result:
    predicted = _predicted(units, own, settings, known, interactive=True)
    found = double.interactive(units, predicted, estimand=settings.estimand, level=settings.level)
    own_weights = weights(units.treatment, predicted.score, settings.estimand)
    return Result("dml", found, own_weights, omitted(units, predicted, found, settings.estimand))


def _predicted(units: Units, own: Scores, settings: Settings, known: bool, interactive: bool) -> double.Predicted:
    found = double.predict(
        units, outcome_model=settings.outcome_model, score_model=settings.score_model, fold=settings.folds,
        seed=settings.seed, repeats=settings.divisions(len(units)), interactive=interactive,
    )  # fmt: skip
    if known:
        found = replace(found, score=own.values)
    return double.clipped(found, settings.clip)


_RUN = {"standardise": _standardise, "ipw": _ipw, "match": _match, "aipw": _aipw, "dml": _dml}


def _idle(settings: Settings) -> list[str]:
    """Name the estimators that an outcome model was asked for in vain, lest their results pass as its own."""
    if settings.outcome_model == "linear":
        return []
    linear = [
        name for name in settings.estimators if name == "standardise" or (name == "aipw" and not settings.crossed)
    ]
    return [f"{name}: outcome_model has no part in it: its outcomes are linear" for name in linear]


def _warnings(found: Effect) -> list[str]:
    notes = []
    for result in found.results:
        if names := unbalanced(found.balance_of(result)):
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            notes.append(f"{result.name}: |standardised mean difference| above 0.1 after adjustment: {shown}")
        notes += [f"{result.name}: {warning}" for warning in result.estimate.warnings]
    notes += _idle(found.settings)
    clusters = found.everyone.clusters
    if clusters is not None and (count := len(pd.unique(clusters[found.kept]))) < FEW_CLUSTERS:
        notes.append(f"{count} clusters: with fewer than {FEW_CLUSTERS}, errors by cluster are too small")
    return notes
