"""Many run folders as one tidy table: a row a run, or a row a user and run. Only runs of one protocol are mixed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ncf.core.balance import resolve_alpha
from ncf.errors import DataError
from ncf.runs.artifacts import RESULT, read_result
from ncf.runs.components import PROTOCOL
from ncf.runs.identity import identity, role_of
from ncf.runs.ranks_file import metrics_of, read_ranks

NAMES = ["run", "model", "loss", "gamma", "alpha", "neg_ratio", "seed"]
"""The columns that say which run a row is of: folder, names, the loss's weights (NaN where it has none), K, seed."""


def finished_runs(folders: Iterable[Path]) -> list[Path]:
    """The finished runs among `folders` and right below them, in order.

    Raises:
        DataError: there is none in one of the folders.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = [folder] if (folder / RESULT).exists() else sorted(p.parent for p in folder.glob(f"*/{RESULT}"))
        if not below:
            raise DataError(f"{folder}: expected a finished run, or a sweep with one, found no {RESULT}")
        found |= dict.fromkeys(below)
    return list(found)


def read_runs(folders: Iterable[Path]) -> pd.DataFrame:
    """A row a finished run, found as `finished_runs` finds them.

    Columns: `NAMES` and what else the losses set; `valid/<metric>` and `test/<metric>`; `valid/tied`, `test/tied`
    (positives that share their score); best_epoch, epochs, train_seconds, valid_seconds, device, config_hash,
    data_digest, registration (SHA-256, None without one), commit, ncf (version); and every other setting that differs
    between the runs, by its dotted key. `alpha` is a number, also where the run says balanced.

    Raises:
        DataError: a result is damaged or of another format, or the runs do not share data, split and protocol.
    """
    results = {folder: _result(folder) for folder in finished_runs(folders)}
    rows = [_row(folder, result) for folder, result in results.items()]
    _refuse_mixed(results)
    settings = [_further(result["config"]) for result in results.values()]
    varying = [key for key in dict.fromkeys(k for s in settings for k in s) if _differs(s.get(key) for s in settings)]
    table = pd.DataFrame(
        [{**row, **{key: own.get(key) for key in varying}} for row, own in zip(rows, settings, strict=True)]
    )
    return table[[*NAMES, *(column for column in table.columns if column not in NAMES)]]


def read_users(folders: Iterable[Path], part: Literal["valid", "test"] = "test") -> pd.DataFrame:
    """A row a finished run and evaluated user: `NAMES`, user_id, item_id, rank, candidates, tied, and each metric.

    Raises:
        DataError: as `read_runs`; or a `ranks.csv` is missing, damaged, or does not give the metrics of its result.
    """
    runs = finished_runs(folders)
    names = read_runs(runs)
    tables = [read_ranks(folder, part) for folder in runs]
    metrics = [metrics_of(folder, table, _result(folder), part) for folder, table in zip(runs, tables, strict=True)]
    which = np.repeat(np.arange(len(runs)), [len(table) for table in tables])
    users = pd.concat(tables, ignore_index=True)
    for column in ("user_id", "item_id"):
        users[column] = _ids(users[column])
    columns = [names[NAMES].iloc[which].reset_index(drop=True), users, pd.concat(metrics, ignore_index=True)]
    return pd.concat(columns, axis=1)


def _result(folder: Path) -> dict[str, Any]:
    result = read_result(folder)
    if result is None:
        raise DataError(f"{folder}: expected a finished run, found no {RESULT}")
    return result


def _row(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    try:
        config, registration = result["config"], result["registration"]
        loss = {key: value for key, value in config["loss"].items() if key != "name"}
        if "alpha" in loss:
            loss["alpha"] = resolve_alpha(loss["alpha"], config["neg_ratio"])
        return {
            "run": folder.name,
            "model": config["model"]["name"],
            "loss": config["loss"]["name"],
            "gamma": np.nan,
            "alpha": np.nan,
            **loss,
            **{key: config[key] for key in ("neg_ratio", "seed")},
            **{f"{part}/{name}": value for part in ("valid", "test") for name, value in result[part].items()},
            **{f"{part}/tied": count for part, count in result["tied_positives"].items()},
            **{key: result[key] for key in ("best_epoch", "epochs")},
            **result["timings"],
            **{key: result[key] for key in ("device", "config_hash", "data_digest")},
            "registration": registration and registration["sha256"],
            "commit": result["commit"],
            "ncf": result["versions"]["ncf"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / RESULT}: damaged, expected every key of a result ({error!r})") from None


def _protocol(result: Mapping[str, Any]) -> dict[str, Any]:
    settings = result["config"]
    kept = {
        key: value
        for key, value in identity(settings).items()  # runs made before a setting existed count as having its default
        if key.split(".")[0] in PROTOCOL and not role_of(key, settings).free_to_differ
    }
    return {"data_digest": result["data_digest"], **kept}


def _refuse_mixed(results: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raises DataError naming what the runs do not share, and two of them that differ."""
    protocols = {folder: _protocol(result) for folder, result in results.items()}
    first, shared = next(iter(protocols.items()))
    for folder, protocol in protocols.items():
        differing = [key for key in shared.keys() | protocol.keys() if shared.get(key) != protocol.get(key)]
        if differing:
            what = "; ".join(f"{key}: {shared.get(key)!r} and {protocol.get(key)!r}" for key in sorted(differing))
            raise DataError(f"cannot compare runs of different protocols: {first.name} and {folder.name} have {what}")


def _further(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that no column of every table shows and no protocol fixes."""
    shown = ("model.name", "neg_ratio", "seed")
    groups = (*PROTOCOL, "loss", "data")
    return {k: v for k, v in identity(config).items() if k not in shown and k.split(".")[0] not in groups}


def _differs(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values}) > 1


def _ids(column: pd.Series) -> pd.Series:
    """Ids as int64 if every one is the plain decimal of a number, else as they are."""
    ids = column.astype("category")
    names = ids.cat.categories
    if not all(name.isdecimal() and str(int(name)) == name for name in names):
        return column
    return ids.cat.rename_categories([int(name) for name in names]).astype("int64")
