"""What a file of past data says about a metric before an experiment: its mean, spread, covariate and clusters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.data.frame import numbers, read_frame
from ncf.errors import DataError
from ncf.online.clusters import icc
from ncf.stats.checks import Array


@dataclass(frozen=True)
class Pilot:
    """What past data say of a metric.

    Attributes:
        baseline: mean, rate or ratio.
        sd: standard deviation over units, of a ratio's linearised values; None of a rate.
        correlation: of the covariate with the metric; None without one.
        icc: intra-cluster correlation; None without clusters.
        cluster_size: mean units a cluster; None likewise.
        units: in the data.
    """

    baseline: float
    sd: float | None
    correlation: float | None
    icc: float | None
    cluster_size: float | None
    units: int


def pilot(
    data: pd.DataFrame | Path | str, *, unit: str, metric: str, covariate: str | None = None, cluster: str | None = None
) -> Pilot:
    """Return what past data say of a metric; rows of a unit are added up.

    Args:
        data: a frame or file, as `ncf.data.frame.read_frame`.
        unit: column of the unit.
        metric: a column, or "clicks/sessions".
        covariate: column of numbers from before.
        cluster: column.

    Raises DataError as `read_frame`, for a ratio without a denominator, or fewer than 3 units or clusters.
    """
    top, _, bottom = (part.strip() for part in metric.partition("/"))
    columns = [unit, top, *(name for name in (bottom, covariate, cluster) if name)]
    frame = read_frame(data, columns)
    label = "data" if isinstance(data, pd.DataFrame) else str(data)
    codes, names = pd.factorize(frame[unit])
    if len(names) < 3:
        raise DataError(f"{label}: expected three units or more, found {len(names)}")
    values = np.bincount(codes, numbers(frame, top, label))
    rate = bool(np.isin(values, (0, 1)).all())
    baseline = float(values.mean())
    if bottom:
        under = np.bincount(codes, numbers(frame, bottom, label))
        if not under.sum():
            raise DataError(f"{label}: expected a {bottom} above zero for {metric}, found none")
        baseline, rate = float(values.sum() / under.sum()), False
        values = (values - baseline * under) / under.mean()
    first = np.unique(codes, return_index=True)[1]
    correlation = None
    if covariate:
        x = numbers(frame, covariate, label)[first]
        correlation = float(np.corrcoef(values, x)[0, 1]) if np.ptp(values) and np.ptp(x) else 0.0
    alike, size = _clusters(frame, cluster, first, values, label) if cluster else (None, None)
    return Pilot(baseline, None if rate else float(values.std(ddof=1)), correlation, alike, size, len(names))


def _clusters(frame: pd.DataFrame, cluster: str, first: Array, values: Array, label: str) -> tuple[float, float]:
    codes, names = pd.factorize(frame[cluster].iloc[first])
    if len(names) < 3:
        raise DataError(f"{label}: expected three clusters or more in {cluster}, found {len(names)}")
    alike = icc(values - values.mean(), codes, 1) if len(names) < len(values) else 0.0
    return max(alike, 0.0), len(values) / len(names)
