"""The committed tables, and which rows of them the page is about."""

from pathlib import Path

import numpy as np
import pandas as pd

from experiments.which_method.runs import HERE, registered

NAMES = ("results", "models", "peeking", "agreement", "balance", "overlap", "events", "comparisons", "costs")
PAIRS = {
    "same": "A against A", "bce_focal": "BCE → focal", "bce_ease": "NeuMF → EASE",
    "popularity_bce": "popularity → NeuMF",
}  # fmt: skip


def read(folder: Path = HERE) -> dict[str, pd.DataFrame]:
    """The committed tables; one that is not there has no rows."""
    paths = {name: folder / f"{name}.csv" for name in NAMES}
    return {name: pd.read_csv(path) if path.exists() else pd.DataFrame() for name, path in paths.items()}


def right(rows: pd.DataFrame) -> pd.Series:
    """Say of each row whether its method is right there: bias and coverage within the registered errors."""
    most = registered()["errors"]
    exact = (rows["bias"] == 0) & (rows["sd"] == 0)  # A's log against itself
    unbiased = rows["bias"].abs() <= most * rows["bias_error"]
    error = np.sqrt(0.95 * 0.05 / rows["replications"])
    return exact | unbiased & ((rows["coverage"] - 0.95).abs() <= most * error)


def main_cells(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the cells in which all designs were asked at the registered size."""
    whole = results[results["design"] == "ab"][["pair", "users", "confounding", "replications"]]
    usual = whole[whole["replications"] == whole["replications"].max()].drop_duplicates()
    return results.merge(usual, on=["pair", "users", "confounding", "replications"])


def grid(results: pd.DataFrame) -> pd.DataFrame:
    """Return what double ML says with enthusiasm unseen, by pair and confounding, at the registered size."""
    if "mean_evalue" not in results:
        return results.iloc[:0]
    own = results[(results["method"] == "opt-in, double ML, unseen") & (results["users"] == registered()["users"])]
    return own.sort_values(["pair", "confounding"])
