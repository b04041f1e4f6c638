"""An analysis of an experiment as lines for a terminal."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ncf.core.formats import as_table
from ncf.online.health import p_text
from ncf.online.result import ABTest, Compared
from ncf.online.sample_size import Design


def summary(found: ABTest) -> str:
    """Return health, effects, posteriors, looks, segments and warnings, each as a table where there is something."""
    parts = [_table("health", [{"check": c.name, "state": c.state, "finding": c.says} for c in found.checks])]
    parts.append(_table(_effects_title(found), [_effect(one) for one in found.compared]))
    parts.append(_table("posterior (uniform prior)", [_posterior(one) for one in found.compared if one.posterior]))
    parts += [_looks(one) for one in found.compared if one.looks]
    parts.append(_table("segments (exploratory, Holm over the values of a column)", [
        {"metric": one.metric, "arm": one.arm, "segment": f"{s.column} = {s.value}", "n": f"{s.n:,}",
         "effect": _interval(s.effect, s.low, s.high), "p corrected": p_text(s.p_adjusted),
         "p all the same": p_text(s.p_differs)}
        for one in found.compared for s in one.segments
    ]))  # fmt: skip
    notes = "".join(f"warning: {warning}\n" for warning in found.warnings)
    if found.plan is not None:
        notes += f"plan: SHA-256 {found.plan.sha256}\n"
    return "\n".join(part for part in (*parts, notes) if part)


def designed(design: Design, past: Mapping[str, float] = MappingProxyType({})) -> str:
    """Return a design as lines, after what it took from past data."""
    rows = {
        **{f"{name} in the data": f"{value:.6g}" for name, value in past.items()},
        "units in each arm": f"{design.n_per_arm:,}",
        f"units in {design.arms} arms": f"{design.n:,}",
        "days": "" if design.days is None else f"{design.days:,}",
        "effect to detect": f"{design.effect:.6g}",
        "as a share of the baseline": "" if design.relative is None else f"{design.relative:.3%}",
        "power": f"{design.power:g}",
        "alpha of each comparison": f"{design.alpha:g}",
        **{f"units multiplied by, for {name}": f"{factor:.4g}" for name, factor in design.factors.items()},
    }
    return as_table([{"design": key, "": value} for key, value in rows.items() if value], ["design", ""])


def _effects_title(found: ABTest) -> str:
    chosen = found.settings
    level = f"{chosen.level:.4g}"
    family = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg", "none": "none"}[chosen.correction]
    region = "no region of equivalence"
    if chosen.margin is not None:
        region = f"equivalent within ±{chosen.margin:g} of the control's mean"
    if chosen.region is not None:
        region = f"equivalent from {chosen.region[0]:g} to {chosen.region[1]:g}"
    count = sum(one.looks is None for one in found.compared)
    corrected = f"correction {family} over {count}" if count > 1 and family != "none" else "not corrected"
    return f"effects against {found.control} (level {level}; {corrected}; {region})"


def _effect(one: Compared) -> dict[str, Any]:
    e, relative = one.effect, one.effect.relative
    return {
        "metric": one.metric, "arm": one.arm, "control": f"{e.control:.5g}", "treatment": f"{e.treatment:.5g}",
        "effect": _interval(e.absolute.value, *one.ends),
        "relative": _relative(one) if relative else "",
        "p": p_text(one.shown_p), "p corrected": p_text(one.shown_p_adjusted), "p equivalent": p_text(one.p_equivalent),
        "finding": one.finding, "method": e.absolute.method,
    }  # fmt: skip


def _posterior(one: Compared) -> dict[str, Any]:
    p = one.posterior
    assert p is not None
    return {
        "metric": one.metric, "arm": one.arm, "P(better)": f"{p.probability:.4f}",
        "difference": _interval(p.difference, *p.interval_difference), "loss if chosen": f"{p.loss:.3g}",
        "loss if not": f"{p.loss_control:.3g}",
    }  # fmt: skip


def _looks(one: Compared) -> str:
    looks = one.looks
    assert looks is not None
    seen = dict(zip(looks.taken, looks.z, strict=True))
    rows = [
        {"look": str(i + 1), "after": f"{at:,}", "bound of |z|": "none" if bound is None else f"{bound:.4f}",
         "z": "" if seen.get(at) is None else f"{seen[at]:+.4f}"}
        for i, (at, bound) in enumerate(zip(looks.planned, looks.bounds, strict=True))
    ]  # fmt: skip
    outcome = looks.outcome
    says = "ended without crossing" if looks.ended else "go on"
    if outcome.stopped:
        says = f"a bound was crossed at look {outcome.look}: stop"
    return _table(f"looks at {one.metric}, {one.arm}: {says}", rows)


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:+.4g} [{low:+.4g}, {high:+.4g}]"


def _relative(one: Compared) -> str:
    """Write the relative effect, with its interval unless looks were planned, whose bounds it does not know."""
    relative = one.effect.relative
    assert relative is not None
    return f"{relative.value:+.2%}" + ("" if one.looks else f" [{relative.low:+.2%}, {relative.high:+.2%}]")


def _table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    return f"{title}\n{as_table(rows, list(rows[0]))}" if rows else ""
