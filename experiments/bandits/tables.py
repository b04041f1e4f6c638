"""From the finished runs to the tables that the page is made from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.bandits.runs import HERE, ROOT, RUNS, registered, seeds
from ncf.report.simulation import compared, curves, measured
from ncf.runs.simulation_tables import read_simulations

RESULTS, CURVES, COMPARISONS = (HERE / f"{name}.csv" for name in ("results", "curves", "comparisons"))


def write() -> None:
    """Write results.csv, a row a run and measure; curves.csv, a row an agent and period; and comparisons.csv."""
    table = read_simulations([ROOT / RUNS])
    table = table[table["seed"].isin(seeds())]
    results = measured(table, ["period 50", "first 50", "first 200"])
    _write(results, RESULTS)
    _write(curves(table), CURVES)
    _write(comparisons(results), COMPARISONS)


def comparisons(results: pd.DataFrame) -> pd.DataFrame:
    """A row a claim, environment, opponent and measure; corrected within claim and environment.

    Until all registered seeds are there, a comparison is incomplete, whatever it says so far.
    """
    plan, rows = registered(), []
    for name, claim in plan["claims"].items():
        for environment in plan["environments"]:
            own = results[results["environment"] == environment]
            pairs = [
                (claim["treatment"], against, measure) for against in claim["against"] for measure in claim["measures"]
            ]
            rng = np.random.default_rng(plan["bootstrap_seed"])
            found = compared(
                own, pairs, margin=plan["smallest_effect"], alpha=plan["alpha"], level=plan["interval_level"],
                resamples=plan["resamples"], rng=rng,
            )  # fmt: skip
            whole = [one if one.seeds == plan["seeds"] else replace(one, finding="incomplete") for one in found]
            rows += [{"claim": name, "environment": environment, **vars(one)} for one in whole]
    return pd.DataFrame(rows).drop(columns="obstacle")


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
