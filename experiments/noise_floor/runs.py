"""The runs of the study: made by an ordinary sweep, and kept as rows of results.csv, which count as done elsewhere."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pandas as pd

from ncf.core.files import write_text
from ncf.errors import DataError
from ncf.runs.tables import NAMES, read_runs
from ncf.study.registered_runs import Part, registered_runs
from ncf.study.registration import Registration, load

HERE = Path(__file__).parent
RESULTS, REGISTRATION = HERE / "results.csv", HERE / "preregistration.yaml"
SWEEP = Path("outputs") / "sweeps" / "noise_floor"
METRICS = ("test/ndcg@10", "test/hit@10")
COLUMNS = [
    *NAMES, *METRICS, "valid/ndcg@10", "best_epoch", "epochs", "train_seconds", "config_hash", "data_digest",
    "registration", "commit",
]  # fmt: skip


def registration() -> Registration:
    """The study's registration."""
    return load(REGISTRATION)


def registered() -> int:
    """The number of registered runs."""
    return len(registered_runs(registration(), [Part(of=["AA"], ratios=[10])]))


def make(jobs: int) -> int:
    """Make the runs that neither results.csv nor the sweep's folder has, and collect them; return the exit status."""
    command = [sys.executable, "-m", "ncf.train", "-m", "experiment=noise_floor", f"hydra.launcher.n_jobs={jobs}"]
    status = subprocess.run(command, check=False).returncode
    collect()
    return status


def collect(sweep: Path = SWEEP, path: Path = RESULTS) -> pd.DataFrame:
    """Add the finished runs below `sweep` to the table at `path`, and return it."""
    rows = table(path)
    with contextlib.suppress(DataError):  # none is finished
        found = read_runs([sweep])[COLUMNS]
        rows = pd.concat([rows, found[~found["run"].isin(rows["run"])]], ignore_index=True)
        rows = rows.sort_values(["seed", "loss"], ignore_index=True)
        write_text(path, rows.to_csv(index=False, lineterminator="\n"))
    return rows


def table(path: Path = RESULTS) -> pd.DataFrame:
    """The rows so far. Raises DataError for a damaged file, a run that is there twice, or of another registration."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        rows = pd.read_csv(path, float_precision="round_trip")
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a table of runs: {' '.join(str(error).split())}") from None
    if list(rows.columns) != COLUMNS:
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}")
    if rows["run"].duplicated().any():
        raise DataError(f"{path}: expected each run once, got several {rows['run'][rows['run'].duplicated()].iloc[0]}")
    sha = registration().sha256
    if (rows["registration"] != sha).any():
        raise DataError(f"{path}: expected runs of the registration with SHA-256 {sha}, found others")
    return rows
