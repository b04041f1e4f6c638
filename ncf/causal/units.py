"""Units that were treated or not, with their outcomes and confounders: what every estimator takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.causal.linear import refuse_dependent
from ncf.data.frame import binary, numbers, read_frame
from ncf.errors import ConfigError, DataError
from ncf.stats.checks import Array, StatisticsError, sample, table

MOST_LEVELS = 100
"""Levels of a category that become columns of their own."""


@dataclass(frozen=True, eq=False)
class Units:
    """N units.

    Attributes:
        treatment: (N,) float64, 1 where treated, else 0.
        outcome: (N,) float64.
        confounders: (N, P) float64.
        names: of the P columns.
        clusters: (N,), of any kind; None: units are independent.
    """

    treatment: Array
    outcome: Array
    confounders: Array
    names: tuple[str, ...]
    clusters: Array | None = None

    def __len__(self) -> int:
        return len(self.treatment)

    @property
    def treated(self) -> Array:
        """(N,) bool."""
        return self.treatment == 1

    def take(self, kept: Array) -> "Units":
        """Return the units of a mask (N,) or of positions."""
        clusters = None if self.clusters is None else self.clusters[kept]
        return Units(self.treatment[kept], self.outcome[kept], self.confounders[kept], self.names, clusters)

    def varying(self) -> tuple["Units", tuple[str, ...]]:
        """Return the units without confounders that are constant among them, and the names of those."""
        constant = np.ptp(self.confounders, axis=0) == 0
        names = tuple(name for name, gone in zip(self.names, constant) if gone)
        left = tuple(name for name, gone in zip(self.names, constant) if not gone)
        return replace(self, confounders=self.confounders[:, ~constant], names=left), names


def units(
    treatment: Array, outcome: Array, confounders: Array | pd.DataFrame, names: Sequence[str] | None = None,
    clusters: Array | None = None,
) -> Units:  # fmt: skip
    """Return checked units.

    Args:
        treatment: (N,), 0 or 1.
        outcome: (N,).
        confounders: (N, P), or (N,) for one; P may be 0.
        names: of the columns; None: x1, x2, ...
        clusters: (N,), the cluster of each unit; None: units are independent.

    Raises:
        StatisticsError: values that are not finite numbers, lengths that differ, a treatment that is not 0 or 1, an arm
            of fewer than 2 units, or a confounder that is constant or a combination of others, which is named.
    """
    d, y = sample(treatment, 4, "treatment"), sample(outcome, 4, "outcome")
    if names is None and isinstance(confounders, pd.DataFrame):
        names = list(map(str, confounders.columns))
    raw = np.asarray(confounders)
    x = (table(raw, "confounders", sizes=False) if raw.size else np.empty((len(d), 0))).reshape(len(raw), -1)
    names = [f"x{j + 1}" for j in range(x.shape[1])] if names is None else list(names)
    if not len(d) == len(y) == len(x) or (clusters is not None and len(clusters) != len(d)):
        raise StatisticsError(
            f"units: expected as many treatments, outcomes, rows of confounders and clusters, got {len(d)}, {len(y)}, "
            f"{len(x)}{'' if clusters is None else f' and {len(clusters)}'}"
        )
    if len(names) != x.shape[1]:
        raise StatisticsError(f"names: expected {x.shape[1]}, one for each confounder, got {len(names)}")
    if (bad := (d != 0) & (d != 1)).any():
        where = int(np.flatnonzero(bad)[0])
        raise StatisticsError(f"treatment: expected 0 or 1, got {d[where]:g} at position {where}")
    _refuse_small_arms(d)
    refuse_dependent(x, names)
    return Units(d, y, x, tuple(names), None if clusters is None else np.asarray(clusters))


def read_units(
    data: pd.DataFrame | Path | str, treatment: str, outcome: str, confounders: Sequence[str],
    categories: Sequence[str] = (), cluster: str | None = None, unit: str | None = None,
) -> Units:  # fmt: skip
    """Return the units of a table, a row each.

    Args:
        data: a frame, or the path of a CSV, TSV or Parquet file.
        treatment: column of 0 and 1.
        outcome: column of numbers.
        confounders: columns of numbers.
        categories: further confounders, whose values are names: each becomes a column for every level but the first.
        cluster: column of clusters.
        unit: column of ids, which must not repeat.

    Raises:
        ConfigError: a column is named in two roles, or there is no confounder.
        DataError: as `ncf.data.frame.read_frame`; or a value is no number, a treatment not 0 or 1, an id repeats.
        StatisticsError: as `units`.
    """
    roles = [treatment, outcome, *confounders, *categories]
    if doubled := next((name for name in roles if roles.count(name) > 1), None):
        raise ConfigError(f"{doubled}: expected each column in one role, found it in {roles.count(doubled)}")
    if not confounders and not categories:
        raise ConfigError("confounders: expected at least one column, got none")
    extra = [name for name in (cluster, unit) if name is not None]
    frame = read_frame(data, [*roles, *extra])
    label = "data" if isinstance(data, pd.DataFrame) else str(data)
    if unit is not None and (again := frame[unit].duplicated()).any():
        row = int(np.flatnonzero(again)[0])
        raise DataError(
            f"{label}, row {row + 1}: expected each {unit} once, found {frame[unit].iloc[row]!s:.40} again "
            f"({int(again.sum()):,} such rows); for repeated measurements use ncf.rollout"
        )
    columns = {name: _confounder(frame, name, label) for name in confounders}
    for name in categories:
        columns |= _indicators(frame, name)
    return units(
        binary(frame, treatment, label), numbers(frame, outcome, label), np.column_stack(list(columns.values())),
        list(columns), None if cluster is None else frame[cluster].to_numpy(),
    )  # fmt: skip


def _confounder(frame: pd.DataFrame, name: str, label: str) -> Array:
    try:
        return numbers(frame, name, label)
    except DataError as error:
        if frame[name].dtype.kind in "biuf":
            raise
        raise DataError(f"{error}; a confounder whose values are names belongs in categories={name}") from None


def _indicators(frame: pd.DataFrame, name: str) -> dict[str, Array]:
    codes, levels = pd.factorize(frame[name].astype(str), sort=True)
    if not 2 <= len(levels) <= MOST_LEVELS:
        raise DataError(f"{name}: expected a category of 2 to {MOST_LEVELS} levels, found {len(levels):,}")
    return {f"{name}={level}": (codes == code).astype(np.float64) for code, level in enumerate(levels) if code}


def _refuse_small_arms(treatment: Array) -> None:
    treated = int(treatment.sum())
    if min(treated, len(treatment) - treated) < 2:
        raise StatisticsError(
            f"treatment: expected at least 2 treated and 2 untreated units, got {treated:,} and "
            f"{len(treatment) - treated:,}"
        )
