"""`python -m ncf.compare run1 run2 ...`: show how finished runs differ, in settings and in results.

Each run is tested against the first by Wilcoxon's test, paired by user, with Holm's correction over the runs. Its
sample is the users: it says whether these trained models differ, and nothing about how other seeds would turn out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.errors import DataError
from ncf.runs.identity import completed, identity
from ncf.runs.loading import finished
from ncf.runs.ranks_file import metrics_of, read_ranks
from ncf.stats import StatisticsError
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon

PARTS = ("valid", "test")


@dataclass(frozen=True)
class ComparedRun:
    """A finished run: its folder, its result.json, and the settings that identify it."""

    folder: Path
    result: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The identifying settings, flat: {"loss.gamma": 2.0, ...}."""
        return identity(self.result["config"])


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.compare", __doc__)
    options.add_argument("runs", nargs="+", type=Path, help="folders of finished runs; the first is the baseline")
    options.add_argument(
        "--part", choices=PARTS, default="test", help="held-out positives to compare on: valid or test (test)"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    runs = [ComparedRun(folder, finished(folder)) for folder in options.runs]
    print(report(runs, options.part))


def report(runs: Sequence[ComparedRun], part: str) -> str:
    """Return the settings that differ, the metrics, and the paired tests, as text."""
    names = [str(number) for number in range(1, len(runs) + 1)]
    sections = [text_table(["run", "folder"], zip(names, (run.folder for run in runs), strict=True))]
    differing = differences(runs)
    if differing:
        sections.append(
            text_table(["setting", *names], ([key, *map(str, values)] for key, values in differing.items()))
        )
    metrics = [m for m in runs[0].result[part] if all(m in run.result[part] for run in runs)]
    rows = [[metric, *(run.result[part][metric] for run in runs)] for metric in metrics]
    sections.append(text_table([part, *names], rows))
    if len(runs) > 1:
        sections.append(_tests(runs, part, metrics, names))
    return "\n\n".join(sections)


def differences(runs: Sequence[ComparedRun]) -> dict[str, list[object]]:
    """Return setting -> its value in each run, for settings that differ; "-" where a run does not have it."""
    settings = [run.settings for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    values = {key: [one.get(key, "-") for one in settings] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _tests(runs: Sequence[ComparedRun], part: str, metrics: Sequence[str], names: Sequence[str]) -> str:
    """Return the table of differences from the first run with corrected p, or say why there is none."""
    try:
        values = [per_user(run, part) for run in runs]
        users = paired_users(runs, values)
    except DataError as error:
        return f"no paired test: {error}"
    rows = []
    for metric in metrics:
        baseline = values[0].loc[users, metric].to_numpy()
        others = [frame.loc[users, metric].to_numpy() for frame in values[1:]]
        corrected = holm(np.array([_p(other, baseline) for other in others]))
        cells = (f"{o.mean() - baseline.mean():+.4f} (p {p:.3g})" for o, p in zip(others, corrected, strict=True))
        rows.append([metric, *cells])
    head = f"difference from 1 over {len(users)} users (Wilcoxon p, Holm over {len(runs) - 1} runs)"
    return f"{head}\n{text_table([part, *names[1:]], rows)}"


def _p(treatment: np.ndarray, baseline: np.ndarray) -> float:
    try:
        return wilcoxon(treatment, baseline).p
    except StatisticsError:  # no two users differ
        return 1.0


def per_user(run: ComparedRun, part: str) -> pd.DataFrame:
    """Return a row per evaluated positive (index: raw user id) and a column per metric, from the run's ranks.csv.

    Raises:
        DataError: as `read_ranks` and `metrics_of`.
    """
    ranks = read_ranks(run.folder, part)
    table = metrics_of(run.folder, ranks, run.result, part).set_index(pd.Index(ranks["user_id"]))
    return table.assign(item_id=ranks["item_id"].to_numpy())


def paired_users(runs: Sequence[ComparedRun], values: Sequence[pd.DataFrame]) -> pd.Index:
    """Return the users, the same in all runs. Raises DataError if the runs cannot be paired."""
    for run, frame in zip(runs[1:], values[1:], strict=True):
        if run.result["data_digest"] != runs[0].result["data_digest"]:
            raise DataError(f"{run.folder}: expected the same data and split as {runs[0].folder}, found others")
        if not frame["item_id"].equals(values[0]["item_id"]):
            raise DataError(f"{run.folder}: expected the same users and items as {runs[0].folder}, found others")
        if completed(run.result["config"])["evaluation"] != completed(runs[0].result["config"])["evaluation"]:
            raise DataError(f"{run.folder}: expected the same evaluation settings as {runs[0].folder}, found others")
    return values[0].index


if __name__ == "__main__":
    command_line.run(main)
