"""The design that a table of runs shows: factors, their levels, the arms that combine them, and which is the baseline.

A factor is what varies on its own. A setting that only some components have (gamma, which BCE lacks), or
that each has in values of its own (the rates of Adam and of SGD), is nested in the component and belongs to its factor;
one that varies alike in all of them is crossed with them, and a factor itself. Settings that always change together
cannot be told apart, and are one factor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from ncf.errors import ConfigError, DataError
from ncf.evaluation.metrics import METRICS
from ncf.evaluation.ratings import ERRORS
from ncf.report.defaults import default, place
from ncf.report.kit.naming import level_name, setting_text
from ncf.runs.tables import FOLD

MOST_ARMS = 200  # more say that something other than a design differs among the runs

Level = tuple[Any, ...]

_RESULTS = (
    "best_epoch", "epochs", "train_seconds", "valid_seconds", "device", "config_hash", "data_digest", "registration",
    "commit", "ncf", FOLD,
)  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """What varies on its own among the runs.

    Attributes:
        groups: the columns that vary together: a component's name, then the settings nested in it; or one setting.
        levels: the values of all these columns in some run, numbers by size, then words.
    """

    groups: tuple[tuple[str, ...], ...]
    levels: tuple[Level, ...]

    @property
    def name(self) -> str:
        """Its first columns: "loss", "optimizer.lr", "neg_ratio with trainer.batch_size"."""
        return " with ".join(columns[0].removesuffix(".name") for columns in self.groups)

    @property
    def columns(self) -> list[str]:
        """All its columns, in the order of a level's values."""
        return [column for columns in self.groups for column in columns]

    def label(self, level: Level) -> str:
        """The level in words, without nested settings that do not vary: "focal", "focal (γ 2)", "1:4"."""
        return self._labels[level]

    @cached_property
    def _labels(self) -> dict[Level, str]:
        short = {level: self._words(level) for level in self.levels}
        return short if len(set(short.values())) == len(short) else {level: self.typed(level) for level in self.levels}

    def _words(self, level: Level) -> str:
        values, parts = self._values(level), []
        for head, *nested in self.groups:
            kept = [head, *(c for c in nested if self._varies(head, c, values[head]))]
            parts.append(level_name(kept, [values[c] for c in kept]) or f"{head.rpartition('.')[2]} none")
        return ", ".join(parts)

    def typed(self, level: Level) -> str:
        """The level as it is typed for a baseline: "loss=focal,gamma=2"."""
        return ",".join(f"{c}={setting_text(v)}" for c, v in self._values(level).items() if v is not None)

    @property
    def constants(self) -> list[str]:
        """What labels leave out: "mlp has hidden [128, 64, 32]", for each component whose nested settings are fixed."""
        found: dict[str, None] = {}
        for values in map(self._values, self.levels):
            for head, *nested in self.groups:
                fixed = [c for c in nested if values[c] is not None and not self._varies(head, c, values[head])]
                if fixed:
                    name, settings = level_name([head], [values[head]]), level_name(fixed, [values[c] for c in fixed])
                    found[f"{name} has {settings}"] = None
        return list(found)

    def _varies(self, head: str, column: str, name: Any) -> bool:
        """Whether a nested setting differs among the levels of the component `name`."""
        return len({own[column] for own in map(self._values, self.levels) if own[head] == name}) > 1

    def _values(self, level: Level) -> dict[str, Any]:
        return dict(zip(self.columns, level, strict=True))


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seed alone; `levels` has the level of each factor."""

    label: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Design:
    """The factors of a table of runs, and the baseline of each.

    Attributes:
        runs: as `ncf.runs.tables.read_runs`.
        chosen: column -> value of the baseline, in words, where the user chose it.
    """

    runs: pd.DataFrame
    chosen: Mapping[str, str]

    @cached_property
    def factors(self) -> list[Factor]:
        """The factors, in the order of their columns."""
        settings = [c for c in self.runs.columns if c not in ("run", "seed", *_RESULTS) and not is_metric(c)]
        values = {c: [_plain(value) for value in self.runs[c]] for c in settings}
        values = {c: own for c, own in values.items() if len(set(own)) > 1}
        groups: dict[str, list[str]] = {}
        for column in values:
            head = _head(column)
            nested = head in values and not _crossed(values[column], values[head])
            groups.setdefault(head if nested else column, []).append(column)
        together: dict[tuple[int, ...], list[tuple[str, ...]]] = {}
        for head, columns in groups.items():
            ordered = tuple(sorted(columns, key=lambda c: c != head))
            places = _places(list(zip(*(values[c] for c in ordered), strict=True)))
            together.setdefault(places, []).append(ordered)
        return [_factor(columns, values) for columns in together.values()]

    @cached_property
    def of_run(self) -> list[tuple[Level, ...]]:
        """The levels of each run."""
        own = [
            list(zip(*([_plain(v) for v in self.runs[c]] for c in factor.columns), strict=True))
            for factor in self.factors
        ]
        return list(zip(*own, strict=True)) if own else [()] * len(self.runs)

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms, the nearer to the baselines the earlier. Raises DataError if there are too many to be a design."""
        return [Arm(self._label(levels), levels) for levels in self._nearest(self.baselines)]

    def _nearest(self, baselines: Sequence[Level]) -> list[tuple[Level, ...]]:
        found = list(dict.fromkeys(self.of_run))
        if len(found) > MOST_ARMS:
            differing = ", ".join([factor.name for factor in self.factors][:8])
            raise DataError(
                f"sweep: expected at most {MOST_ARMS} arms, found {len(found)}, which differ in {differing}"
            )
        distance = {arm: [level != b for level, b in zip(arm, baselines, strict=True)] for arm in found}
        return sorted(found, key=lambda arm: (sum(distance[arm]), distance[arm], [_ordered(level) for level in arm]))

    def _label(self, levels: Sequence[Level]) -> str:
        return ", ".join(f.label(level) for f, level in zip(self.factors, levels, strict=True)) or "all runs"

    @cached_property
    def named(self) -> list[bool]:
        """Of each factor, whether the user chose its baseline."""
        return [any(column in self.chosen for column in factor.columns) for factor in self.factors]

    @property
    def compared(self) -> list[bool]:
        """Of each factor, whether its levels are compared: those that the user named, or all if none is."""
        return self.named if any(self.named) else [True] * len(self.factors)

    @cached_property
    def baselines(self) -> tuple[Level, ...]:
        """The baseline of each factor.

        What the user chose; else the package's default, else what most runs have, else the first level. Where no run
        has all of these, they are those of the nearest arm.

        Raises:
            ConfigError: the choice is no level, several levels, or together no arm.
        """
        wanted = tuple(
            self._named_level(factor) if named else self._usual(at, factor)
            for at, (factor, named) in enumerate(zip(self.factors, self.named, strict=True))
        )
        if any(self.named) and not all(self.named):
            return wanted
        nearest = self._nearest(wanted)[0]
        if nearest != wanted and any(self.named):
            arms = "; ".join(map(self._label, self._nearest(wanted)))
            raise ConfigError(f"--baseline: expected one of the arms ({arms[:300]}), got {self._label(wanted)}")
        return nearest

    def _named_level(self, factor: Factor) -> Level:
        own = {c: value for c, value in self.chosen.items() if c in factor.columns}
        matching = [
            level for level in factor.levels
            if all(_is(value, own[c]) for c, value in zip(factor.columns, level, strict=True) if c in own)
        ]  # fmt: skip
        if len(matching) == 1:
            return matching[0]
        typed = ",".join(f"{c}={value}" for c, value in own.items())
        levels = "; ".join(map(factor.typed, matching or factor.levels))
        problem = f"which is {len(matching)} of them" if matching else "which no run has"
        raise ConfigError(f"--baseline: expected one level of {factor.name} ({levels[:300]}), got {typed}, {problem}")

    def _usual(self, at: int, factor: Factor) -> Level:
        runs = {level: sum(own[at] == level for own in self.of_run) for level in factor.levels}
        return max(factor.levels, key=lambda level: (self._at_default(factor, level), runs[level]))

    def _at_default(self, factor: Factor, level: Level) -> int:
        """How many of a level's values, from the first on, are the package's defaults."""
        values = dict(zip(factor.columns, level, strict=True))
        at_default = takewhile(lambda column: values[column] in self._defaults(column, values), values)
        return sum(1 for _ in at_default)

    def _defaults(self, column: str, values: Mapping[str, Any]) -> list[Any]:
        head = _head(column)
        if head in self.runs.columns:
            components = [values[head]] if head in values else list(self.runs[head].unique())
        else:
            components = [None]
        return [default(column, component) for component in components]


