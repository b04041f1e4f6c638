"""`python -m ncf.abtest data=x.csv unit=user arm=arm metric=clicks`: analyse or design an online experiment."""

import dataclasses
import hashlib
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from ncf.core import command_line
from ncf.core.files import write_text
from ncf.core.formats import add_format, as_csv, as_json
from ncf.errors import ConfigError
from ncf.online import sample_size
from ncf.online.experiment import abtest
from ncf.online.pilot import pilot
from ncf.online.plan import Settings, load_plan, settings
from ncf.online.summary import designed, summary

_LISTS = ("metric", "covariate", "segments", "experiments", "lower", "looks")
_ANALYSIS = (
    ("unit", "column of the unit that was randomised"),
    ("arm", "column of the arm that it was given"),
    (
        "metric",
        "columns to compare, commas between; clicks/sessions is a ratio of totals; the first is the primary one",
    ),
    ("control", "the arm that others are compared with (one with a usual name, else the first by name)"),
    ("shares", "intended shares of the units, as in A:0.5,B:0.5 (equal)"),
    ("covariate", "columns from before the experiment that metrics are adjusted by (CUPED)"),
    ("cluster", "column of the cluster that was randomised as a whole"),
    ("cluster_method", "robust errors of unit means, or means of clusters (robust)"),
    ("strata", "column within whose values arms are compared"),
    ("time", "column of the day of a row: whole numbers, dates or times"),
    ("rows", "how rows of a unit are put together: one, sum, mean or max (sum with time=, else one row is expected)"),
    ("exposure", "column of how much a unit was exposed, such as sessions"),
    ("segments", "columns by whose values effects are shown too"),
    ("experiments", "columns with the arms of other experiments on these units"),
    ("lower", "metrics of which less is better"),
    ("alpha", "two-sided level (0.05)"),
    ("margin", "half-width of the region of equivalence, as a share of the control's mean; or"),
    ("region", "its two ends in the unit of the metric, as in -0.1,0.1"),
    ("correction", "holm, benjamini_hochberg or none, over metrics and treatments (holm)"),
    ("signed", "true allows negative whole numbers"),
    ("looks", "days, or units, after which the data are looked at, as in 7,14,21; of a design, one number is how many"),
    ("bounds", "of the looks: obrien_fleming, pocock, obrien_fleming_spending, pocock_spending (obrien_fleming)"),
)
_DESIGN = (
    ("baseline", float, "the control's rate, or its mean where sd= is given"),
    ("sd", float, "standard deviation of the metric over units; none for a rate"),
    ("effect", float, "absolute effect to detect; or"),
    ("relative", float, "as a share of the baseline"),
    ("n", int, "units in all arms together, to see what they detect"),
    ("arms", int, "number of arms, the control among them (2)"),
    ("power", float, "of each comparison (0.8)"),
    ("per_day", float, "new units a day over all arms, for the days"),
    ("icc", float, "intra-cluster correlation, where clusters are randomised"),
    ("cluster_size", float, "units a cluster"),
    ("correlation", float, "of a covariate from before with the metric (CUPED)"),
)


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.abtest", __doc__)
    options.add_argument("--data", help="CSV, TSV (also .gz) or Parquet: a row a unit, or a unit and day")
    for name, says in _ANALYSIS:
        options.add_argument(f"--{name}", help=says.replace("%", "%%"))
    options.add_argument("--plan", type=Path, help="YAML file with the above, written before the experiment")
    options.add_argument("--save_plan", type=Path, help="write the above as a plan to this file, and analyse nothing")
    options.add_argument("--question", default="", help="of the plan to save: what the experiment is to answer")
    options.add_argument(
        "--look", help="number of this look, without time=; with a spending function, days of the looks"
    )
    options.add_argument("--health", choices=("true", "false"), default="false", help="true: the health checks alone")
    options.add_argument("--output", type=Path, help="folder for report.html, result.json and estimates.csv")
    options.add_argument("--design", choices=("true", "false"), default="false",
                         help="true: sample size, detectable effect and days; with data=, from past data")  # fmt: skip
    for name, kind, says in _DESIGN:
        options.add_argument(f"--{name}", type=kind, help=f"of a design: {says}")
    add_format(options)
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    given = {name: _value(name, text) for name, _ in _ANALYSIS if (text := getattr(options, name)) is not None}
    sized = {name: value for name, _, _ in _DESIGN if (value := getattr(options, name)) is not None}
    if options.design == "true":
        print(_design(options, given, sized), end="")
        return
    if sized:
        raise ConfigError(f"{next(iter(sized))}: expected it with design=true alone")
    if options.save_plan is not None:
        print(_save_plan(options, settings(**given)))
        return
    if options.data is None:
        raise ConfigError("data: expected a file, got none (--help shows the options)")
    if options.plan is None and (absent := [name for name in ("unit", "arm", "metric") if name not in given]):
        raise ConfigError(f"{absent[0]}: expected a column, got none; plan= reads the settings from a file")
    _analyse(options, given)


