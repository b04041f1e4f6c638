"""Many run folders as one tidy table: a row a run, or a row a user and run. Only runs of one protocol are mixed."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from ncf.config import component
from ncf.errors import DataError
from ncf.evaluation import EVALUATIONS, Ranks
from ncf.losses import resolve_alpha
from ncf.results import RANKS, RESULT, identity, read_result

NAMES = ["run", "model", "loss", "gamma", "alpha", "neg_ratio", "seed"]
"""The columns that say which run a row is of: folder, names, the loss's weights (NaN where it has none), K, seed."""

_PROTOCOL = ("split", "evaluation", "trainer")  # groups of settings that runs of one table share
_FREE = ("evaluation.memory_mb", "trainer.threads")  # but for these
_RANKS_HEADER = ["split", "user_id", "item_id", "rank", "candidates", "tied"]


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
    tables = [_ranks(folder, part) for folder in runs]
    users = pd.concat(tables, ignore_index=True)
    which = np.repeat(np.arange(len(runs)), [len(table) for table in tables])
    users = pd.concat([names[NAMES].iloc[which].reset_index(drop=True), users], axis=1)
    for column in ("user_id", "item_id"):
        users[column] = _ids(users[column])
    metrics = _metrics(users, _result(runs[0])["config"]["evaluation"])
    _refuse_other_means(runs, metrics.groupby(which).mean(), names, part)
    return pd.concat([users, metrics], axis=1)


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
    settings = identity(result["config"])  # so that runs of versions before a setting count as having its default
    kept = {key: value for key, value in settings.items() if key.split(".")[0] in _PROTOCOL and key not in _FREE}
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
    groups = (*_PROTOCOL, "loss", "data")
    return {k: v for k, v in identity(config).items() if k not in shown and k.split(".")[0] not in groups}


def _differs(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values}) > 1


def _ranks(folder: Path, part: str) -> pd.DataFrame:
    path = folder / RANKS
    types = {"user_id": str, "item_id": str, "rank": float, "candidates": int, "tied": int}
    try:
        with path.open() as file:
            if next(csv.reader(file), None) != _RANKS_HEADER:
                raise ValueError(f"expected the header {','.join(_RANKS_HEADER)}")
            table = pd.read_csv(file, names=_RANKS_HEADER, dtype={"split": str, **types}, na_filter=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the ranks of a finished run ({error})") from None
    return table[table["split"] == part].drop(columns="split")


def _ids(column: pd.Series) -> pd.Series:
    """Ids as int64 if every one is the plain decimal of a number, else as they are."""
    ids = column.astype("category")
    names = ids.cat.categories
    if not all(name.isdecimal() and str(int(name)) == name for name in names):
        return column
    return ids.cat.rename_categories([int(name) for name in names]).astype("int64")


def _metrics(users: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Each row's metrics, computed as the evaluation computed them."""
    rank, candidates, tied = (torch.tensor(users[c].to_numpy()) for c in ("rank", "candidates", "tied"))
    above = (rank - (tied + 1) / 2).long()
    nobody = torch.zeros(len(users), dtype=torch.int64)
    values = component("evaluation", EVALUATIONS, evaluation)().per_positive(
        Ranks(nobody, nobody, above, tied, candidates)
    )
    return pd.DataFrame({name: value.numpy() for name, value in values.items()})


def _refuse_other_means(runs: list[Path], means: pd.DataFrame, table: pd.DataFrame, part: str) -> None:
    expected = table[[f"{part}/{name}" for name in means.columns]].to_numpy()
    found = means.reindex(range(len(runs))).to_numpy()
    bad = np.flatnonzero(~np.isclose(found, expected, rtol=0, atol=1e-9).all(axis=1))
    if len(bad):
        raise DataError(f"{runs[bad[0]] / RANKS}: its {part} ranks do not give the metrics in {RESULT}")
