"""`python -m ncf.rollout data=panel.csv unit=u time=t treated=d outcome=y`: estimate what a staged rollout did."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ncf.causal.group_time import CONTROLS
from ncf.causal.rollout import ESTIMATORS, Rollout, rollout
from ncf.core import command_line
from ncf.core.command_line import visible
from ncf.core.formats import add_format, as_table, html_file, records, written


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.rollout", __doc__)
    add = options.add_argument
    add("--data", required=True, help="a CSV, TSV or Parquet file with a row for each unit and period")
    add("--unit", required=True, help="column with the unit, which errors are clustered by")
    add("--time", required=True, help="column with the period")
    add("--treated", required=True, help="column of 0 and 1")
    add("--outcome", required=True, help="column of numbers")
    add("--weights", help="column of weights of rows; group_time and the decomposition need rows that count alike")
    add("--estimators", default=",".join(ESTIMATORS), help=f"some of {', '.join(ESTIMATORS)} (all)")
    add("--control", default="never", choices=CONTROLS, help="whom group_time holds cohorts against (never)")
    add("--draws", type=int, default=999, help="for simultaneous bands; randomisation takes 10 times as many (999)")
    add("--level", type=float, default=0.95, help="of intervals and bands (0.95)")
    add("--seed", type=int, default=0, help="of the draws (0)")
    add("--page", type=html_file, help="an HTML file to write, with figures")
    add_format(options)
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.page:
        from ncf.report import rollout_page  # here: without a page, no matplotlib is needed
    chosen = [name.strip() for name in options.estimators.strip("[]").split(",") if name.strip()]
    found = rollout(
        options.data, options.unit, options.time, options.treated, options.outcome, weights=options.weights,
        estimators=chosen, control=options.control, draws=options.draws, level=options.level, seed=options.seed,
    )  # fmt: skip
    if options.page:
        rollout_page.write(found, options.page, options.outcome)
    noted = found.table.assign(warnings="; ".join(found.warnings))
    print(written(options.format, lambda: shown(found), lambda: described(found), lambda: noted), end="")


def shown(found: Rollout) -> str:
    """Return sizes, estimates, placebos, event studies and the decomposition, as text."""
    effects = found.table[["estimator", "estimand", "value", "standard_error", "low", "high", "p", "n"]]
    sections = [
        ("panel", pd.DataFrame([found.overview])),
        ("effect", effects.rename(columns={"standard_error": "error"})),
        ("placebo: the same groups, before their treatment", _placebos(found)),
        ("what two-way fixed effects compare", found.comparisons),
        ("effect by periods since treatment", _events(found)),
        ("randomisation", _randomisation(found)),
    ]
    text = "\n".join(_section(title, frame) for title, frame in sections if len(frame))
    return text + "".join(f"warning: {visible(note)}\n" for note in found.warnings)


def _placebos(found: Rollout) -> pd.DataFrame:
    return pd.DataFrame([
        {"periods ahead": ahead, "value": e.value, "error": e.standard_error, "p": e.p()}
        for ahead, e in found.placebos.items()
    ])  # fmt: skip


def _events(found: Rollout) -> pd.DataFrame:
    frame = found.events
    return frame.rename(columns={"standard_error": "error", "band_low": "band low", "band_high": "band high"})


def _randomisation(found: Rollout) -> pd.DataFrame:
    if (dealt := found.randomisation) is None:
        return pd.DataFrame()
    which = "all" if dealt.exact else "drawn"
    return pd.DataFrame([{"effect": dealt.observed, "p": dealt.p, "arrangements": f"{dealt.arrangements:,} ({which})"}])


def _section(title: str, frame: pd.DataFrame) -> str:
    rows = [{key: _cell(value) for key, value in row.items()} for row in records(frame)]
    return f"{title}\n{as_table(rows, [c.replace('_', ' ') for c in frame.columns])}"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return format(value + 0.0, ".5g") if abs(value) < 1e5 else f"{value:,.0f}"
    return value


def described(found: Rollout) -> dict[str, Any]:
    """Return everything that is found as values that JSON knows."""
    groups, parts, dealt = found.groups, found.decomposition, found.randomisation
    names = [str(name) for name in found.panel.periods.tolist()]
    return {
        "panel": found.overview | {"balanced": found.panel.balanced},
        "estimates": records(found.table.drop(columns="warnings")),
        "placebos": [{"ahead": ahead, "value": e.value, "standard_error": e.standard_error, "p": e.p()}
                     for ahead, e in found.placebos.items()],
        "events": records(found.events),
        "group_time": None if groups is None else [
            {"cohort": names[g], "period": names[t], "value": float(v)}
            for g, t, v in zip(groups.cohort, groups.period, groups.values, strict=True)
        ],
        "decomposition": None if parts is None else {
            "shares": records(found.comparisons),
            "comparisons": [
                {"treated": str(a), "control": None if c is None else str(c), "estimate": float(e), "weight": float(w)}
                for a, c, e, w in zip(parts.treated, parts.control, parts.estimates, parts.weights, strict=True)
            ],
        },
        "randomisation": None if dealt is None else {
            "effect": dealt.observed, "p": dealt.p, "arrangements": dealt.arrangements, "exact": dealt.exact},
        "warnings": list(found.warnings),
    }  # fmt: skip


if __name__ == "__main__":
    command_line.run(main)
