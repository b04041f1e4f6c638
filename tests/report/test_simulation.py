"""Regret over seeds and pairs of agents, against hand-computed values."""

import numpy as np
import pandas as pd
import pytest

from ncf.errors import ConfigError
from ncf.report.simulation import BEST_ITEM, compared, curves, measured, usual_measures


def table(seeds: int = 8) -> pd.DataFrame:
    """Two agents in one environment, three periods; agent b has .1 more regret, and a bit of noise."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for agent, base in (("a", 0.5), ("b", 0.6)):
            noise = rng.normal(0, 0.01, 3)
            rows += [
                {"run": f"{agent}{seed}", "agent": agent, "environment": "linear", "seed": seed, "config_hash": "x",
                 "commit": "y", "period": period, "regret": base / (1 + period) + noise[period],
                 "best_item_regret": 0.2, "mse": 0.1, "distinct_items": 3}
                for period in range(3)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def test_measures_are_of_a_period_or_cumulated() -> None:
    found = measured(table(), ["period 1", "first 2"])
    own = table()
    first = own[own["run"] == "a3"]
    row = found[(found["agent"] == "a") & (found["seed"] == 3)].iloc[0]
    assert row["period 1"] == first["regret"].iloc[1]
    assert row["first 2"] == pytest.approx(first["regret"].iloc[:2].sum())
    fixed = found[found["agent"] == BEST_ITEM]
    assert len(fixed) == 8
    assert np.allclose(fixed["first 2"], 0.4)
    assert usual_measures(own) == ("period 2", "first 3")
    for bad in ("period 3", "first 4", "last"):
        with pytest.raises(ConfigError, match="measure: expected"):
            measured(own, [bad])


def test_curves_are_means_with_t_intervals() -> None:
    found = curves(table())
    own = table()
    values = own[(own["agent"] == "b") & (own["period"] == 2)]["regret"]
    row = found[(found["agent"] == "b") & (found["period"] == 2)].iloc[0]
    half = 2.364624 * values.std() / 8**0.5  # t, 7 degrees, .975
    assert row["regret"] == pytest.approx(values.mean())
    assert row["high"] - row["regret"] == pytest.approx(half, rel=1e-6)
    total = own[own["agent"] == "b"].groupby("seed")["regret"].sum()
    assert row["cumulative"] == pytest.approx(total.mean())
    assert set(found["agent"]) == {"a", "b", BEST_ITEM}
    assert curves(table(1))["low"].isna().all()


def test_less_regret_is_better() -> None:
    results = measured(table(), ["period 0", "first 3"])
    settings = {"margin": 0.05, "alpha": 0.05, "level": 0.95, "resamples": 999, "rng": np.random.default_rng(0)}
    found = compared(results, [("a", "b", "period 0"), ("b", "a", "period 0"), ("a", "a", "first 3")], **settings)
    assert [one.finding for one in found] == ["better", "worse", "equivalent"]
    assert found[0].p == 2 / 2**8
    assert found[0].corrected == 3 * 2 / 2**8
    assert found[0].change == pytest.approx(0.5 / 0.6 - 1, abs=0.02)
    few = compared(measured(table(2), ["period 0"]), [("a", "b", "period 0")], **settings)
    assert (few[0].finding, few[0].p) == ("undecided", 1)
    assert "2" in few[0].obstacle


def test_a_comparison_that_no_test_can_judge_is_undecided_with_the_reason_and_stays_in_the_family() -> None:
    results = measured(table(), ["period 0"])
    results.loc[results["agent"] == BEST_ITEM, "period 0"] = 0.0  # nothing is relative to a mean of 0
    settings = {"margin": 0.05, "alpha": 0.05, "level": 0.95, "resamples": 999, "rng": np.random.default_rng(0)}
    without, found = compared(results, [("a", BEST_ITEM, "period 0"), ("a", "b", "period 0")], **settings)
    assert (without.finding, without.corrected, without.seeds) == ("undecided", 1, 8)
    assert "positive mean" in without.obstacle
    assert (found.finding, found.corrected, found.obstacle) == ("better", 2 * 2 / 2**8, "")
    assert compared(results, [], **settings) == []
