"""A sweep that nobody registered, compared within itself: its arms are what differs among the runs, seed apart.

Each arm is compared with the arm that differs from it in one factor alone and has that factor's baseline there, so each
factor is compared within each combination of the others; see `ncf.report.arms`. If the user names the baseline of some
factors, those alone are compared. Otherwise an arm without such a neighbour is compared with the arm that is the
baseline in every factor. Pairs are runs of one seed, or means over its folds: those share their data, and replicate
nothing. Holm's correction is taken over the comparisons of a metric.
Nothing here was fixed before the runs, so every finding is exploratory.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core.rng import numpy_generator
from ncf.errors import ConfigError, DataError
from ncf.evaluation.metrics import METRICS
from ncf.report.arms import Arm, Design, Factor
from ncf.report.study import (
    COMPANIONS,
    PROTOCOL,
    RESULTS,
    UNFINISHED,
    facts,
    own_tables,
    read_table,
    refuse_incomplete,
    refuse_unfinished,
)
from ncf.report.sweep_collect import about, counted, test_metrics
from ncf.report.unfinished import COLUMNS, notes
from ncf.runs.tables import FOLD, NAMES, refuse_not_finite
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
        lacking: the runs that are not in `runs`, or lack a part; see `ncf.report.unfinished`.
        facts: what `collect` knew of the runs: sweep and finished (words), settings; may be empty.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    margin: float
    chosen: Mapping[str, str]
    lacking: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The sweep's folder, if it is known, and how much there is in it."""
        size = f"{counted(len(self.runs), 'run')}, {counted(len(self.arms), 'arm')}"
        return f"{self.facts['sweep']}: {size}" if self.facts.get("sweep") else size

    @property
    def about(self) -> str:
        """Data, models, epochs and date of the runs, as far as they are known: a line."""
        return about(self.runs, self.facts)

    @property
    def notes(self) -> list[str]:
        """What there is to say of `lacking`, a sentence a state."""
        return notes(self.lacking, len(self.runs))

    @property
    def metrics(self) -> list[str]:
        """The test metrics; where one must do, the first: NDCG@10 if it is there."""
        return test_metrics(self.runs)

    @property
    def monitored(self) -> str | None:
        """The metric of `curves` that is shown: the primary one if it is there."""
        primary = self.metrics[0].removeprefix("test/")
        others = [column for column in self.curves.columns if column in METRICS or "@" in column]
        return next(iter([name for name in (primary,) if name in self.curves] + others), None)

    @cached_property
    def design(self) -> Design:
        """Factors, arms and baselines."""
        return Design(self.runs, self.chosen)

    @property
    def compared(self) -> list[Factor]:
        """The factors whose levels are compared."""
        return [f for f, compared in zip(self.design.factors, self.design.compared, strict=True) if compared]

    @property
    def baselines(self) -> list[str]:
        """The baseline of each compared factor: "BCE for loss"."""
        own = zip(self.design.factors, self.design.baselines, self.design.compared, strict=True)
        return [f"{factor.label(level)} for {factor.name}" for factor, level, compared in own if compared]

    @property
    def others(self) -> list[str]:
        """The names of the factors whose levels are not compared."""
        return [factor.name for factor in self.design.factors if factor not in self.compared]

    @property
    def constants(self) -> list[str]:
        """What the labels of the arms leave out, as `Factor.constants`."""
        return [words for factor in self.design.factors for words in factor.constants]

    @property
    def arms(self) -> list[Arm]:
        """The arms, the nearer to the baselines the earlier. Raises as `Design`."""
        return self.design.arms

    @cached_property
    def _rows(self) -> dict[tuple[tuple[Any, ...], ...], pd.DataFrame]:
        places: dict[tuple[tuple[Any, ...], ...], list[int]] = {}
        for row, levels in enumerate(self.design.of_run):
            places.setdefault(levels, []).append(row)
        return {levels: self.runs.iloc[rows] for levels, rows in places.items()}

    @property
    def folds(self) -> list[int]:
        """The folds that a seed's values are means over; empty if the runs share one split."""
        return sorted(map(int, self.runs[FOLD].unique())) if FOLD in self.runs else []

    def rows(self, arm: Arm) -> pd.DataFrame:
        """The runs of an arm, one a seed and fold: of several, the first."""
        return self._rows[arm.levels].drop_duplicates(["seed", FOLD] if self.folds else "seed")

    def values(self, arm: Arm, metric: str) -> pd.Series:
        """A metric of an arm by seed, ascending: of one run, or the mean over the folds, each of which counts alike."""
        values = self.rows(arm).set_index("seed")[metric].astype(float).sort_index()
        return values.groupby(level=0).mean() if self.folds else values

    @property
    def missing_folds(self) -> list[str]:
        """What the means over folds lack: "fold 2 of mf, seed 42"."""
        own = [(arm, seed, set(rows[FOLD])) for arm in self.arms if self.folds
               for seed, rows in self.rows(arm).groupby("seed")]  # fmt: skip
        return [f"fold {fold} of {arm.label}, seed {seed}" for arm, seed, has in own for fold in self.folds
                if fold not in has]  # fmt: skip

    @cached_property
    def pairs(self) -> list[tuple[Arm, Arm]]:
        """(treatment, baseline) of every comparison, as the module says. Raises ConfigError if a choice leaves none."""
        whole = all(self.design.compared)
        found = [
            (arm, other) for arm in self.arms for other in self._neighbours(arm) or (self.arms[:1] if whole else [])
            if other != arm
        ]  # fmt: skip
        if not found and not whole:
            arms = "; ".join(arm.label for arm in self.arms)
            raise ConfigError(
                f"--baseline: expected arms that differ in {self.compared[0].name} alone, or a baseline for every "
                f"factor; found only {arms[:300]}"
            )
        return found

    def _neighbours(self, arm: Arm) -> list[Arm]:
        """The arms that differ from `arm` in one compared factor alone, and have that factor's baseline."""
        by_levels, design = {own.levels: own for own in self.arms}, self.design
        places = [n for n, level in enumerate(arm.levels) if design.compared[n] and level != design.baselines[n]]
        others = [(*arm.levels[:n], design.baselines[n], *arm.levels[n + 1 :]) for n in places]
        return [by_levels[levels] for levels in others if levels in by_levels]

    @cached_property
    def confounded(self) -> list[str]:
        """The arms that are compared with one that differs in several factors, by label."""
        return [
            arm.label for arm, other in self.pairs
            if sum(a != b for a, b in zip(arm.levels, other.levels, strict=True)) > 1
        ]  # fmt: skip

    @cached_property
    def left_out(self) -> list[str]:
        """The arms that are in no comparison, by label."""
        compared = {arm for pair in self.pairs for arm in pair}
        return [arm.label for arm in self.arms if arm not in compared]

    @property
    def seeds_needed(self) -> int:
        """Common seeds from which on one comparison can be better or worse after Holm: m 2^(1 - n) <= alpha."""
        return math.ceil(1 + math.log2(len(self.pairs) / ALPHA))

    @property
    def common_seeds(self) -> list[int]:
        """How many seeds the arms of each comparison have in common."""
        return [contrast.seeds for contrast in self.contrasts[: len(self.pairs)]]

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
            return replace(plain_one, obstacle=f"{len(table)} of the {LEAST_PAIRS} common seeds that a test needs")
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


