"""What is shown beside the registered tests: value against budget, what tuning chose, and what γ does by itself."""

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


def drawn(design: Design) -> pd.DataFrame:
    """Return the configurations that the registration draws: block, draw, trial, settings; an arm uses those it has."""
    arm = max(design.arms, key=lambda name: len(design.arms[name].weights))
    return pd.DataFrame([
        {"block": block, "draw": draw, "trial": trial, **design.configuration(Unit(block, draw, arm), trial)}
        for block in range(design.blocks)
        for draw in range(design.draws)
        for trial in range(design.trials)
    ])  # fmt: skip


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


def by_gamma(rows: Sequence[Row], design: Design, bins: int = 6) -> pd.DataFrame:
    """Return what γ adds to α-BCE at the first rung, where both have the same settings, α and seeds, by bins of γ.

    A row a bin: its middle, the mean of focal - alpha_bce over the configurations of all blocks, relative to the mean
    of alpha_bce, and its standard error over blocks.
    """
    first = design.rungs[0].epochs
    values = pd.DataFrame(
        [
            (row.block, row.draw, row.number, row.arm, row.valid_ndcg)
            for row in rows
            if row.stage == "trial" and row.epochs == first and row.arm != "bce"
        ],
        columns=["block", "draw", "number", "arm", "value"],
    )
    wide = values.set_index(["block", "draw", "number", "arm"])["value"].unstack("arm").dropna()
    gammas = drawn(design).set_index(["block", "draw", "trial"])["loss.gamma"].loc[wide.index]
    edges = np.linspace(*design.weights["gamma"], bins + 1)
    place = np.clip(np.digitize(gammas, edges) - 1, 0, bins - 1)
    change = (wide["focal"] - wide["alpha_bce"]) / wide["alpha_bce"].mean()
    of_blocks = change.groupby([place, wide.index.get_level_values("block")]).mean().unstack("block")
    return pd.DataFrame({
        "gamma": ((edges[:-1] + edges[1:]) / 2)[of_blocks.index],
        "change": of_blocks.mean(axis=1),
        "error": of_blocks.sem(axis=1),
    })  # fmt: skip
