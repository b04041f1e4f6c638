"""Finished runs side by side, as text: the settings that differ, the metrics, and tests against a baseline.

The baseline of a run has the settings of the first run and the run's own seed; if no run has such a baseline, it is the
first run. The tests are Wilcoxon's, paired by user, with Holm's correction over the runs, but not over the metrics.
Their sample is the users: they say whether these trained models differ, and nothing about how other seeds would turn
out. Folds of one division of the data are averaged, and not tested: they share their data, and replicate nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core.command_line import text_table, visible
from ncf.core.config import flatten
from ncf.errors import DataError
from ncf.report.kit.naming import level_name
from ncf.runs.artifacts import RANKS, RESULT, SERVICE, SIMULATION
from ncf.runs.identity import completed, identity
from ncf.runs.ranks_file import counted, evaluation_of, metrics_of, read_ranks
from ncf.runs.tables import FOLD
from ncf.stats import StatisticsError
from ncf.stats.multiplicity import holm
from ncf.stats.paired import Test, wilcoxon

_MOST_COLUMNS = 6  # runs side by side
_WIDEST = 110  # characters of their names side by side
_LONGEST, _LONGEST_NAME = 60, 32  # characters of a setting's value, of a run's name

_OVER_SEEDS = (
    "each test is of one seed's users, and says nothing of other seeds; over seeds: python -m ncf.report sweep=<folder>"
)
_MARK = " *"
_OPPOSED = "* the test shows the other direction: more users, by the ranks of their differences, lean against the mean"
_FOLDS = (
    "these are means over folds, which share their data and are no independent replications; over seeds: "
    "python -m ncf.report sweep=<folder>"
)

T = TypeVar("T")


@dataclass(frozen=True)
class ComparedRun:
    """A finished run: its folder, its result.json, and the settings that identify it.

    Attributes:
        folds: where it stands for runs on several folds: which; its metrics are their means, its folder the first's.
    """

    folder: Path
    result: dict[str, Any]
    folds: tuple[int, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The identifying settings, flat: {"loss.gamma": 2.0, ...}."""
        try:
            settings = identity(self.result["config"])
            return {key: value for key, value in settings.items() if not (self.folds and key == FOLD)}
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
        DataError: a result or ranks.csv is damaged, they contradict each other, or one is of a simulation or service.
    """
    for run in runs:
        if run.result.get("kind") == SIMULATION:
            raise DataError(
                f"{run.folder}: expected a run of ncf.train, found a simulation; python -m ncf.report sweep=<folder> "
                "compares agents"
            )
        if run.result.get("kind") == SERVICE:
            raise DataError(f"{run.folder}: expected a run of ncf.train, found a service; read its estimates.csv")
    runs = averaged(runs)
    differing = differences(runs)
    names = _names(differing, len(runs))
    more = f" and {len(runs[0].folds) - 1} further folds" if runs[0].folds else ""
    rows = [[name, f"{visible(run.folder)}{more}"] for name, run in zip(names, runs, strict=True)]
    sections = [text_table(["run", "folder"], rows)]
    if differing:
        rows = [[visible(key), *(visible(value)[:_LONGEST] for value in values)] for key, values in differing.items()]
        sections.append(_table("setting", names, rows))
    metrics = [m for m in runs[0].result[part] if all(m in run.result[part] for run in runs)]
    means = f"means over {len(runs[0].folds)} folds ({', '.join(map(str, runs[0].folds))})\n" if runs[0].folds else ""
    rows = [[visible(m), *(run.result[part][m] for run in runs)] for m in metrics]
    sections.append(f"{means}{_table(part, names, rows)}")
    if len(runs) > 1:
        sections.append(_tests(runs, part, metrics, names))
    return "\n\n".join(sections)


def averaged(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return `runs`; or, if they are on several folds of the data, one for the folds of each, with their means.

    Raises:
        DataError: one lacks a fold that another has.
    """
    own = [(run.settings.get(FOLD) if run.settings.get("split.folds") else None) for run in runs]
    folds = tuple(sorted({fold for fold in own if fold is not None}))
    if len(folds) < 2:
        return list(runs)
    groups: dict[str, dict[int | None, ComparedRun]] = {}
    for run, fold in zip(runs, own, strict=True):
        rest = {key: value for key, value in run.settings.items() if key != FOLD}
        groups.setdefault(json.dumps(rest, sort_keys=True), {}).setdefault(fold, run)
    for group in groups.values():
        if missing := [str(fold) for fold in folds if fold not in group]:
            have = next(iter(group.values())).folder
            raise DataError(
                f"{have}: expected runs like it on the folds {', '.join(map(str, folds))}, since their means are "
                f"compared; missing are {', '.join(missing)}; the sweep's own command runs what is missing"
            )
    return [_mean([group[fold] for fold in folds], folds) for group in groups.values()]


