"""A study as its tables tell it: what every figure, table and sentence of the report is made from.

The tables lie in one folder: `results.csv` (a row a run) and its companions, which hold what the run folders knew
beyond it. A companion may be missing; what needs it is then left out, and says so.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ncf.core.outside import open_regular, read_json
from ncf.errors import DataError
from ncf.report.staging import MANIFEST, refuse_unfinished, written
from ncf.runs.tables import FOLD
from ncf.study import ComparisonPlan, Registration, Verdict, plans, verdict
from ncf.study.registration import Compared, Selector, Value, in_arm
from ncf.study.verdict import JudgedComparison, arm_values

RESULTS, PROTOCOL, UNFINISHED = "results.csv", "protocol.json", "unfinished.csv"
PRESENTATION = "report.yaml"
"""The registration's key `report` where the registration itself lacks it, in a file beside it."""

COMPANIONS = {
    "curves": "curves.csv.gz",  # a row a run and epoch: validation metric and training loss
    "attention": "attention.csv.gz",  # a row an arm, ratio and epoch: where loss and gradient come from
    "selected": "selected.csv.gz",  # a row a run: the dynamics at its selected epoch
    "sampled": "sampled.csv",  # a row a run: expected metrics among 99 sampled negatives
    "groups": "groups.csv",  # a row a run and third of items or users: metrics within it
    "users": "users.csv",  # a row a comparison: statistics over users
    "ranks": "ranks.csv.gz",  # a column a compared run: the ranks that users.csv was made from, see rank_table
}
TABLES = (RESULTS, PROTOCOL, UNFINISHED, *COMPANIONS.values())
"""The files that a report can be made from again."""

_NAMES = ("run", "config_hash", "data_digest", "registration", "commit", "ncf")  # which may look like numbers
_LARGEST = 64 * 2**20  # bytes of a table, unpacked
MOST_CELLS, MOST_COLUMNS, _LONGEST_LINE = 5_000_000, 2_000, 2**20  # of a table
_WHOLE = ("neg_ratio", "seed")
_COLUMNS = {
    "curves": ["run", "epoch", "ndcg@10", "train_loss"],
    "attention": ["neg_ratio", "epoch"],
    "selected": ["run", "epoch"],
    "sampled": ["run"],
    "groups": ["run", "grouping", "third"],
    "users": ["treatment", "baseline", "metric", "neg_ratio"],
    "ranks": ["user", "candidates"],
}
"""What is relied on beside the metrics."""


class NotRunError(Exception):
    """The data that a figure or table needs are not there.

    Args:
        missing: what they are.
        made_by: the command that makes them, as a key of the registered `report.commands`.
    """

    def __init__(self, missing: str, made_by: str = "runs") -> None:
        super().__init__(missing, made_by)
        self.missing, self.made_by = missing, made_by