def is_metric(column: str, of_epoch: bool = False) -> bool:
    """Return whether a column is a metric: valid/ndcg@10, test/mse; of an epoch's, ties are none."""
    part, _, name = column.partition("/")
    known = "@" in name or name in METRICS or name in ERRORS or (not of_epoch and name == "tied")
    return part in ("valid", "test") and known


def _factor(groups: Sequence[tuple[str, ...]], values: Mapping[str, Sequence[Any]]) -> Factor:
    columns = [column for own in groups for column in own]
    levels = set(zip(*(values[c] for c in columns), strict=True))
    return Factor(tuple(groups), tuple(sorted(levels, key=_ordered)))


def _head(column: str) -> str:
    """The column with the name of the component that a setting belongs to."""
    group, _ = place(column)
    return group if group in ("loss", "model") else f"{group}.name"


def _crossed(values: Sequence[Any], names: Sequence[Any]) -> bool:
    """Return whether a setting takes the same values, more than one, whatever the component."""
    own: dict[Any, set[Any]] = {}
    for value, name in zip(values, names, strict=True):
        own.setdefault(name, set()).add(value)
    first, *others = own.values()
    return all(other == first for other in others)


def _places(values: Sequence[Any]) -> tuple[int, ...]:
    """Number values by their first place, so that columns that always change together are equal."""
    known: dict[Any, int] = {}
    return tuple(known.setdefault(value, len(known)) for value in values)


def _plain(value: Any) -> Any:
    """A cell that equals itself: None for what is empty."""
    return None if isinstance(value, float) and np.isnan(value) else value


def _is(value: Any, text: str) -> bool:
    """Return whether a setting is what was typed: 0.001 also as 1e-3."""
    if setting_text(value) == text or isinstance(value, bool | np.bool_) or not isinstance(value, int | float):
        return setting_text(value) == text
    try:
        return float(text) == value
    except ValueError:
        return False


def _ordered(level: Level) -> list[tuple[int, float, str]]:
    """A key that sorts numbers by size, and words after them."""
    return [(0, float(v), "") if isinstance(v, int | float) else (1, 0.0, str(v)) for v in level]