def _mean(runs: Sequence[ComparedRun], folds: tuple[int, ...]) -> ComparedRun:
    """Return one run that stands for those on `folds`, each of which counts alike."""
    parts = {
        part: {m: float(np.mean([run.result[part][m] for run in runs])) for m in runs[0].result[part]
               if all(m in run.result[part] for run in runs)}
        for part in ("valid", "test")
    }  # fmt: skip
    return replace(runs[0], result={**runs[0].result, **parts}, folds=folds)


def _names(differing: Mapping[str, Sequence[object]], count: int) -> list[str]:
    """Name each run by its number and what varies: "2 focal (seed 43)", without settings fixed by another's value."""
    shown = [key for key, row in differing.items() if key.endswith(".name") or len(_values(row)) > 1]
    names = []
    for n in range(count):
        level = [None if (value := differing[key][n]) == "-" else value for key in shown]
        name = visible(f"{n + 1} {level_name(shown, level)}").strip()
        names.append(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}...")
    return names


def _values(row: Sequence[object]) -> set[str]:
    return {repr(value) for value in row if value != "-"}


def _table(corner: str, names: Sequence[str], rows: list[list[Any]]) -> str:
    """Format rows that have a value a run: runs are columns, or, if they are many, lines."""
    if len(names) <= _MOST_COLUMNS and sum(map(len, names)) <= _WIDEST:
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
    """Return the table of differences from each run's baseline with corrected p, or say why there is none."""
    if runs[0].folds:
        return f"no paired test: {_FOLDS}"
    missing = [run.folder for run in runs if not (run.folder / RANKS).exists()]
    if missing:
        return f"no paired test: {visible(missing[0])}: found no {RANKS}"
    values = [per_user(run, part) for run in bar(runs, "ranks")]
    if (obstacle := unpaired(runs, values)) is not None:
        return f"no paired test: {visible(obstacle)}"
    means = [frame.drop(columns="item_id").groupby(level=0, sort=False).mean() for frame in values]
    pairs, own_seed = _pairs(runs)
    rows = []
    for metric in (m for m in metrics if m in means[0]):  # not those of ratings, which ranks do not tell
        of = [(means[run][metric].to_numpy(), means[baseline][metric].to_numpy()) for run, baseline in pairs]
        tests = [_test(own, baseline) for own, baseline in of]
        corrected = holm(np.array([test.p for test in tests]))
        rows.append([visible(metric), *map(_cell, of, tests, corrected)])
    several = any(baseline for _, baseline in pairs)
    against = "the run of the same seed with the settings of 1" if several else "1"
    over = f"{len(pairs)} run{'s' if len(pairs) > 1 else ''}"
    head = (
        f"difference from {against} over {len(means[0])} users (Wilcoxon p, Holm over {over}; "
        f"not corrected over metrics)"
    )
    shown = [f"{names[run]} vs {names[baseline].split()[0]}" if several else names[run] for run, baseline in pairs]
    opposed = [_OPPOSED] * any(str(cell).endswith(_MARK) for row in rows for cell in row)
    return "\n".join([head, _table(part, shown, rows), *opposed, *_cautions(runs, pairs, own_seed)])


def _pairs(runs: Sequence[ComparedRun]) -> tuple[list[tuple[int, int]], bool]:
    """Return (run, baseline), by their places, of every test, and whether the two of each pair share a seed.

    A run's baseline has the settings of the first run and the run's seed. Where no run has one but itself, each is
    compared with the first, whatever its seed.
    """
    seeds = [run.settings.get("seed") for run in runs]
    rest = [{key: value for key, value in run.settings.items() if key != "seed"} for run in runs]
    if len(set(seeds)) > 1:
        baselines = {seeds[n]: n for n in reversed(range(len(runs))) if rest[n] == rest[0]}
        found = [(n, baselines[seed]) for n, seed in enumerate(seeds) if baselines.get(seed, n) != n]
        if found:
            return found, True
    return [(n, 0) for n in range(1, len(runs))], len(set(seeds)) == 1


def _cautions(runs: Sequence[ComparedRun], pairs: Sequence[tuple[int, int]], own_seed: bool) -> list[str]:
    """Return what the tests do not say, where the runs have several seeds."""
    if len({run.settings.get("seed") for run in runs}) == 1:
        return []
    if not own_seed:
        return [
            "the seeds differ too: users are paired, seeds are not, so a difference need not be one of the settings"
        ]
    sides = {place for pair in pairs for place in pair}
    alone = [str(n + 1) for n in range(len(runs)) if n not in sides]
    return [
        *([f"in no test, for want of a counterpart of the same seed: {', '.join(alone)}"] if alone else []),
        _OVER_SEEDS,
    ]


def _test(treatment: np.ndarray, baseline: np.ndarray) -> Test:
    try:
        return wilcoxon(treatment, baseline)
    except StatisticsError:  # no two users differ
        return Test(0.0, 1.0, 0, "none")


def _cell(values: tuple[np.ndarray, np.ndarray], test: Test, p: float) -> str:
    """Format a mean difference with its p, marked where what the test shows is the other direction."""
    difference = float(values[0].mean() - values[1].mean())
    return f"{difference:+.4f} (p {p:.3g})" + _MARK * (difference * test.direction < 0)


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