@dataclass(frozen=True)
class Missing:
    """The registered runs of a grid at a ratio that are not there: how many are registered, which seeds lack a run."""

    grid: str
    ratio: int
    registered: int
    missing: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Study:
    """The registration and the tables; see COMPANIONS. An absent companion is an empty frame."""

    registration: Registration
    runs: pd.DataFrame
    protocol: dict[str, Any]
    companions: dict[str, pd.DataFrame]

    @cached_property
    def worked_out(self) -> dict[str, Any]:
        """What sections have worked out from the study and would work out anew for each figure, by name."""
        return {}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return verdict(self.registration, self.runs)

    @cached_property
    def plans(self) -> list[tuple[Compared, ComparisonPlan]]:
        """Each registered comparison with what its design can show."""
        compared = [c for hypothesis in self.registration.hypotheses.values() for c in hypothesis.comparisons()]
        return list(zip(compared, plans(self.registration), strict=True))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that all runs share."""
        return dict(self.protocol.get("settings", {}))

    def command(self, made_by: str) -> str:
        """The command that makes a grid, "dynamics" or the "report"; without one of its own, what makes all runs."""
        commands = {"report": "python -m ncf.report", **self.registration.report.commands}
        return commands.get(made_by, commands.get("runs", ""))

    @property
    def ratios(self) -> list[int]:
        """The registered ratios, ascending."""
        return sorted(self.registration.seeds)

    @property
    def primary(self) -> str:
        """The metric that figures show where one must do: the first registered."""
        return self.registration.metrics[0]

    @cached_property
    def main_arms(self) -> dict[str, Selector]:
        """The treatment of the first claim, last, after every baseline that it is compared with."""
        claims = [claim for hypothesis in self.registration.hypotheses.values() for claim in hypothesis.claims]
        treatment = claims[0].treatment
        baselines = {claim.baseline for claim in claims if claim.treatment == treatment}
        arms = self.registration.arms
        return {name: arms[name] for name in [*(name for name in arms if name in baselines), treatment]}

    @cached_property
    def contrasts(self) -> list[tuple[str, str]]:
        """(treatment, baseline) of every claim, each once."""
        claims = [claim for hypothesis in self.registration.hypotheses.values() for claim in hypothesis.claims]
        return list(dict.fromkeys((claim.treatment, claim.baseline) for claim in claims))

    @property
    def seeds(self) -> dict[int, int]:
        """Ratio -> how many seeds are registered."""
        return {ratio: len(self.registration.seeds_at(ratio)) for ratio in self.ratios}

    @cached_property
    def all_arms(self) -> list[Selector]:
        """The registered arms, then the choices of the grids that the report lists after them."""
        listed = [arm for grid in self.registration.report.grids for arm in self.arms_of(grid)]
        return [*self.registration.arms.values(), *listed]

    def arms_of(self, grid: str) -> list[Selector]:
        """The distinct choices of a registered grid, empty if there is no such grid."""
        blocks = self.registration.grids[grid].blocks if grid in self.registration.grids else []
        return [
            dict(zip(block, choice, strict=True))
            for block in blocks
            for choice in itertools.product(*(v if isinstance(v, list) else [v] for v in block.values()))
        ]

    def values(self, arm: Selector, ratio: int, metric: str, table: pd.DataFrame | None = None) -> pd.Series:
        """`metric` of an arm's runs at a ratio by registered seed, ascending; of `runs` or of a table joined with them.

        Raises as `ncf.stats.verdict.arm_values`.
        """
        if not set(arm) <= set(self.runs.columns):
            return pd.Series(dtype=float)
        values = arm_values(self.runs if table is None else table, arm, ratio, metric)
        return values[values.index.isin(self.registration.seeds_at(ratio))].sort_index()

    def runs_of(self, arm: Selector, ratio: int) -> pd.Series:
        """The run of an arm at a ratio by registered seed."""
        rows = of_arm(self.runs, arm, ratio)
        return rows[rows["seed"].isin(self.registration.seeds_at(ratio))].set_index("seed")["run"]

    def companion(self, name: str, what: str, made_by: str = "runs") -> pd.DataFrame:
        """A companion table. Raises NotRunError if it is not there."""
        table = self.companions[name]
        if table.empty:
            raise NotRunError(what, made_by)
        return table

    def by_seed(self, arms: dict[str, Selector], ratio: int, metric: str) -> pd.DataFrame:
        """`metric` of several arms (seeds, arms), for the seeds that all of them have."""
        return pd.DataFrame({name: self.values(arm, ratio, metric) for name, arm in arms.items()}).dropna()

    def joined(self, table: pd.DataFrame) -> pd.DataFrame:
        """A companion with a row a run beside the columns of `runs` that say which run it is."""
        keys = dict.fromkeys(["run", "neg_ratio", "seed", *(key for arm in self.all_arms for key in arm)])
        return table.merge(self.runs[[key for key in keys if key in self.runs.columns]], on="run", validate="m:1")

    def comparisons(self, says: str = "higher") -> dict[tuple[str, str, str, tuple[int, ...]], JudgedComparison]:
        """(treatment, baseline, metric, ratios) -> what the verdicts found; one that several rest on comes once."""
        return {
            (c.claim.treatment, c.claim.baseline, c.metric, c.ratios): judged
            for v in self.verdicts
            for judged in v.comparisons
            if (c := judged.compared).claim.says == says
        }

    @cached_property
    def missing(self) -> list[Missing]:
        """The registered runs that are not in `runs`, by grid and ratio; grids that are whole have 0 missing."""
        found = []
        for grid in self.registration.grids:
            runs = self.registration.runs(grid)
            for ratio in sorted({int(run["neg_ratio"]) for run in runs}):
                wanted = [run for run in runs if run["neg_ratio"] == ratio]
                lacking = [run for run in wanted if not self._has(run)]
                seeds = tuple(sorted({int(run["seed"]) for run in lacking}))
                found.append(Missing(grid, ratio, len(wanted), len(lacking), seeds))
        return found

    @property
    def finished(self) -> tuple[int, int]:
        """How many registered runs are finished, and how many there are; one in several grids counts once."""
        runs = [run for grid in self.registration.grids for run in self.registration.runs(grid)]
        distinct = list({tuple(sorted(run.items(), key=str)): run for run in runs}.values())
        return sum(map(self._has, distinct)), len(distinct)

    def _has(self, run: dict[str, Value]) -> bool:
        ratio = int(run["neg_ratio"])
        return any(in_arm(row, run, ratio) for row in self._rows.get((ratio, int(run["seed"])), []))

    @cached_property
    def _rows(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        rows: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in self.runs.to_dict("records"):
            rows.setdefault((int(row["neg_ratio"]), int(row["seed"])), []).append({str(k): v for k, v in row.items()})
        return rows


def copy(folder: Path, to: Path) -> None:
    """The tables of the report in `folder`, as they are, into the empty folder `to`. Raises DataError as `load`."""
    for file in own_tables(folder):
        with open_regular(folder / file, _LARGEST, DataError) as content:
            (to / file).write_bytes(content.read())


def own_tables(folder: Path) -> list[str]:
    """The names of the tables of the report in `folder`: those that its manifest lists, or all if it has none."""
    listed = written(folder) if (folder / MANIFEST).exists() else None
    return [file for file in TABLES if (folder / file).exists() and (listed is None or file in listed)]


def load(folder: Path, registration: Registration) -> Study:
    """The study whose tables lie in `folder`.

    Raises:
        DataError: there is no `results.csv`, it or a companion is not a table or too large for one, it lacks a column
            or a value, or a report was killed while it replaced the tables.
    """
    refuse_unfinished(folder)
    own = own_tables(folder)
    runs = read_table(folder / RESULTS) if RESULTS in own else pd.DataFrame()
    if runs.empty:
        raise DataError(f"{folder / RESULTS}: expected a row for each finished run, found none")
    refuse_incomplete(runs, folder / RESULTS, ["run", *_WHOLE])
    if FOLD in runs.columns:
        raise DataError(f"{folder / RESULTS}: expected runs of one split, found several folds, which nothing registers")
    companions = {
        name: read_table(folder / file) if file in own else pd.DataFrame() for name, file in COMPANIONS.items()
    }
    for name, columns in _COLUMNS.items():
        if not companions[name].empty:
            refuse_incomplete(companions[name], folder / COMPANIONS[name], columns)
    return Study(registration, runs, facts(folder / PROTOCOL) if PROTOCOL in own else {}, companions)


def facts(path: Path) -> dict[str, Any]:
    """What is in `protocol.json`. Raises DataError if it is not what a report wrote."""
    found = read_json(path, DataError, 2**20)
    kinds = {"settings": dict, "versions": dict, "machine": str}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise DataError(f"{path}: expected the keys {', '.join(kinds)}, as a report writes them")
    return found


def of_arm(table: pd.DataFrame, arm: Selector, ratio: int) -> pd.DataFrame:
    """The rows of a table, with the columns of `runs` in it, that belong to an arm at a ratio."""
    if not set(arm) <= set(table.columns):
        return table[:0]
    rows = table[table["neg_ratio"] == ratio]
    choices = rows[list(arm)].drop_duplicates()
    own = [in_arm(choice, arm, ratio) for choice in choices.to_dict("records")]
    return rows.merge(choices[np.array(own, dtype=bool)])


def read_table(path: Path) -> pd.DataFrame:
    """A table that a report wrote, plain or gzipped.

    Raises:
        DataError: it is no regular file, no table, or unpacks into more than any report needs.
    """
    text = _unpacked(path)
    lines = text.split("\n")
    if (
        max(map(len, lines)) > _LONGEST_LINE
        or lines[0].count(",") >= MOST_COLUMNS
        or len(lines) + text.count(",") > MOST_CELLS
    ):
        raise DataError(f"{path}: expected a table that a report wrote, found one of too many cells")
    try:
        return pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(_NAMES, str))
    except (ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected a table that a report wrote, found none ({reason})") from None


def _unpacked(path: Path) -> str:
    try:
        with open_regular(path, _LARGEST, DataError) as file:
            content = gzip.GzipFile(fileobj=file).read(_LARGEST + 1) if path.suffix == ".gz" else file.read(_LARGEST)
        if len(content) > _LARGEST:
            raise DataError(f"{path}: expected at most {_LARGEST / 2**20:.0f} MiB, unpacks into more")
        return content.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a table that a report wrote, found none ({error})") from None


def refuse_incomplete(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    """Raise DataError if a table lacks one of `columns`, or a ratio or seed is no whole number or a run has no name."""
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise DataError(f"{path}: expected the columns {', '.join(columns)}, found no {', '.join(absent)}")
    for column in columns:
        values = table[column]
        if column in (*_WHOLE, FOLD):
            numbers = pd.to_numeric(values, errors="coerce")
            bad = ~(numbers.between(0, 2**63) & (numbers == np.floor(numbers)))
        else:
            bad = values.isna()
        if bad.any():
            found = str(values[bad.idxmax()])[:40]
            raise DataError(f"{path}, line {bad.idxmax() + 2}: expected a {column}, found {found!r}")
