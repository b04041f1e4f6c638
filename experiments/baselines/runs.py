"""The tuned runs: made by ordinary sweeps, read back as a table of runs and tables of users."""

import subprocess
import sys
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from experiments.baselines.arms import ARMS, METRICS, ROOT, Arm
from ncf.evaluation.metrics import NDCG, Hit
from ncf.report.rank_table import KEYS, packed, unpacked
from ncf.runs.ranks_file import counted
from ncf.runs.tables import read_runs, read_users

PER_USER = dict[str, dict[str, np.ndarray]]
"""metric -> arm -> (seeds, users), the users in one order."""

CUTOFF = 10
_COLUMNS = ["best_epoch", "epochs", "config_hash", "commit"]


def train(arm: Arm, seeds: Sequence[int], jobs: int, *more: str) -> None:
    """Make the runs of `arm.experiment` that its sweep lacks, stacked where their models can be."""
    command = [sys.executable, "-m", "ncf.train", "-m", f"experiment={arm.experiment}", f"seed={_list(seeds)}"]
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


def ranks(arms: Iterable[Arm] = ARMS.values()) -> pd.DataFrame:
    """The ranks of every run in one table; see `ncf.report.rank_table`. DataError if two runs ranked other items."""
    found = [read_users([ROOT / arm.folder(seed) for seed in arm.seeds]) for arm in arms]  # settings differ by arm
    return packed(pd.concat(found, ignore_index=True))


def per_user(table: pd.DataFrame, arms: Iterable[Arm] = ARMS.values()) -> PER_USER:
    """Each user's test metrics in every run, from the table of `ranks`."""
    long = unpacked(table)
    found = counted(long.assign(user_id=range(len(long))))  # every row stands alone: a run's user has one held-out item
    shape = (len(table.columns) - len(KEYS), len(table))  # runs, users
    values: PER_USER = {metric: {} for metric in METRICS}
    columns = list(table.columns[len(KEYS) :])
    for metric, definition in zip(METRICS, (NDCG(), Hit()), strict=True):
        every = definition(found, CUTOFF, "average").numpy().reshape(shape)
        for arm in arms:
            values[metric][arm.name] = every[[columns.index(arm.folder(seed).name) for seed in arm.seeds]]
    return values


def _list(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))
