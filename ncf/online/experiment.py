"""An experiment from its rows to its findings: health first, then every metric of every treatment."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.errors import ConfigError, DataError
from ncf.online import bayes
from ncf.online.clusters import cluster_means, cluster_robust
from ncf.online.days import ByDay, by_day
from ncf.online.health import Check, carry_over, exposure, sample_ratio_check, shown
from ncf.online.looking import judged, looks_taken
from ncf.online.means import Effect, cuped, ratio, welch
from ncf.online.overlap import overlaps
from ncf.online.plan import Plan, Settings, load_plan, settings
from ncf.online.proportions import proportions
from ncf.online.result import ABTest, Compared, Looks
from ncf.online.segments import segments
from ncf.online.stratified import stratified
from ncf.online.units import Units, read_units, together
from ncf.stats.checks import Array
from ncf.stats.findings import CORRECTIONS, FINDINGS, findings


def abtest(
    data: pd.DataFrame | Path | str, *, plan: Path | str | None = None, look: int | Sequence[int] | None = None,
    health: bool = False, **options: Any,
) -> ABTest:  # fmt: skip
    """Analyse an experiment: its health, then the effects.

    Args:
        data: a frame, or a CSV, TSV or Parquet file, with a row a unit, or a unit and day.
        plan: a YAML file with the settings, written before the experiment; `options` may then only add what it leaves
            open.
        look: which look this is, where looks were planned and rows carry no day; with the bounds of a spending
            function, the days after which the data were looked at.
        health: check the health alone, and refuse nothing that it finds.
        **options: the settings, as `ncf.online.plan.Settings` describes them: unit="user", arm="arm",
            metric=["clicks", "clicks/sessions"], ...

    Raises:
        ConfigError: a setting is unknown, missing or out of range, or contradicts the plan.
        DataError: the data cannot be read or analysed, or fail the health checks: one arm, a unit in two arms, a
            sample-ratio mismatch, missing or non-numeric outcomes, negative counts, more looks than planned.
        StatisticsError: fewer than two clusters in an arm, a ratio without denominators, a stratum without an arm.
    """
    planned = None if plan is None else load_plan(Path(plan))
    chosen = settings(**options) if planned is None else _planned(planned, options)
    units = _read(data, chosen)
    checks = _assignment(units, chosen)
    refused = next((check for check in checks if check.state == "refused"), None)
    if refused and not health:
        raise DataError(f"{units.label}: {refused.says} (health=true shows all checks)")
    if health:
        checks = [*checks, *_exposures(units, chosen)]
        return ABTest(units.label, chosen, planned, units.sizes, tuple(checks), (), ())
    checks = [*checks, *_exposures(units, chosen)]
    compared = _compared(units, chosen, look)
    checks += [check for one in compared if one.days and (check := one.days.check(_named(one, units)))]
    warnings = _warnings(chosen, compared)
    return ABTest(units.label, chosen, planned, units.sizes, tuple(checks), tuple(compared), tuple(warnings))


def _planned(plan: Plan, options: dict[str, Any]) -> Settings:
    """Return the plan's settings with what it leaves open. Raises ConfigError for an option that contradicts it."""
    given = settings(**{**plan.settings.model_dump(include={"unit", "arm", "metric"}), **options})
    for key in options:
        own, other = getattr(plan.settings, key), getattr(given, key)
        if key in plan.settings.model_fields_set and own != other:
            raise ConfigError(f"{key}: expected {_shown(own)}, as the plan says, got {_shown(other)}")
        if key not in plan.settings.model_fields_set and key not in _OPEN:
            raise ConfigError(
                f"{key}: expected none, as the plan does not have it; it may leave open {', '.join(_OPEN)}"
            )
    fixed = plan.settings.model_dump(exclude_unset=True)
    return settings(**{**{key: getattr(given, key) for key in options}, **fixed})


_OPEN = ("segments", "experiments", "exposure")  # what adds to an analysis, and moves none of its findings


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _read(data: pd.DataFrame | Path | str, chosen: Settings) -> Units:
    return read_units(
        data, unit=chosen.unit, arm=chosen.arm, values=chosen.columns, fixed=chosen.covariate, groups=chosen.groups,
        time=chosen.time, rows=chosen.rows, control=chosen.control, signed=chosen.signed,
    )  # fmt: skip


