"""Read many run folders into one tidy table, a row per run or per run and user; all must share one protocol."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core.balance import resolve_alpha
from ncf.core.config import flatten
from ncf.errors import DataError
from ncf.runs.artifacts import RESULT, SERVICE, SIMULATION, read_result
from ncf.runs.components import PROTOCOL
from ncf.runs.identity import completed, identity, role_of
from ncf.runs.ranks_file import metrics_of, read_ranks

NAMES = ["run", "model", "loss", "gamma", "alpha", "neg_ratio", "seed"]
"""The columns that identify a row's run: folder, model and loss, the loss's weights (NaN if it has none), K, seed."""


FOLD = "split.fold"
"""The column of the fold, where runs are folds of one division of the data: to be averaged, no replications."""


def finished_runs(folders: Iterable[Path]) -> list[Path]:
    """Return the finished runs among `folders` and directly below them, in order.

    Raises:
        DataError: one of the folders holds none.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = [folder] if (folder / RESULT).exists() else sorted(p.parent for p in folder.glob(f"*/{RESULT}"))
        if not below:
            raise DataError(f"{folder}: expected a finished run, or a sweep with one, found no {RESULT}")
        found |= dict.fromkeys(below)
    return list(found)


def read_runs(folders: Iterable[Path]) -> pd.DataFrame:
    """Return a row per finished run among `folders` and directly below them.

    Columns: `NAMES` and the other settings of the losses; `valid/<metric>` and `test/<metric>`; `valid/tied` and
    `test/tied` (positives that share their score); best_epoch, epochs, train_seconds, valid_seconds, device,
    config_hash, data_digest, registration (SHA-256 or None), commit, ncf (version); and every other setting that
    differs between the runs, under its dotted key (None if a run has no such setting). `alpha` is a number, even if the
    run says balanced. Folds of one division of the data have a column `FOLD`; they share all other settings of it.

    Raises:
        DataError: a result is damaged or of another format, or the runs differ in data, split or protocol.
    """
    bar = tqdm(finished_runs(folders), desc="results", unit=" runs", delay=2, leave=False)
    results = {folder: _result(folder) for folder in bar}
    rows, protocols, settings, whole = [], {}, [], []
    for folder, result in results.items():
        with _understood(folder):
            rows.append(_row(folder, result))
            protocols[folder] = _protocol(result)
            settings.append(_further(result["config"]))
            whole.append(flatten(completed(result["config"])))
    _refuse_mixed(protocols)
    if _differs(protocol.get(FOLD) for protocol in protocols.values()):
        rows = [{**row, FOLD: protocol[FOLD]} for row, protocol in zip(rows, protocols.values(), strict=True)]
    varying = [key for key in dict.fromkeys(k for s in settings for k in s) if _differs(s.get(key) for s in settings)]
    table = pd.DataFrame(
        [
            {**row, **{key: own.get(key, all_of.get(key)) for key in varying}}  # an identity lacks some defaults
            for row, own, all_of in zip(rows, settings, whole, strict=True)
        ]
    )
    return table[[*NAMES, *(column for column in table.columns if column not in NAMES)]]


def refuse_not_finite(runs: pd.DataFrame, metrics: Iterable[str], place: Callable[[int], str]) -> None:
    """Raise DataError if a metric of a run is no finite number.

    Args:
        runs: a row a run.
        metrics: columns of `runs`.
        place: where the metrics of a row, counted from 0, are from.
    """
    for metric in metrics:
        values = runs[metric].to_numpy()
        bad = ~np.isfinite(pd.to_numeric(runs[metric], errors="coerce").to_numpy(float))
        if bad.any():
            row = int(bad.argmax())
            raise DataError(f"{place(row)}: expected a finite {metric}, found {str(values[row])[:40]!r}")