def load(folder: Path, margin: float, baseline: str | None) -> Sweep:
    """The sweep whose tables lie in `folder`.

    Raises:
        DataError: there is no `results.csv`, it is no table of runs, or a metric is not finite.
        ConfigError: `baseline` names what does not differ, no level, several levels, or leaves nothing to compare.
    """
    refuse_unfinished(folder)
    own = own_tables(folder)
    runs = read_table(folder / RESULTS) if RESULTS in own else pd.DataFrame()
    if runs.empty:
        raise DataError(f"{folder / RESULTS}: expected a row for each finished run, found none")
    refuse_incomplete(runs, folder / RESULTS, [*NAMES[:3], "neg_ratio", "seed", *runs.columns.intersection([FOLD])])
    curves = read_table(folder / COMPANIONS["curves"]) if COMPANIONS["curves"] in own else pd.DataFrame()
    lacking = read_table(folder / UNFINISHED) if UNFINISHED in own else pd.DataFrame(columns=COLUMNS)
    refuse_incomplete(lacking, folder / UNFINISHED, COLUMNS)
    known = facts(folder / PROTOCOL) if PROTOCOL in own else {}
    sweep = Sweep(runs, curves, margin, _chosen(baseline) if baseline else {}, lacking, known)
    _refuse_unusable(sweep, folder / RESULTS)
    return sweep


def _refuse_unusable(sweep: Sweep, path: Path) -> None:
    if not sweep.metrics:
        raise DataError(f"{path}: expected a test metric, found none")
    refuse_not_finite(sweep.runs, sweep.metrics, lambda row: f"{path}, line {row + 2}")
    if missing := sweep.missing_folds:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"sweep: expected the folds {', '.join(map(str, sweep.folds))} of each arm and seed, since their mean is "
            f"compared; missing are {'; '.join(missing[:5])}{more}; the sweep's own command runs what is missing"
        )
    _refuse_unknown(sweep)
    _ = sweep.pairs


def _refuse_unknown(sweep: Sweep) -> None:
    """Raise ConfigError for a baseline that names a setting which does not differ among the runs."""
    known = [column for factor in sweep.design.factors for column in factor.columns]
    for column in sweep.chosen:
        if column not in known:
            raise ConfigError(
                f"--baseline: expected settings that differ among the runs ({', '.join(known) or 'none does'}), "
                f"got {column!r}"
            )


def _chosen(text: str) -> dict[str, str]:
    """Column -> value of a baseline as it is typed. Raises ConfigError for what is none."""
    chosen: dict[str, str] = {}
    for pair in re.split(r",(?=\s*[\w.]+=)", text):  # a value may have commas: model.hidden=[64, 32]
        name, equals, value = pair.strip().partition("=")
        if not equals:
            raise ConfigError(f"--baseline: expected settings such as loss=bce,neg_ratio=4, got {pair!r}")
        column = "model" if name == "model.name" else "loss" if name == "loss.name" else name.removeprefix("loss.")
        if column in chosen:
            raise ConfigError(f"--baseline: expected each setting once, got {name} twice")
        chosen[column] = value
    return chosen


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
