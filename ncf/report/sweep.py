"""A sweep that nobody registered, compared within itself: its arms are what differs among the runs, seed apart.

Settings that belong together, such as a loss and its weights, are one factor. Each arm is compared with the arm that
differs from it in one factor alone and has that factor's baseline there; one without such a neighbour is compared with
the arm that is the baseline in every factor. Pairs are runs of one seed; Holm's correction is taken over the
comparisons of a metric. Nothing here was fixed before the runs, so every finding is exploratory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core.compose import compose
from ncf.core.config import flatten, plain
from ncf.core.outside import read_json_lines
from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError, DataError
from ncf.report.collect import one_of_each, write_table
from ncf.report.kit.naming import level_name, setting_text
from ncf.report.study import COMPANIONS, RESULTS, own_tables, read_table, refuse_incomplete, refuse_unfinished
from ncf.runs import artifacts
from ncf.runs.tables import NAMES, finished_runs, read_runs
from ncf.stats import StatisticsError
from ncf.stats.checks import rounded_difference
from ncf.stats.effects import relative_change
from ncf.stats.equivalence import equivalence
from ncf.stats.findings import FINDINGS, Finding, findings
from ncf.stats.intervals import Interval, bootstrap
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon
from ncf.study.verdict import LEAST_PAIRS

ALPHA, LEVEL, RESAMPLES = 0.05, 0.95, 9999
MOST_ARMS = 200  # more say that something other than a design differs among the runs

_RESULTS = (
    "best_epoch", "epochs", "train_seconds", "valid_seconds", "device", "config_hash", "data_digest", "registration",
    "commit", "ncf",
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seed alone; `levels` has the setting of each factor, as a tuple of its columns."""

    label: str
    levels: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Contrast:
    """An arm against its baseline in one metric, over the seeds that both have.

    Attributes:
        change: relative change of the mean with its interval; None if no test is possible.
        direction: sign of the Wilcoxon statistic, which says in what direction a small p shows a difference.
        p: exact two-sided Wilcoxon p, and its correction over the comparisons of the metric in `corrected`.
        p_equivalent: TOST p against the margin, corrected likewise.
        obstacle: why no test is possible; None if one is.
    """

    treatment: str
    baseline: str
    metric: str
    seeds: int
    treatment_mean: float
    baseline_mean: float
    change: Interval | None = None
    direction: int = 0
    p: float = 1.0
    corrected: float = 1.0
    p_equivalent: float = 1.0
    finding: Finding = "undecided"
    obstacle: str | None = None


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep and their epochs.

    Attributes:
        runs: as `ncf.runs.tables.read_runs`.
        curves: a row a run and epoch: run, epoch, validation metrics, train_loss; may be empty.
        margin: smallest relative change of interest.
        chosen: column -> value of the baseline, in words, where the user chose it.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    margin: float
    chosen: Mapping[str, str]

    @property
    def metrics(self) -> list[str]:
        """The test metrics; where one must do, the first: NDCG@10 if it is there."""
        names = [column for column in self.runs.columns if column.startswith("test/") and column != "test/tied"]
        return sorted(names, key=lambda name: name != "test/ndcg@10")

    @property
    def monitored(self) -> str | None:
        """The metric of `curves` that is shown: the primary one if it is there."""
        primary = self.metrics[0].removeprefix("test/")
        others = [column for column in self.curves.columns if "@" in column or column == "mrr"]
        return next(iter([name for name in (primary,) if name in self.curves] + others), None)

    @cached_property
    def factors(self) -> dict[str, list[str]]:
        """Factor -> its columns of `runs` that differ."""
        settings = [c for c in self.runs.columns if c not in ("run", "seed", *_RESULTS) and not _is_metric(c)]
        differing = [c for c in settings if len(_levels(self.runs[c])) > 1]
        named = {c.partition(".")[0] for c in differing if c.endswith(".name")} | {"model"}
        factors: dict[str, list[str]] = {}
        for column in differing:
            group = column.partition(".")[0]
            own_of_loss = "." not in column and column not in ("model", "neg_ratio")
            factors.setdefault("loss" if own_of_loss else group if group in named else column, []).append(column)
        return factors

    @cached_property
    def of_run(self) -> list[tuple[tuple[Any, ...], ...]]:
        """The levels of each run."""
        rows = self.runs.to_dict("records")
        return [tuple(tuple(_plain(row[c]) for c in columns) for columns in self.factors.values()) for row in rows]

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms, the baseline of all first. Raises DataError if there are too many to be a design."""
        found = list(dict.fromkeys(self.of_run))
        if len(found) > MOST_ARMS:
            differing = ", ".join(list(self.factors)[:8])
            raise DataError(
                f"sweep: expected at most {MOST_ARMS} arms, found {len(found)}, which differ in {differing}"
            )
        best = self.baseline_levels
        distance = {arm: [level != b for level, b in zip(arm, best, strict=True)] for arm in found}
        ordered = sorted(found, key=lambda arm: (sum(distance[arm]), distance[arm], _ordered(arm)))
        return [Arm(self._label(levels), levels) for levels in ordered]

    @cached_property
    def baseline_levels(self) -> tuple[tuple[Any, ...], ...]:
        """Each factor's baseline: what the user chose, else the package's default, else what most runs have."""
        choices = []
        defaults = _defaults() if self.factors else {}
        for place, columns in enumerate(self.factors.values()):
            levels = sorted({run[place] for run in self.of_run}, key=_ordered)
            matches = [level for level in levels if self._chosen(columns, level)]
            standard = [level for level in matches if level[0] == defaults.get(columns[0], _NONE)]
            counts = {level: sum(run[place] == level for run in self.of_run) for level in matches}
            choices.append(max(standard or matches, key=lambda level: counts[level]))
        return tuple(choices)

    def _chosen(self, columns: Sequence[str], level: tuple[Any, ...]) -> bool:
        return all(
            setting_text(value) == self.chosen[c] for c, value in zip(columns, level, strict=True) if c in self.chosen
        )

    def _label(self, levels: tuple[tuple[Any, ...], ...]) -> str:
        parts = [level_name(columns, level) for columns, level in zip(self.factors.values(), levels, strict=True)]
        return ", ".join(filter(None, parts)) or "all runs"

    @cached_property
    def _rows(self) -> dict[tuple[tuple[Any, ...], ...], pd.DataFrame]:
        places: dict[tuple[tuple[Any, ...], ...], list[int]] = {}
        for row, levels in enumerate(self.of_run):
            places.setdefault(levels, []).append(row)
        return {levels: self.runs.iloc[rows] for levels, rows in places.items()}

    def rows(self, arm: Arm) -> pd.DataFrame:
        """The runs of an arm, one a seed: of several, the first."""
        return self._rows[arm.levels].drop_duplicates("seed")

    def values(self, arm: Arm, metric: str) -> pd.Series:
        """A metric of an arm's runs by seed, ascending."""
        return self.rows(arm).set_index("seed")[metric].astype(float).sort_index()

    @cached_property
    def pairs(self) -> list[tuple[Arm, Arm]]:
        """(treatment, baseline) of every comparison; see the module's docstring."""
        by_levels, base = {arm.levels: arm for arm in self.arms}, self.baseline_levels
        found = []
        for arm in self.arms[1:]:
            neighbours = [
                by_levels[other]
                for n, level in enumerate(arm.levels)
                if level != base[n] and (other := (*arm.levels[:n], base[n], *arm.levels[n + 1 :])) in by_levels
            ]
            found += [(arm, other) for other in neighbours or self.arms[:1]]
        return found

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Every comparison in every metric, metric by metric."""
        bar = tqdm(total=len(self.pairs) * len(self.metrics), desc="comparisons", unit="", delay=2, leave=False)
        found: list[Contrast] = []
        with bar:
            for metric in self.metrics:
                family = [self._compared(*pair, metric, bar.update) for pair in self.pairs]
                found += _judged(family)
        return found

    def _compared(self, treatment: Arm, baseline: Arm, metric: str, done: Callable[[], object]) -> Contrast:
        table = pd.concat([self.values(arm, metric) for arm in (treatment, baseline)], axis=1).dropna().to_numpy()
        done()
        means = table.mean(0) if len(table) else np.full(2, np.nan)
        plain_one = Contrast(treatment.label, baseline.label, metric, len(table), float(means[0]), float(means[1]))
        if len(table) < LEAST_PAIRS:
            return replace(plain_one, obstacle=f"{len(table)} common seeds, at least {LEAST_PAIRS} are needed")
        t, b = table.T
        if not rounded_difference(t, b).any():
            same = Interval(0.0, 0.0, 0.0, LEVEL, "none", f"all {len(table)} differences are zero")
            return replace(plain_one, p_equivalent=0.0, change=same)
        try:
            rng = numpy_generator(0, f"sweep/{treatment.label}/{baseline.label}/{metric}")
            test = wilcoxon(t, b)
            return replace(
                plain_one, p=test.p, direction=test.direction, p_equivalent=equivalence(t, b, self.margin).p,
                change=bootstrap(relative_change, t, b, level=LEVEL, resamples=RESAMPLES, rng=rng),
            )  # fmt: skip
        except StatisticsError as error:
            return replace(plain_one, obstacle=str(error))


_NONE = object()


def collect(sweeps: Sequence[Path], output: Path) -> None:
    """Write `results.csv` and the learning curves of every finished run in `sweeps` to the empty folder `output`.

    Raises:
        DataError: as `ncf.runs.tables.read_runs`; or a run's epochs cannot be read.
    """
    folders = one_of_each(finished_runs(sweeps))
    write_table(read_runs(folders), output / RESULTS, None)
    bar = tqdm(folders, desc="epochs", unit=" runs", delay=2, leave=False)
    kept = [folder for folder in bar if (folder / artifacts.EPOCHS).exists()]
    lines = [_epoch(folder, line) for folder in kept for line in read_json_lines(folder / artifacts.EPOCHS, DataError)]
    if lines:
        write_table(pd.DataFrame(lines), output / COMPANIONS["curves"], "%.6g")


def _epoch(folder: Path, line: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in line.items() if k in ("epoch", "train_loss") or "@" in k or _is_metric(f"valid/{k}", True)}
    if not all(isinstance(value, int | float) for value in kept.values()) or "epoch" not in kept:
        raise DataError(f"{folder / artifacts.EPOCHS}: expected numbers and an epoch in each line")
    return {"run": folder.name, **kept}


def load(folder: Path, margin: float, baseline: str | None) -> Sweep:
    """The sweep whose tables lie in `folder`.

    Raises:
        DataError: there is no `results.csv`, it is no table of runs, or a metric is not finite.
        ConfigError: `baseline` names a setting that does not differ, or a value that no run has.
    """
    refuse_unfinished(folder)
    own = own_tables(folder)
    runs = read_table(folder / RESULTS) if RESULTS in own else pd.DataFrame()
    if runs.empty:
        raise DataError(f"{folder / RESULTS}: expected a row for each finished run, found none")
    refuse_incomplete(runs, folder / RESULTS, [*NAMES[:3], "neg_ratio", "seed"])
    curves = read_table(folder / COMPANIONS["curves"]) if COMPANIONS["curves"] in own else pd.DataFrame()
    sweep = Sweep(runs, curves, margin, dict(_pair(text) for text in baseline.split(",")) if baseline else {})
    _refuse_unusable(sweep, folder / RESULTS)
    return sweep


def _refuse_unusable(sweep: Sweep, path: Path) -> None:
    if not sweep.metrics:
        raise DataError(f"{path}: expected a test metric, found none")
    for metric in sweep.metrics:
        bad = ~np.isfinite(pd.to_numeric(sweep.runs[metric], errors="coerce"))
        if bad.any():
            raise DataError(f"{path}, line {bad.idxmax() + 2}: expected a finite {metric}, found "
                            f"{str(sweep.runs[metric][bad.idxmax()])[:40]!r}")  # fmt: skip
    differing = {column: sweep.runs[column] for columns in sweep.factors.values() for column in columns}
    for column, value in sweep.chosen.items():
        if column not in differing:
            known = ", ".join(differing) or "nothing"
            raise ConfigError(f"--baseline: expected settings that differ among the runs ({known}), got {column!r}")
        values = sorted({setting_text(_plain(v)) for v in differing[column]})
        if value not in values:
            raise ConfigError(f"--baseline: expected {column} to be one of {', '.join(values)[:200]}, got {value!r}")


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.strip().partition("=")
    if not equals:
        raise ConfigError(f"--baseline: expected settings such as loss=bce,neg_ratio=4, got {text!r}")
    return ("loss" if column == "loss.name" else column), value


def _judged(family: list[Contrast]) -> list[Contrast]:
    """Correct the p of one metric's comparisons, and find what they say."""
    if not family:
        return []
    direction, p, equivalent = np.array([(c.direction, c.p, c.p_equivalent) for c in family]).T
    _, found = findings(direction, p, equivalent, ALPHA)
    return [
        replace(c, corrected=float(one), p_equivalent=float(other), finding=FINDINGS[finding])
        for c, one, other, finding in zip(family, holm(p), holm(equivalent), found, strict=True)
    ]


def _is_metric(column: str, of_epoch: bool = False) -> bool:
    part, _, name = column.partition("/")
    known = "@" in name or name in ("mrr", "auc") or (not of_epoch and name == "tied")
    return part in ("valid", "test") and known


def _levels(column: pd.Series) -> set[Any]:
    return {_plain(value) for value in column}


def _plain(value: Any) -> Any:
    """A cell that equals itself: None for what is empty."""
    return None if isinstance(value, float) and np.isnan(value) else value


def _ordered(level: tuple[Any, ...]) -> list[tuple[int, float, str]]:
    """A key that sorts numbers by size, and words after them."""
    return [_key(value) for value in level]


def _key(value: Any) -> tuple[int, float, str]:
    if isinstance(value, tuple):
        return (2, 0.0, str(_ordered(value)))
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _defaults() -> dict[str, Any]:
    """The package's default settings, by column."""
    try:
        settings = flatten(plain(compose([])))
    except ConfigError:
        return {}
    return settings | {"loss": settings.get("loss.name"), "model": settings.get("model.name")}