def read_users(folders: Iterable[Path], part: Literal["valid", "test"] = "test") -> pd.DataFrame:
    """Return a row per finished run and evaluated positive: `NAMES`, user_id, item_id, rank, candidates, tied, metrics.

    Runs of several folds also have `FOLD`, after `NAMES`.

    Raises:
        DataError: as `read_runs`; or a `ranks.csv` is missing, damaged, or contradicts the metrics of its result.
    """
    runs = finished_runs(folders)
    names = read_runs(runs)
    tables = [read_ranks(folder, part) for folder in runs]
    metrics = [metrics_of(folder, table, _result(folder), part) for folder, table in zip(runs, tables, strict=True)]
    which = np.repeat(np.arange(len(runs)), [len(table) for table in tables])
    users = pd.concat(tables, ignore_index=True)
    for column in ("user_id", "item_id"):
        users[column] = _ids(users[column])
    named = [*NAMES, FOLD] if FOLD in names else NAMES
    columns = [names[named].iloc[which].reset_index(drop=True), users, pd.concat(metrics, ignore_index=True)]
    return pd.concat(columns, axis=1)


def _result(folder: Path) -> dict[str, Any]:
    result = read_result(folder)
    if result is None:
        raise DataError(f"{folder}: expected a finished run, found no {RESULT}")
    if result.get("kind") == SIMULATION:
        raise DataError(f"{folder}: expected a run of ncf.train, found a simulation; ncf.report shows those")
    if result.get("kind") == SERVICE:
        raise DataError(f"{folder}: expected a run of ncf.train, found a service; read its estimates.csv")
    return result


@contextlib.contextmanager
def _understood(folder: Path) -> Iterator[None]:
    """Raise DataError, which names the run, for a result that lacks a key or has one of another kind."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"a key of the result is missing or invalid ({error!r:.200})"
        raise DataError(f"{folder / RESULT}: damaged: {reason}") from None


def _row(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
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


def _protocol(result: Mapping[str, Any]) -> dict[str, Any]:
    settings = result["config"]
    kept = {
        key: value
        for key, value in identity(settings).items()  # a run from before a setting existed has its default
        if key.split(".")[0] in PROTOCOL and not role_of(key, settings).free_to_differ
    }
    data = {key: value for key, value in identity(settings).items() if key.startswith("data.")}
    return {"data_digest": result["data_digest"], **(data if kept.get("split.folds") else {}), **kept}


def _refuse_mixed(protocols: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise DataError if runs differ in protocol, naming two of them and what differs; folds of one division do not."""
    first, of_fold = next(iter(protocols)), dict[Any, Path]()
    for folder, protocol in protocols.items():
        for other in dict.fromkeys([of_fold.setdefault(protocol.get(FOLD), folder), first]):
            differing = _differing(protocols[other], protocol)
            if differing:
                raise DataError(
                    f"cannot compare runs of different protocols: {other.name}, {folder.name} differ in "
                    f"{'; '.join(differing)}"
                )


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return "key: 1 and 2" for what differs; between folds not their digests, within a fold not settings of data."""
    folds = a.get("split.folds") and b.get("split.folds") and a[FOLD] != b[FOLD]
    keys = {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}
    keys -= {FOLD, "data_digest"} if folds else {key for key in keys if key.startswith("data.")}
    return [f"{key}: {a.get(key)!r} and {b.get(key)!r}" for key in sorted(keys)]


def _further(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are neither a fixed column nor part of the protocol."""
    shown = ("model.name", "neg_ratio", "seed")
    groups = (*PROTOCOL, "loss", "data")
    return {k: v for k, v in identity(config).items() if k not in shown and k.split(".")[0] not in groups}


def _differs(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values}) > 1


def _ids(column: pd.Series) -> pd.Series:
    """Convert ids to int64 if all are plain decimal numbers; otherwise return them unchanged."""
    ids = column.astype("category")
    names = ids.cat.categories
    if not all(name.isdecimal() and str(int(name)) == name for name in names):
        return column
    return ids.cat.rename_categories([int(name) for name in names]).astype("int64")