def _assignment(units: Units, chosen: Settings) -> list[Check]:
    """Return the checks of who is in which arm; where clusters were randomised it is clusters that are counted."""
    if smallest := [arm for arm, n in units.sizes.items() if n < 2]:
        raise DataError(
            f"{units.label}: expected two units or more in each arm, found fewer in {', '.join(map(shown, smallest))}"
        )
    sizes = units.sizes
    if chosen.cluster:
        arms_of = [np.unique(units.groups[chosen.cluster][units.arm == i]) for i in range(len(units.arms))]
        sizes = {arm: len(own) for arm, own in zip(units.arms, arms_of, strict=True)}
    if chosen.shares and (absent := set(chosen.shares) - set(sizes)):
        raise DataError(f"{units.label}: expected units in every arm, found none in {', '.join(sorted(absent))}")
    return [sample_ratio_check(sizes, chosen.shares)]


def _exposures(units: Units, chosen: Settings) -> list[Check]:
    """Return the checks of what was so before, of exposure, and of other experiments."""
    checks = []
    for i in range(1, len(units.arms)):
        own, treated = units.against(i)
        suffix = "" if len(units.arms) == 2 else f" ({units.arms[i]})"
        found = [carry_over(units.fixed[name][own], treated, name) for name in chosen.covariate]
        for metric in chosen.metric:
            top, _, bottom = (part.strip() for part in metric.partition("/"))
            exposed = chosen.exposure or bottom
            if exposed and exposed != top:
                found.append(exposure(units.values[top][own], units.values[exposed][own], treated, top, exposed))
            elif units.rows != "one" and not exposed:
                found.append(exposure(units.values[top][own], units.count[own].astype(float), treated, top, "rows"))
        checks += [replace(check, name=check.name + suffix) for check in found]
    if chosen.experiments:
        names = np.array(units.arms, dtype=object)[units.arm]
        others = {name: units.groups[name] for name in chosen.experiments}
        top = chosen.metric[0].partition("/")[0].strip()
        checks += [pair.check() for pair in overlaps({chosen.arm: names, **others}, units.values[top])]
    return checks


def _compared(units: Units, chosen: Settings, look: int | Sequence[int] | None) -> list[Compared]:
    """Return every metric and treatment with its finding."""
    found = []
    for metric in chosen.metric:
        for i in range(1, len(units.arms)):
            days = _by_day(units, chosen, metric, i)
            effect = effect_on(units, chosen, metric, i)
            looks = _looks(units, chosen, metric, i, days, effect, look) if metric == chosen.metric[0] else None
            if looks and looks.crossed:  # the test ended there: later days are no part of its effect
                effect = effect_on(units, chosen, metric, i, looks.crossed)
            found.append(_one(units, chosen, metric, i, effect, days, looks))
    return _with_findings(found, chosen)


def _one(
    units: Units, chosen: Settings, metric: str, arm: int, effect: Effect, days: ByDay | None, looks: Looks | None
) -> Compared:
    own, treated, values, over = _measured(units, chosen, metric, arm, looks.crossed if looks else None)
    parts = segments({c: units.groups[c][own] for c in chosen.segments}, values, over, treated, chosen.level)
    p = effect.absolute.p()
    if looks is not None:
        p = looks.outcome.p if looks.outcome.p is not None else 1.0
    return Compared(
        metric, units.arms[arm], effect, p, p, _p_equivalent(effect, chosen), "undecided", "undecided",
        _posterior(chosen, effect, metric, values, treated), days, looks, parts,
    )  # fmt: skip


def effect_on(units: Units, chosen: Settings, metric: str, arm: int, through: int | None = None) -> Effect:
    """Return the effect of an arm on a metric by the method that the settings ask for.

    Args:
        units: the data.
        chosen: the settings.
        metric: a column, or a ratio of two.
        arm: position of the treatment.
        through: only the first so many days; None: all.

    Raises StatisticsError as the methods.
    """
    own, treated, y, under = _measured(units, chosen, metric, arm, through)
    level = chosen.level
    if chosen.covariate:
        x = np.column_stack([units.fixed[name][own] for name in chosen.covariate])
        return cuped(y, x, treated, denominator=under, level=level)
    if under is not None:
        return ratio(y, under, treated, level=level)
    if chosen.cluster:
        method = cluster_means if chosen.cluster_method == "means" else cluster_robust
        return method(y, treated, units.groups[chosen.cluster][own], level=level)
    if chosen.strata:
        return stratified(y, treated, units.groups[chosen.strata][own], level=level)
    return proportions(y, treated, level=level) if _binary(y) else welch(y, treated, level=level)


