"""`python -m ncf.effect data=x.csv treatment=t outcome=y confounders=a,b`: estimate what nobody randomised."""

import argparse
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ncf.causal import Effect, Rule, effect
from ncf.causal.learners import OUTCOME, TREATMENT
from ncf.causal.matching import SCALES
from ncf.causal.nearest import TIES
from ncf.causal.settings import ESTIMATORS, FORMS, OVERLAP
from ncf.causal.weighting import ESTIMANDS
from ncf.core import command_line
from ncf.core.command_line import visible
from ncf.core.formats import add_format, as_table, html_file, records, written
from ncf.errors import ConfigError

_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.effect", __doc__)
    add = options.add_argument
    add("--data", required=True, help="a CSV, TSV or Parquet file with a row for each unit")
    add("--treatment", required=True, help="column of 0 and 1")
    add("--outcome", required=True, help="column of numbers")
    add("--confounders", default="", help="columns of numbers that may have moved both: a,b,c or [a,b,c]")
    add("--categories", default="", help="further confounders whose values are names")
    add("--cluster", help="column of clusters of units that are not independent; at least as many as folds")
    add("--unit", help="column of ids, which must not repeat")
    add("--scores", help="column of propensity scores that are known; otherwise they are estimated")
    add("--estimator", default="aipw", help=f"some of {', '.join(ESTIMATORS)}, or all (aipw)")
    add("--estimand", default="ATE", choices=ESTIMANDS, help="effect on all, treated, untreated, or overlap (ATE)")
    add("--score_model", default="logistic", choices=tuple(TREATMENT), help="learner of the scores (logistic)")
    add(
        "--outcome_model",
        default="linear",
        choices=tuple(OUTCOME),
        help="learner of outcomes, of dml and aipw (linear)",
    )
    add("--folds", type=int, default=5, help="of dml and aipw; 1: aipw is fitted to all units at once (5)")
    add(
        "--repeats",
        type=int,
        help="divisions into folds whose predictions are averaged (10 below 20,000 units, else 1); forests and "
        "boosting take minutes with 10: repeats=1 for a first look",
    )
    add("--form", choices=FORMS, help="of dml (partially_linear for ATE and ATO, else interactive)")
    add("--clip", type=float, default=0.0, help="move cross-fitted scores of dml and aipw into [clip, 1 - clip] (0)")
    add("--trim", help="keep units with scores within these bounds: 0.1,0.9; or best")
    add("--refit", type=_flag, default=True, help="estimate the scores again on the units kept (yes)")
    add("--normalised", type=_flag, default=True, help="of ipw: Hajek; no: Horvitz-Thompson (yes)")
    _add_matching(options)
    add("--level", type=float, default=0.95, help="of intervals (0.95)")
    add("--overlap", default="refuse", choices=OVERLAP, help="where arms do not overlap (refuse)")
    add("--seed", type=int, default=0, help="of the folds, and of forests and boosting (0)")
    add("--page", type=html_file, help="an HTML file to write, with figures")
    add_format(options)
    return options


def _add_matching(options: command_line.Parser) -> None:
    """Add the rule by which `match` finds units that stand in for others."""
    add = options.add_argument
    add("--neighbours", type=int, default=1, help="of match: units that stand in for one (1)")
    add("--replace", type=_flag, default=True, help="of match: one unit may stand in for several (yes)")
    add("--caliper", help="of match: largest distance, as 0.1, or as 0.2sd of the logit or score (none)")
    add("--scale", default="logit", choices=SCALES, help="of match: distances on this scale (logit)")
    add("--ties", default="average", choices=TIES, help="of match: who of those equally near stands in (average)")


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.page:
        from ncf.report import effect_page  # here: without a page, no matplotlib is needed
    found = effect(
        options.data, options.treatment, options.outcome, names(options.confounders),
        categories=names(options.categories), cluster=options.cluster, unit=options.unit, score=options.scores,
        estimator="all" if options.estimator == "all" else names(options.estimator), **_settings(options),
    )  # fmt: skip
    if options.page:
        effect_page.write(found, options.page, options.outcome)
    noted = found.table.assign(warnings="; ".join(found.warnings))
    print(written(options.format, lambda: shown(found), lambda: described(found), lambda: noted), end="")


