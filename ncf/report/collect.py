"""From run folders to the tables that a report is made from; see `ncf.report.study` for what they hold.

Companions cover the registered arms and the grids that the report lists after them, and are rounded to six digits;
`results.csv`, from which the verdicts come, is not rounded.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ncf.core.files import atomic, write_text
from ncf.core.outside import read_json_lines
from ncf.errors import DataError
from ncf.report.ranked import ranked
from ncf.report.study import COMPANIONS, PROTOCOL, RESULTS, Study, load, of_arm
from ncf.runs import artifacts
from ncf.runs.identity import identity
from ncf.runs.tables import finished_runs, read_runs, refuse_not_finite
from ncf.study import Registration

_SHARES = ("histogram", "loss_share", "gradient_share")
_MOST_COLUMNS = 1_000


def collect(sweeps: Sequence[Path], registration: Registration, output: Path) -> Study:
    """Write `results.csv` and its companions of every finished run in the folders `sweeps`; the study they make.

    Args:
        output: an empty folder, made if necessary.

    Raises:
        DataError: as `ncf.runs.tables.read_runs` and `read_users`; or a run's epochs or dynamics cannot be read, or a
            registered metric is not finite.
    """
    folders = one_of_each(finished_runs(sweeps))
    runs = read_runs(folders)
    judged = [metric for metric in registration.metrics if metric in runs]
    refuse_not_finite(runs, judged, lambda row: str(folders[row] / artifacts.RESULT))
    output.mkdir(parents=True, exist_ok=True)
    write_table(runs, output / RESULTS, None)
    facts = protocol([_result(folder) for folder in folders])
    write_text(output / PROTOCOL, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    study = load(output, registration)
    chosen = _compared(study, folders)
    config = _result(folders[0])["config"]
    tables = {"curves": curves(chosen), **dynamics(chosen, study.runs), **ranked(chosen, study, config)}
    for name, table in tables.items():
        if not table.empty:
            write_table(table, output / COMPANIONS[name], "%.6g")
    return load(output, registration)


def _result(folder: Path) -> dict[str, Any]:
    result = artifacts.read_result(folder)
    assert result is not None
    return result


def one_of_each(folders: Sequence[Path]) -> list[Path]:
    """One folder a configuration: the first that has recorded its dynamics, or else the first."""
    found: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: not (folder / artifacts.DYNAMICS).exists()):
        found.setdefault(_result(folder)["config_hash"], folder)
    return sorted(found.values())


def _compared(study: Study, folders: Sequence[Path]) -> list[Path]:
    """The folders of the runs that companions cover."""
    ratios = study.runs["neg_ratio"].unique()
    own = {run for arm in study.all_arms for ratio in ratios for run in of_arm(study.runs, arm, ratio)["run"]}
    return [folder for folder in folders if folder.name in own]


def protocol(finished: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all runs have in common: the settings that agree; and the versions and machine of the first."""
    settings = [identity(result["config"]) for result in finished]
    shared = {key: value for key, value in settings[0].items() if all(s.get(key) == value for s in settings)}
    return {
        "settings": shared,
        "versions": finished[0]["versions"],
        "machine": finished[0]["machine"],
    }


def curves(folders: Sequence[Path]) -> pd.DataFrame:
    """A row a run and epoch: run, epoch, ndcg@10 on validation, train_loss; empty if no run has these."""
    columns = ["run", "epoch", "ndcg@10", "train_loss"]
    bar = tqdm(folders, desc="epochs", unit=" runs", delay=2, leave=False)
    parts = [_epochs(folder / artifacts.EPOCHS).assign(run=folder.name) for folder in bar]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table[columns] if set(columns) <= set(table.columns) else pd.DataFrame()


def dynamics(folders: Sequence[Path], runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`attention`, means over an arm's runs by epoch, and `selected`, a row a run at its selected epoch; see Study.

    Empty frames if no run has recorded its dynamics.
    """
    lines = [
        {"run": folder.name, **_columns(line, path)}
        for folder in tqdm(folders, desc="dynamics", unit=" runs", delay=2, leave=False)
        if (path := folder / artifacts.DYNAMICS).exists()
        for line in read_json_lines(path, DataError)
    ]
    if not lines:
        return {"attention": pd.DataFrame(), "selected": pd.DataFrame()}
    keys = [key for key in ("model", "loss", "gamma", "alpha", "neg_ratio") if key in runs.columns]
    table = pd.DataFrame(lines).merge(runs[["run", "best_epoch", *keys]], on="run", validate="m:1")
    shares = [c for c in table.columns if any(f"_{share}_" in c for share in _SHARES)]
    grouped = table.groupby([*keys, "epoch"], dropna=False, sort=True)
    attention = grouped[shares].mean().assign(runs=grouped.size()).reset_index()
    selected = table[table["epoch"] == table["best_epoch"]].drop(columns=[*keys, *shares, "best_epoch"])
    return {"attention": attention, "selected": selected}


def flat(line: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A line of `dynamics.jsonl` as columns: positive_loss_share_0, held_out_rate, ece, predicted_9 and so on."""
    columns: dict[str, Any] = {}
    for key, value in line.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            columns |= flat(value, "" if key == "calibration" else f"{key}_")
        elif isinstance(value, list):
            columns |= {f"{name}_{n}": entry for n, entry in enumerate(value)}
        else:
            columns[name] = value
    return columns


def _columns(line: Mapping[str, Any], path: Path) -> dict[str, Any]:
    columns = flat(line)
    if len(columns) > _MOST_COLUMNS or "epoch" not in columns:
        raise DataError(f"{path}: expected lines with an epoch and at most {_MOST_COLUMNS:,} values")
    return columns


def _epochs(path: Path) -> pd.DataFrame:
    """The epochs of a run, without any for a model that has none. Raises DataError if they cannot be read."""
    try:
        return pd.DataFrame(read_json_lines(path, DataError))
    except FileNotFoundError:
        return pd.DataFrame()


def write_table(table: pd.DataFrame, path: Path, float_format: str | None) -> None:
    """The table as CSV, gzipped without a time where the name says so: equal tables are equal bytes."""
    compression: Any = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
    with atomic(path) as file:
        table.to_csv(file, index=False, float_format=float_format, compression=compression, lineterminator="\n")
