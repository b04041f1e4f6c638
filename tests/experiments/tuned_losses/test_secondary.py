"""The expected best of n by brute force, and what was chosen from rows."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from made_rows import made_rows

from experiments.tuned_losses.design import load
from experiments.tuned_losses.secondary import budget_curves, by_gamma, chosen, drawn, expected_best

DESIGN = load()


def test_expected_best_is_the_mean_over_all_subsets() -> None:
    values = [0.3, 0.1, 0.5, 0.5, 0.2]
    brute = [np.mean([max(s) for s in combinations(values, n)]) for n in range(1, 6)]
    assert expected_best(np.array(values)) == pytest.approx(brute)


def test_curves_rise_to_the_best_and_count_each_trial_once() -> None:
    rows = made_rows(DESIGN, blocks=2)
    curves = budget_curves(rows, DESIGN)
    assert curves.shape == (DESIGN.trials, 3)
    assert (np.diff(curves.to_numpy(), axis=0) > 0).all()
    best = {}
    for row in rows:
        if row.stage == "trial" and row.arm == "bce":
            best[row.lane] = max(best.get(row.lane, 0), row.valid_ndcg)
    assert curves["bce"].iloc[-1] == pytest.approx(np.mean(list(best.values())))


def test_what_was_chosen_is_the_best_of_the_last_rung() -> None:
    rows = made_rows(DESIGN, blocks=1)
    found = chosen(rows, DESIGN)
    assert len(found) == DESIGN.draws * 3
    assert found["unlearned"].sum() == 0
    last = DESIGN.rungs[-1]
    for row in found.itertuples():
        unit = next(u for u in DESIGN.units if (u.block, u.draw, u.arm) == (row.block, row.draw, row.arm))
        expected = DESIGN.configuration(unit, last.configurations - 1)  # values rise with the number of the trial
        assert found.loc[row.Index, "optimizer.lr"] == expected["optimizer.lr"]
    assert found.loc[found["arm"] == "bce", "loss.gamma"].isna().all()


def test_what_gamma_changes_by_itself() -> None:
    """Values of focal loss that are those of alpha-BCE at the same trial, but for a known effect of gamma, show it."""
    rows = [row for row in made_rows(DESIGN, spread=0.0) if row.stage == "trial"]
    gammas = drawn(DESIGN).set_index(["block", "draw", "trial"])["loss.gamma"]

    def effect(gamma: float) -> float:
        return 0.1 if gamma < 0.5 else -0.2 if gamma >= 2.5 else 0.0

    changed = [
        replace(row, valid_ndcg=row.valid_ndcg * (1 + effect(gammas[row.block, row.draw, row.number])))
        if row.arm == "focal"
        else row
        for row in rows
    ]
    found = by_gamma(changed, DESIGN)
    assert list(found["gamma"]) == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert found["change"].to_numpy() == pytest.approx([0.1, 0, 0, 0, 0, -0.2], abs=0.01)
    assert (found["error"] < 0.01).all()