def _measured(
    units: Units, chosen: Settings, metric: str, arm: int, through: int | None
) -> tuple[Array, Array, Array, Array | None]:
    """Return the units (n,) of an arm and the control, who is treated, their values, and a ratio's denominators."""
    own, treated = units.against(arm)
    values = units.values if through is None else _so_far(units, chosen, through)
    top, _, bottom = (part.strip() for part in metric.partition("/"))
    if through is not None:
        here = np.isfinite(values[top][own])
        own, treated = own[here], treated[here]
    return own, treated, values[top][own], values[bottom][own] if bottom else None


def _so_far(units: Units, chosen: Settings, through: int) -> dict[str, Array]:
    """Return one value a unit from the first days, NaN for units that had not come in."""
    log = units.log
    assert log is not None
    rows = log.day < through
    count = np.bincount(log.unit[rows], minlength=len(units))
    found = {}
    for column in chosen.columns:
        with np.errstate(invalid="ignore"):
            total = together(log.values[column][rows], log.unit[rows], count, units.rows)
        found[column] = np.where(count > 0, total, np.nan)
    return found


def _binary(values: Array) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _by_day(units: Units, chosen: Settings, metric: str, arm: int) -> ByDay | None:
    if units.log is None:
        return None
    top, _, bottom = (part.strip() for part in metric.partition("/"))
    codes = pd.factorize(units.groups[chosen.cluster])[0] if chosen.cluster else None
    return by_day(units.log, units.arm, arm, top, bottom or None, units.rows, codes)


def _looks(
    units: Units, chosen: Settings, metric: str, arm: int, days: ByDay | None, effect: Effect,
    look: int | Sequence[int] | None,
) -> Looks | None:  # fmt: skip
    """Return what planned looks say of the primary metric; None where none were planned."""
    if not chosen.looks:
        if look is not None:
            raise DataError("look: expected looks= in the plan, found none")
        return None
    last = None if units.log is None else max(units.log.labels) + 1
    taken = looks_taken(chosen.looks, chosen.bounds, last, look)
    alpha = chosen.alpha / (len(units.arms) - 1)
    return judged(chosen.looks, taken, chosen.bounds, alpha, _effects(units, chosen, metric, arm, days, effect),
                  known=last is not None)  # fmt: skip


def _effects(
    units: Units, chosen: Settings, metric: str, arm: int, days: ByDay | None, effect: Effect
) -> Callable[[int], tuple[float, float]]:
    """Return a function from days to effect and error on the first so many days."""
    running = {} if days is None else {day.day + 1: day for day in days.running}
    simple = not (chosen.covariate or chosen.strata or (chosen.cluster and chosen.cluster_method == "means"))

    def at(look: int) -> tuple[float, float]:
        """Return effect and error of what was there after `look` days."""
        if units.log is None or look > max(units.log.labels):
            return effect.absolute.value, effect.absolute.standard_error
        if simple:
            day = running.get(max((known for known in running if known <= look), default=0))
            return (day.effect, day.error) if day else (0.0, 0.0)
        part = effect_on(units, chosen, metric, arm, look).absolute
        return part.value, part.standard_error

    return at


def _p_equivalent(effect: Effect, chosen: Settings) -> float | None:
    if chosen.region is not None:
        return effect.absolute.p_equivalent(chosen.region)
    if chosen.margin is None or effect.log_ratio is None:
        return None
    return effect.log_ratio.p_equivalent((float(np.log1p(-chosen.margin)), float(np.log1p(chosen.margin))))


def _posterior(chosen: Settings, effect: Effect, metric: str, values: Array, treated: Array) -> bayes.Posterior | None:
    """Return the posterior of units that are 0 or 1 and independent."""
    if not effect.absolute.method.startswith("two proportions"):
        return None
    own, other = values[treated], values[~treated]
    found = bayes.posterior(own.sum(), len(own), other.sum(), len(other), level=chosen.level)
    return found.turned() if metric in chosen.lower else found


