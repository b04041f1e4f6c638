"""The tuned runs: made by ordinary sweeps, read back as a table of runs and tables of users."""

import subprocess
import sys
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from experiments.baselines.arms import ARMS, METRICS, ROOT, Arm
from ncf.runs.tables import read_runs, read_users

PER_USER = dict[str, dict[str, np.ndarray]]
"""metric -> arm -> (seeds, users), the users in one order."""

_COLUMNS = ["best_epoch", "epochs", "config_hash", "commit"]


def train(arm: Arm, seeds: Sequence[int], jobs: int, *more: str) -> None:
    """Make the runs of `experiment=tuned_<arm>` that its sweep lacks, stacked where their models can be."""
    command = [sys.executable, "-m", "ncf.train", "-m", f"experiment=tuned_{arm.name}", f"seed={_list(seeds)}"]
    places = [f"hydra.sweep.dir={arm.sweep}", "hydra/launcher=stacked", f"hydra.launcher.n_jobs={jobs}"]
    subprocess.run([*command, *places, *more], cwd=ROOT, check=True)


def table(arms: Iterable[Arm] = ARMS.values()) -> pd.DataFrame:
    """A row a run: arm, seed, its validation and test metrics, and what identifies it."""
    parts = []
    for arm in arms:
        found = read_runs([ROOT / arm.folder(seed) for seed in arm.seeds])
        metrics = [column for column in found if column.startswith(("valid/", "test/"))]
        parts.append(found[["seed", *metrics, *_COLUMNS]].assign(arm=arm.name))
    whole = pd.concat(parts, ignore_index=True)
    return whole[["arm", *whole.columns.drop("arm")]]


def per_user(arms: Iterable[Arm] = ARMS.values()) -> PER_USER:
    """Each user's test metrics in every run. AssertionError if two arms did not rank the same users."""
    values: PER_USER = {metric: {} for metric in METRICS}
    users: pd.Index | None = None
    for arm in arms:
        found = read_users([ROOT / arm.folder(seed) for seed in arm.seeds])
        for metric in METRICS:
            wide = found.pivot(index="seed", columns="user_id", values=metric).sort_index(axis=0).sort_index(axis=1)
            users = wide.columns if users is None else users
            assert wide.columns.equals(users)
            values[metric][arm.name] = wide.to_numpy()
    return values


def _list(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))