def _analyse(options: Namespace, given: dict[str, Any]) -> None:
    if options.output is not None:
        import ncf.report.kit  # noqa: F401  before the work: says what to install for a page
    look = None if options.look is None else _looks(options.look)
    found = abtest(options.data, plan=options.plan, look=look, health=options.health == "true", **given)
    if given.get("looks") and options.plan is None:
        print(
            "warning: looks= beside the data is no plan; save_plan= writes one before the experiment", file=sys.stderr
        )
    if options.format == "json":
        print(as_json(found.to_dict()), end="")
    elif options.format == "csv":
        print(as_csv(found.table() if found.compared else pd.DataFrame(map(dataclasses.asdict, found.checks))), end="")
    else:
        print(summary(found), end="")
    if options.output is not None:
        from ncf.report.abtest import write  # here: only the page needs Matplotlib and Jinja

        print(f"report: {command_line.visible(write(found, options.output))}", file=sys.stderr)


def _value(name: str, text: str) -> Any:
    """Return the value of an option as `Settings` takes it."""
    if name in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if name == "shares":
        pairs = [part.rpartition(":") for part in text.split(",")]
        try:
            return {arm.strip(): float(share) for arm, _, share in pairs if arm.strip() or 1 / 0}
        except (ValueError, ZeroDivisionError):
            raise ConfigError(f"shares: expected arm:share for each arm, as in A:0.5,B:0.5, got {text!r}") from None
    if name == "region":
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            raise ConfigError(f"region: expected two numbers, as in -0.1,0.1, got {text!r}") from None
        return (low, high)
    return text


def _looks(text: str) -> int | list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"look: expected a whole number, or several with commas between, got {text!r}") from None
    return found[0] if len(found) == 1 else found


def _save_plan(options: Namespace, chosen: Settings) -> str:
    path: Path = options.save_plan
    if options.data is not None:
        raise ConfigError("save_plan: expected no data=, as a plan is written before there are any")
    if path.exists():
        raise ConfigError(f"save_plan: {path} exists; a plan is not replaced")
    values = chosen.model_dump(mode="json", exclude_unset=True)
    text = OmegaConf.to_yaml({"question": options.question, **values})
    write_text(path, text)
    load_plan(path)
    return f"{command_line.visible(path)}: SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"


def _design(options: Namespace, given: dict[str, Any], sized: dict[str, Any]) -> str:
    """Return a design as text."""
    if options.plan is not None:
        raise ConfigError("design: expected no plan=, which is written once the design is known")
    bounds = given.get("bounds", "obrien_fleming")
    for name in ("margin", "region"):
        if name in given:
            raise ConfigError(f"{name}: expected none with design=true, which sizes the test of a difference")
    past = {name: value for name, value in _from_past(options, given).items() if name not in sized}
    wanted = {**past, **sized}
    if "baseline" not in wanted:
        raise ConfigError("baseline: expected the control's rate or mean, or data= with unit= and metric=, got none")
    try:
        alpha = float(given.get("alpha", 0.05))
    except ValueError:
        raise ConfigError(f"alpha: expected a number, got {given['alpha']!r}") from None
    found = sample_size.design(alpha=alpha, looks=_planned_looks(given.get("looks", ["1"])), bounds=bounds, **wanted)
    if options.format == "json":
        return as_json(dataclasses.asdict(found))
    if options.format == "csv":
        flat = dataclasses.asdict(found)
        return as_csv(pd.DataFrame([{**{k: v for k, v in flat.items() if k != "factors"}, **flat["factors"]}]))
    return designed(found, past)


def _planned_looks(given: list[str]) -> int | list[float]:
    """Return the number of equally spaced looks where one is given, else the shares of the last at which they are."""
    if not all(look.isdecimal() and int(look) for look in given) or not given:
        raise ConfigError(f"looks: expected their number, as in 5, or days, as in 7,14,21, got {','.join(given)!r}")
    looks = [int(look) for look in given]
    return looks[0] if len(looks) == 1 else [look / looks[-1] for look in looks]


def _from_past(options: Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """Return what past data say of the design; nothing without data."""
    if options.data is None:
        return {}
    metrics, covariates = given.get("metric", []), given.get("covariate", [None])
    if "unit" not in given or len(metrics) != 1 or len(covariates) != 1:
        raise ConfigError("design: expected unit= and one metric=, and at most one covariate=, to read from data=")
    found = pilot(options.data, unit=given["unit"], metric=metrics[0], covariate=covariates[0],
                  cluster=given.get("cluster"))  # fmt: skip
    known = {
        "baseline": found.baseline, "sd": found.sd, "correlation": found.correlation, "icc": found.icc,
        "cluster_size": found.cluster_size,
    }  # fmt: skip
    return {key: value for key, value in known.items() if value is not None}


if __name__ == "__main__":
    command_line.run(main)