def _with_findings(found: list[Compared], chosen: Settings) -> list[Compared]:
    """Return the comparisons with corrected p and findings; those with looks are judged by their bounds."""
    by_bounds = [_by_bounds(one, chosen) for one in found if one.looks is not None]
    plain = [one for one in found if one.looks is None]
    if plain:
        p = np.array([one.p for one in plain])
        equivalent = np.array([1.0 if one.p_equivalent is None else one.p_equivalent for one in plain])
        signs = np.array([_sign(one, chosen) for one in plain])
        corrected, alone, surviving = _judged(signs, p, equivalent, chosen)
        open_still = any(not one.looks.ended for one in by_bounds if one.looks)
        plain = [
            replace(one, p_adjusted=float(q), alone=FINDINGS[int(a)],
                    finding="undecided" if open_still else FINDINGS[int(s)])
            for one, q, a, s in zip(plain, corrected, alone, surviving, strict=True)
        ]  # fmt: skip
    return [*by_bounds, *plain]


def _judged(signs: Array, p: Array, equivalent: Array, chosen: Settings) -> tuple[Array, Array, Array]:
    """Return corrected p, and the findings before and after correction."""
    if chosen.correction == "none":
        alone, _ = findings(signs, p, equivalent, chosen.alpha)
        return p, alone, alone
    alone, surviving = findings(signs, p, equivalent, chosen.alpha, chosen.correction)
    return CORRECTIONS[chosen.correction](p), alone, surviving


def _by_bounds(one: Compared, chosen: Settings) -> Compared:
    """Return a comparison with looks as its bounds judge it: undecided until one is crossed or the last is taken."""
    looks = one.looks
    assert looks is not None
    alpha = 1 - looks.level  # of this treatment, whose p times their number is the corrected one
    one = replace(one, p_adjusted=min(1.0, one.p * round(chosen.alpha / alpha)))
    if looks.outcome.stopped:
        sign = _sign(one, chosen, looks.outcome.z)
        return replace(one, finding="better" if sign > 0 else "worse", alone="better" if sign > 0 else "worse")
    if looks.ended and one.p_equivalent is not None and one.p_equivalent <= alpha:
        return replace(one, finding="equivalent", alone="equivalent")
    return one


def _sign(one: Compared, chosen: Settings, value: float | None = None) -> float:
    sign = float(np.sign(one.effect.absolute.value if value is None else value))
    return -sign if one.metric in chosen.lower else sign


def _named(one: Compared, units: Units) -> str:
    return one.metric if len(units.arms) == 2 else f"{one.metric} ({one.arm})"


def _warnings(chosen: Settings, compared: Sequence[Compared]) -> list[str]:
    found = [f"{one.metric}: {warning}" for one in compared for warning in one.effect.absolute.warnings]
    if chosen.margin is None and chosen.region is None:
        found.append("no margin= or region= says which effects are too small to matter: nothing is found equivalent")
    for one in compared:
        if chosen.margin is not None and one.effect.log_ratio is None:
            found.append(
                f"{one.metric}: a relative margin needs positive means in both arms; region= takes an absolute one"
            )
    if chosen.region is not None and len(chosen.metric) > 1:
        found.append("region= is one absolute region for all metrics; margin= is a share of each metric's own mean")
    for one in compared:
        if one.looks and one.looks.crossed:
            found.append(f"{one.metric}, {one.arm}: a bound was crossed after {one.looks.crossed} days, where the test "
                         "ended: its effect and segments are those of these days")  # fmt: skip
    if any(one.looks for one in compared) and any(one.looks is None for one in compared):
        found.append("the bounds of the looks are for the primary metric; the others are not corrected for looks")
    if any(one.posterior for one in compared):
        found.append(bayes.STOPPING)
    for metric in dict.fromkeys(one.metric for one in compared):
        zeros = next(
            (one.effect.absolute.details.get("zero_denominators") for one in compared if one.metric == metric), None
        )
        if zeros:
            found.append(
                f"{metric}: {zeros:,.0f} units have a denominator of 0 and count through their arm's totals alone"
            )
    return list(dict.fromkeys(found))