def names(text: str) -> list[str]:
    """Return the names in "a,b" or "[a, b]"; empty without any."""
    inner = text.strip().removeprefix("[").removesuffix("]")
    return [name.strip() for name in inner.split(",") if name.strip()]


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    caliper, relative = _caliper(options.caliper)
    keys = ("estimand", "score_model", "outcome_model", "folds", "repeats", "form", "clip", "refit", "normalised",
            "level", "overlap", "seed")  # fmt: skip
    return {key: getattr(options, key) for key in keys} | {
        "trim": _trim(options.trim),
        "rule": Rule(options.neighbours, options.replace, caliper, relative, options.scale, options.ties),
    }


def _flag(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise argparse.ArgumentTypeError(f"expected yes or no, got {text!r}")
    return text.lower() in _YES


def _caliper(text: str | None) -> tuple[float | None, bool]:
    if text is None or text == "none":
        return None, False
    try:
        return float(text.removesuffix("sd")), text.endswith("sd")
    except ValueError:
        raise ConfigError(
            f"caliper: expected a number, or one of standard deviations as in 0.2sd, got {text!r}"
        ) from None


def _trim(text: str | None) -> tuple[float, float] | str | None:
    if text is None or text in ("best", "none"):
        return None if text == "none" else text
    try:
        low, high = map(float, names(text))
    except ValueError:
        raise ConfigError(f"trim: expected two bounds, as in 0.1,0.9, or best, got {text!r}") from None
    return low, high


def shown(found: Effect) -> str:
    """Return overlap, balance, estimates and their sensitivity, as text."""
    sections = [
        _section("overlap", pd.DataFrame([_readable_overlap(found)])),
        _section("balance: standardised mean difference", _balance(found, "smd"), ".3f"),
        _section("balance: ratio of variances", _balance(found, "ratio"), ".3f"),
        _section("effect", _effects(found)),
        _section("sensitivity", found.sensitivity),
    ]
    return "\n".join(sections) + "".join(f"warning: {visible(note)}\n" for note in found.warnings)


def _readable_overlap(found: Effect) -> dict[str, Any]:
    o = found.overlap
    return {
        "treated": int(o["treated"]), "untreated": int(o["untreated"]),
        "scores of treated": f"{o['score_low_treated']:.4f} to {o['score_high_treated']:.4f}",
        "of untreated": f"{o['score_low_untreated']:.4f} to {o['score_high_untreated']:.4f}",
        "off common support": f"{o['share_off_support']:.1%}",
        "kept": f"{o['kept_treated']:.0f} + {o['kept_untreated']:.0f}",
    }  # fmt: skip


def _balance(found: Effect, what: str) -> pd.DataFrame:
    """Return a row for each confounder: smd or ratio before adjustment, and after that of each estimator."""
    table = found.balance.pivot(index="confounder", columns="estimator", values=f"{what}_after")
    first = found.balance.drop_duplicates("confounder").set_index("confounder")
    shown = pd.DataFrame({"confounder": list(found.everyone.names), "before": first[f"{what}_before"].to_numpy()})
    for result in found.results:
        shown[result.name] = table.loc[shown["confounder"], result.name].to_numpy()
    return shown


def _effects(found: Effect) -> pd.DataFrame:
    table = found.table
    columns = ["estimator", "method", "estimand", "value", "standard_error", "low", "high", "p", "n",
               "effective_treated", "effective_untreated"]  # fmt: skip
    extra = [c for c in ("matched", "unmatched", "tied_share", "ties_first", "ties_last") if c in table]
    return table[[*columns, *extra]].rename(columns={"standard_error": "error"})


def _section(title: str, frame: pd.DataFrame, written: str = ".5g") -> str:
    rows = [{key: _cell(value, written) for key, value in row.items()} for row in records(frame)]
    return f"{title}\n{as_table(rows, [c.replace('_', ' ') for c in frame.columns])}"


def _cell(value: Any, written: str) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else format(value + 0.0, written) if abs(value) < 1e5 else f"{value:,.0f}"
    return value


def described(found: Effect) -> dict[str, Any]:
    """Return everything that is found as values that JSON knows."""
    rosenbaum = found.rosenbaum()
    return {
        "overlap": found.overlap,
        "balance": records(found.balance),
        "estimates": records(found.table.drop(columns="warnings")),
        "sensitivity": records(found.sensitivity),
        "rosenbaum": None if rosenbaum is None else records(rosenbaum),
        "warnings": list(found.warnings),
    }  # fmt: skip


if __name__ == "__main__":
    command_line.run(main)
