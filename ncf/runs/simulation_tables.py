"""Read many simulations into one tidy table, a row for each run and period."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.core.config import flatten
from ncf.core.outside import MEGABYTE, read_text
from ncf.errors import DataError
from ncf.runs.artifacts import PERIODS, RESULT, SIMULATION, read_result
from ncf.runs.tables import finished_runs
from ncf.simulation import COLUMNS

_LARGEST = 64 * MEGABYTE


def is_simulation_sweep(folders: Iterable[Path]) -> bool:
    """Return whether the finished runs among `folders` and directly below them are simulations, by the first of them.

    Raises DataError if there is none, or its result is damaged.
    """
    result = read_result(finished_runs(folders)[0])
    return result is not None and result.get("kind") == SIMULATION


def read_simulations(folders: Iterable[Path]) -> pd.DataFrame:
    """Return a row for each finished simulation among `folders` and directly below them, and each of its periods.

    Columns: run (its folder), agent, environment, seed, config_hash, commit, and those of periods.csv. Agents, and
    environments, that differ in settings are told apart by a name that says what differs: "als (first=normal)".

    Raises:
        DataError: a result is damaged or none of a simulation, or a periods.csv is missing, damaged, or contradicts it.
    """
    results = {folder: _result(folder) for folder in finished_runs(folders)}
    names = {
        group: _names([result["config"][group] for result in results.values()]) for group in ("agent", "environment")
    }
    tables = []
    for place, (folder, result) in enumerate(results.items()):
        about = {"run": folder.name, **{group: names[group][place] for group in names}, "seed": result["seed"]}
        about |= {"config_hash": result["config_hash"], "commit": result.get("commit")}
        tables.append(read_periods(folder, result["periods"]).assign(**about))
    table = pd.concat(tables, ignore_index=True)
    return table[["run", "agent", "environment", "seed", "config_hash", "commit", *COLUMNS]]


def read_periods(folder: Path, periods: int) -> pd.DataFrame:
    """Return the `periods.csv` of a simulation. Raises DataError unless it has every period, with finite regrets."""
    path = folder / PERIODS
    try:
        table = pd.read_csv(StringIO(read_text(path, DataError, _LARGEST)), dtype=np.float64)
    except FileNotFoundError:
        raise DataError(f"{path}: expected the periods of a simulation, found no such file") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    if list(table) != list(COLUMNS):
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(map(str, table))[:200]}")
    if not np.array_equal(table["period"], np.arange(periods)):
        raise DataError(f"{path}: expected the periods 0 to {periods - 1} of {RESULT}, found {len(table)} rows")
    if not np.isfinite(table[["regret", "best_item_regret"]]).all(axis=None):
        raise DataError(f"{path}: expected finite regrets, found NaN or inf")
    return table.astype({"period": np.int64, "distinct_items": np.int64})


def _result(folder: Path) -> dict:
    result = read_result(folder)
    if result is None or result.get("kind") != SIMULATION:
        raise DataError(f"{folder}: expected a finished simulation, found a run of ncf.train")
    for group in ("agent", "environment"):
        if not isinstance(result["config"].get(group), dict) or "name" not in result["config"][group]:
            raise DataError(f"{folder / RESULT}: damaged: its config has no {group}")
    return result


def _names(settings: list[dict]) -> list[str]:
    """Name each of the `settings` by its component, and by the settings in which those of one name differ."""
    flat = [flatten(own) for own in settings]
    names = []
    for own in flat:
        alike = [other for other in flat if other["name"] == own["name"]]
        differing = [key for key in own if len({repr(other.get(key)) for other in alike}) > 1]
        names.append(own["name"] + (f" ({', '.join(f'{key}={own[key]}' for key in differing)})" if differing else ""))
    return names
