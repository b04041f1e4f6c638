"""The rows of an experiment: kept in a CSV file as each run ends, so that a stopped experiment goes on where it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ncf.report.collect import write_table
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run
from ncf.runs.state import claim


class Rows:
    """A table on disk.

    Args:
        path: of the CSV file, gzipped where its name says so.
        keys: the columns that tell rows apart.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path, self.keys = path, list(keys)

    def table(self) -> pd.DataFrame:
        """What is there, in the order of its keys."""
        return pd.read_csv(self.path) if self.path.exists() else pd.DataFrame(columns=self.keys)

    def has(self, **keys: Any) -> bool:
        """Whether a row has these values."""
        table = self.table()
        if table.empty:
            return False
        found = pd.Series(True, table.index)
        for name, value in keys.items():
            found &= table[name] == value
        return bool(found.any())

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write these rows, in place of those with the same keys."""
        whole = pd.concat([self.table(), pd.DataFrame(rows)], ignore_index=True)
        whole = whole.drop_duplicates(self.keys, keep="last").sort_values(self.keys, kind="stable")
        write_table(whole, self.path, "%.6g")


def finish(cfg: DictConfig, folder: Path) -> None:
    """Make the run of a configuration in its folder, or go on with it; a finished one stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder):
        job = open_job(plan_run(cfg), folder, lambda: False)
        if isinstance(job, Job):
            job.run()
