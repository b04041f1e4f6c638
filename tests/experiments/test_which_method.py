"""experiments/which_method: rows by hand, warnings by hand, and a page that is a function of its tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.which_method import costs, extras, figures, page, runs, summary
from experiments.which_method import tables as tables_of
from ncf.causal import evalue

REAL = {"share": 0.4, "confounding": 1.5, "enthusiasm": 0.6, "clicks": 0.5}


def estimates(**columns: Any) -> pd.DataFrame:
    """Four estimates of one method, whose truth is .2."""
    usual = {
        "design": "ab", "method": "A/B", "estimand": "clicks a session", "value": [0.1, 0.2, 0.4, -0.3],
        "standard_error": 0.1, "low": [-0.1, 0.0, 0.21, -0.5], "high": [0.3, 0.4, 0.6, -0.1], "truth": 0.2,
        "effect": 0.2, "p": [0.3, 0.05, 0.001, 0.002], "sessions": [10.0, 20.0, 30.0, 40.0], "shown_b": 5.0,
    }  # fmt: skip
    return pd.DataFrame({**usual, **columns}, index=range(4))


def test_a_row_by_hand() -> None:
    found = summary.answers(estimates(), 0.05)
    assert found["mean"] == pytest.approx(0.1)
    assert found["bias"] == pytest.approx(-0.1)
    assert found["sd"] == pytest.approx(np.sqrt((0 + 0.01 + 0.09 + 0.16) / 3))
    assert found["bias_error"] == pytest.approx(found["sd"] / 2)
    assert found["coverage"] == 0.5  # the first two
    assert found["coverage_error"] == 0.25
    assert (found["power"], found["right_winner"], found["wrong_winner"]) == (0.75, 0.5, 0.25)
    assert (found["sessions"], found["shown_b"], found["error"]) == (25, 5, 0.1)


def test_between_a_and_a_every_winner_is_wrong() -> None:
    found = summary.answers(estimates(effect=0.0, truth=0.0), 0.05)
    assert (found["power"], found["right_winner"], found["wrong_winner"]) == (0.75, 0, 0.75)


def test_a_method_on_its_own_scale_has_winners_but_no_bias() -> None:
    found = summary.answers(estimates(truth=float("nan")), 0.05)
    assert np.isnan(found["bias"])
    assert np.isnan(found["coverage"])
    assert found["right_winner"] == 0.5


def test_warnings_by_hand() -> None:
    """The bound warns at estimates up to .3; the last two intervals miss."""
    values = np.array([0.1, 0.2, 0.4, -0.3])
    own = estimates(
        value=values, evalue=[evalue.standardised(v / 0.8, 0.1).estimate for v in values], evalue_limit=1.0,
        robustness=0.1, hidden_outcome=0.1, hidden_treatment=0.2, largest_bias=[0.3, 0.1, 0.3, 0.35],
    )  # fmt: skip
    found = summary.warnings(own, REAL)
    assert found["misses"] == 0.5
    assert (found["bound_warns"], found["bound_in_time"], found["bound_false_alarms"]) == (0.5, 0.5, 0.5)
    assert found["bound_holds"] == pytest.approx(0.75)  # misses .1, 0, .2 and .5
    warns, strength = summary.evalue_warns(own, REAL)
    bound = float(summary.bounding_factor(summary.treatment_ratio(0.4, 1.5), np.exp(0.91 * 0.3 / 0.8)))
    assert strength == pytest.approx(bound + np.sqrt(bound * (bound - 1)))  # the spread of .8 is found again
    assert warns.tolist() == (own["evalue"] <= strength).tolist()
    assert 0 < warns.sum() < 4


def test_the_ratio_of_the_halves_is_that_of_many_users() -> None:
    rng = np.random.default_rng(0)
    e = rng.uniform(-1, 1, 1_000_000)
    opted = rng.uniform(size=len(e)) < 1 / (1 + np.exp(-(np.log(0.4 / 0.6) + 1.5 * e)))
    found = (e[opted] > 0).mean() / (e[~opted] > 0).mean()
    assert summary.treatment_ratio(0.4, 1.5) == pytest.approx(found, rel=0.01)
    assert summary.treatment_ratio(0.4, 0.0) == pytest.approx(1)
    assert summary.bounding_factor(1.0, np.array(3.0)) == pytest.approx(
        1
    )  # what moves one side alone confounds nothing


def test_a_daily_look_without_a_plan_stops_most_often() -> None:
    rng = np.random.default_rng(1)
    effects = np.cumsum(rng.normal(size=(2000, 14)), 1) / np.arange(1, 15)
    errors = np.broadcast_to(1 / np.sqrt(np.arange(1, 15)), effects.shape)
    share = {name: stops.any(1).mean() for name, stops in extras.rules(effects, errors, 0.5).items()}
    noise = 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert share["daily"] > 0.15
    for name in ("once", "pocock", "obrien_fleming"):
        assert abs(share[name] - 0.05) < noise, name
    assert share["msprt"] < 0.05 + noise


def test_the_registration_names_what_there_is() -> None:
    plan = runs.registered()
    assert set(plan["pairs"]) == set(tables_of.PAIRS)
    assert all(model in plan["models"] for pair in plan["pairs"].values() for model in pair)
    assert plan["world"] not in {model for pair in plan["pairs"].values() for model in pair}
    assert plan["replications"] >= 1000
    assert len({tuple(cell.keys.values()) for cell in runs.cells()}) == len(runs.cells())


def test_the_page_is_made_from_the_committed_tables() -> None:
    folder = Path(page.HERE)
    assert (folder / "README.md").read_text() == page.text(tables_of.read(folder))


def test_the_page_follows_its_tables() -> None:
    """Another number in a table is another number in the page, and a biased method is no longer right."""
    tables = tables_of.read()
    results = tables["results"].copy()
    own = results["method"] == "A/B"
    assert "| A/B |" in page.text(tables)
    results.loc[own, ["bias", "bias_error"]] = [0.4321, 0.001]
    changed = page.text(tables | {"results": results})
    assert "+0.4321 ± 0.0010" in changed
    told, untold = changed.split("**The others did not**")[:2]
    assert ": A/B;" in untold.split("\n")[0]
    assert "of 0 and coverage of .95): A/B;" not in told


def test_figures_are_drawn_from_the_tables() -> None:
    tables = tables_of.read()
    for make in (figures.estimates, figures.power, figures.warnings):
        assert make(tables["results"]) is None or isinstance(make(tables["results"]), Figure)
    for path in (Path(page.HERE) / "figures").glob("*.png"):
        assert path.stem in (Path(page.HERE) / "README.md").read_text()


def test_costs_of_a_replication_by_hand() -> None:
    table = pd.DataFrame({
        "users": [10, 10, 10, 10], "round": [0, 0, 1, 1], "design": ["ab", "rollout"] * 2,
        "seconds": [1.0, 2.0, 3.0, 4.0], "gib": [0.5, 0.7, 0.5, 0.6], "commit": "c",
    })  # fmt: skip
    found = costs.totals(table).loc[10]
    assert (found["seconds"], found["least"], found["most"], found["gib"]) == (5.0, 3.0, 7.0, 0.7)
    assert "| 10 | 5.00 [3.00, 7.00] | 41.7 | 0.7 |" in page.costs(table)
    assert "Not measured yet" in page.costs(pd.DataFrame())


def test_a_replication_is_measured_whole() -> None:
    rows = costs.measured(40, 0, days=8)
    assert [row["design"] for row in rows][:2] == [costs.DRAWING, "offline"]
    assert len(rows) == 8
    assert all(float(str(row["seconds"])) > 0 for row in rows)
    gib = [float(str(row["gib"])) for row in rows]
    assert gib == sorted(gib)
