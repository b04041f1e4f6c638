"""Finished runs side by side, as text: the settings that differ, the metrics, and tests of each against the first.

The tests are Wilcoxon's, paired by user, with Holm's correction over the runs, but not over the metrics. Their sample
is the users: they say whether these trained models differ, and nothing about how other seeds would turn out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core.command_line import text_table, visible
from ncf.core.config import flatten
from ncf.errors import DataError
from ncf.runs.artifacts import RANKS, RESULT
from ncf.runs.identity import completed, identity
from ncf.runs.ranks_file import counted, evaluation_of, metrics_of, read_ranks
from ncf.stats import StatisticsError
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon

_MOST_COLUMNS = 6  # runs side by side
_LONGEST = 60  # characters of a setting's value

T = TypeVar("T")


@dataclass(frozen=True)
class ComparedRun:
    """A finished run: its folder, its result.json, and the settings that identify it."""

    folder: Path
    result: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The identifying settings, flat: {"loss.gamma": 2.0, ...}."""
        try:
            return identity(self.result["config"])
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.folder / RESULT}: damaged: its settings are not those of a run ({error!r})"
            ) from None


def runs_of(folder: Path) -> list[Path]:
    """Return the run that `folder` is, or the finished runs directly in it. Raises DataError if it has neither."""
    if (folder / RESULT).exists() or not folder.is_dir():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{RESULT}")) or [folder]


def bar(values: Sequence[T], what: str) -> Iterable[T]:
    """Show on stderr how far `values` are, if they take over two seconds."""
    return tqdm(values, desc=what, unit=" runs", delay=2, leave=False)


def report(runs: Sequence[ComparedRun], part: str) -> str:
    """Return the settings that differ, the metrics, and the paired tests, as text.

    Raises:
        DataError: a result or ranks.csv is damaged, or they contradict each other.
    """
    names = [str(number) for number in range(1, len(runs) + 1)]
    sections = [text_table(["run", "folder"], zip(names, (visible(run.folder) for run in runs), strict=True))]
    differing = differences(runs)
    if differing:
        rows = [[visible(key), *(visible(value)[:_LONGEST] for value in values)] for key, values in differing.items()]
        sections.append(_table("setting", names, rows))
    metrics = [m for m in runs[0].result[part] if all(m in run.result[part] for run in runs)]
    sections.append(_table(part, names, [[visible(m), *(run.result[part][m] for run in runs)] for m in metrics]))
    if len(runs) > 1:
        sections.append(_tests(runs, part, metrics, names))
    return "\n\n".join(sections)


def _table(corner: str, names: Sequence[str], rows: list[list[Any]]) -> str:
    """Format rows that have a value a run: runs are columns, or, if they are many, lines."""
    if len(names) <= _MOST_COLUMNS:
        return text_table([corner, *names], rows)
    header, *columns = zip(*rows, strict=True) if rows else [()]
    return text_table([corner, *header], ([name, *column] for name, column in zip(names, columns, strict=True)))


def differences(runs: Sequence[ComparedRun]) -> dict[str, list[object]]:
    """Return setting -> its value in each run, for settings that differ; "-" where a run does not have it."""
    settings = [run.settings for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    whole = [flatten(completed(run.result["config"])) | own for run, own in zip(runs, settings, strict=True)]
    values = {key: [one.get(key, "-") for one in whole] for key in keys}  # an identity lacks some defaults
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _tests(runs: Sequence[ComparedRun], part: str, metrics: Sequence[str], names: Sequence[str]) -> str:
    """Return the table of differences from the first run with corrected p, or say why there is none."""
    missing = [run.folder for run in runs if not (run.folder / RANKS).exists()]
    if missing:
        return f"no paired test: {visible(missing[0])}: found no {RANKS}"
    values = [per_user(run, part) for run in bar(runs, "ranks")]
    if (obstacle := unpaired(runs, values)) is not None:
        return f"no paired test: {visible(obstacle)}"
    means = [frame.drop(columns="item_id").groupby(level=0, sort=False).mean() for frame in values]
    rows = []
    for metric in (m for m in metrics if m in means[0]):  # not those of ratings, which ranks do not tell
        baseline, *others = (frame[metric].to_numpy() for frame in means)
        corrected = holm(np.array([_p(other, baseline) for other in others]))
        cells = (f"{o.mean() - baseline.mean():+.4f} (p {p:.3g})" for o, p in zip(others, corrected, strict=True))
        rows.append([visible(metric), *cells])
    head = (
        f"difference from 1 over {len(means[0])} users (Wilcoxon p, Holm over {len(runs) - 1} runs; "
        f"not corrected over metrics)"
    )
    return f"{head}\n{_table(part, names[1:], rows)}"


def _p(treatment: np.ndarray, baseline: np.ndarray) -> float:
    try:
        return wilcoxon(treatment, baseline).p
    except StatisticsError:  # no two users differ
        return 1.0


def per_user(run: ComparedRun, part: str) -> pd.DataFrame:
    """Return a row per evaluated positive (index: raw user id) and a column per metric, from the run's ranks.csv.

    Raises:
        DataError: as `read_ranks`; or the ranks contradict the result, which names the metric and both values.
    """
    ranks = read_ranks(run.folder, part)
    try:
        table = metrics_of(run.folder, ranks, run.result, part).set_index(pd.Index(ranks["user_id"]))
    except DataError as error:
        raise _contradiction(run, ranks, part) or error from None
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{run.folder / RESULT}: damaged: its evaluation is missing or invalid ({error!r})") from None
    return table.assign(item_id=ranks["item_id"].to_numpy())


def _contradiction(run: ComparedRun, ranks: pd.DataFrame, part: str) -> DataError | None:
    """Return an error that names the first metric whose mean over the ranks is not that of the result."""
    again = counted(ranks)
    for name, values in evaluation_of(run.result).per_positive(again).items():
        told, found = run.result[part].get(name), again.mean(values)
        if told is not None and not np.isclose(told, found, rtol=0, atol=1e-9):
            return DataError(
                f"{run.folder}: expected {part}/{name} {told:.10g}, as in {RESULT}, but {RANKS} gives {found:.10g}; "
                "one of the two was changed after the run"
            )
    return None


def unpaired(runs: Sequence[ComparedRun], values: Sequence[pd.DataFrame]) -> str | None:
    """Return why the runs cannot be paired by user, None if they can."""
    for run, frame in zip(runs[1:], values[1:], strict=True):
        if run.result["data_digest"] != runs[0].result["data_digest"]:
            return f"{run.folder}: expected the same data and split as {runs[0].folder}, found others"
        if not frame["item_id"].equals(values[0]["item_id"]):
            return f"{run.folder}: expected the same users and items as {runs[0].folder}, found others"
        if completed(run.result["config"])["evaluation"] != completed(runs[0].result["config"])["evaluation"]:
            return f"{run.folder}: expected the same evaluation settings as {runs[0].folder}, found others"
    return None
