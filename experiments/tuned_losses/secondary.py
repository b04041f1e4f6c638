"""What is shown beside the registered tests: value against budget, and what tuning chose."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln

from experiments.tuned_losses.design import Design, Unit
from experiments.tuned_losses.table import Row
from ncf.stats.checks import Array


def expected_best(values: Array) -> Array:
    """Return the expected largest of n of these T values, drawn without replacement, for n = 1 to T: (T,).

    Dodge et al., "Show Your Work" (EMNLP 2019), without replacement as in Tang et al. (ACL 2020): the k-th smallest is
    the largest of n with probability C(k - 1, n - 1) / C(T, n).
    """
    ordered, total = np.sort(np.asarray(values, dtype=float)), len(values)
    k, n = np.arange(1, total + 1), np.arange(1, total + 1)[:, None]
    with np.errstate(invalid="ignore"):
        log_chance = _log_choose(k - 1, n - 1) - _log_choose(np.array(total), n)
    chance = np.where(k >= n, np.exp(np.where(k >= n, log_chance, -np.inf)), 0.0)
    return np.asarray(chance @ ordered)


def _log_choose(n: Array, k: Array) -> Array:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0))


def budget_curves(rows: Sequence[Row], design: Design) -> pd.DataFrame:
    """Return the mean over draws of the expected best validation NDCG@10 of n trials: n by arm.

    A trial counts with the best value of the epochs that halving gave it.
    """
    trials = pd.DataFrame(
        [(row.lane, row.arm, row.number, row.valid_ndcg) for row in rows if row.stage == "trial"],
        columns=["lane", "arm", "trial", "value"],
    )
    best = trials.groupby(["arm", "lane", "trial"])["value"].max()
    curves = {
        arm: np.mean([expected_best(own.to_numpy()) for _, own in best.loc[arm].groupby("lane")], axis=0)
        for arm in design.arms
    }
    return pd.DataFrame(curves, index=range(1, design.trials + 1))


def chosen(rows: Sequence[Row], design: Design) -> pd.DataFrame:
    """Return a row a repetition: block, draw, arm, the settings that were refitted, and refits that never learned."""
    found = []
    last = design.rungs[-1].epochs
    units = sorted({Unit(row.block, row.draw, row.arm) for row in rows if row.stage == "refit"})
    finalists: dict[Unit, list[Row]] = {unit: [] for unit in units}
    unlearned = dict.fromkeys(units, 0)
    for row in rows:
        unit = Unit(row.block, row.draw, row.arm)
        if unit in finalists and row.stage == "trial" and row.epochs == last:
            finalists[unit].append(row)
        unlearned[unit] = unlearned.get(unit, 0) + (row.stage == "refit" and row.test_ndcg is None)
    for unit in units:
        best = min(finalists[unit], key=lambda row: (-row.valid_ndcg, row.number))
        own = design.configuration(unit, best.number)
        found.append({"block": unit.block, "draw": unit.draw, "arm": unit.arm, "unlearned": unlearned[unit], **own})
    return pd.DataFrame(found)
