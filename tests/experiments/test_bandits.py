"""experiments/bandits: the page says what its tables say, and no verdict comes before the last registered seed."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.bandits import page, runs, speed, tables
from ncf.report.simulation import BEST_ITEM


def results(seeds: int) -> pd.DataFrame:
    """Made-up results in which thompson is best and the notebook's agent worse than everything."""
    rng, rows = np.random.default_rng(0), []
    levels = {"thompson": 0.05, "als": 0.2, "als_epsilon": 0.18, "ucb": 0.4, BEST_ITEM: 0.1, "bayes_original": 0.6}
    for environment in runs.registered()["environments"]:
        for seed in runs.seeds(seeds):
            for agent, level in levels.items():
                value = level + rng.normal(0, 0.003)
                rows.append(
                    {"environment": environment, "agent": agent, "seed": seed, "period 50": value,
                     "first 50": 60 * value, "first 200": 220 * value}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_verdicts_follow_the_registered_rule() -> None:
    found = tables.comparisons(results(20))
    assert {name: page.status(rows) for name, rows in found.groupby("claim")} == {
        "H1": "holds", "H2": "is refuted", "H3": "is refuted",
    }  # fmt: skip
    assert len(found) == 2 * (4 + 1 + 1) * 2
    mixed = found[found["claim"] == "H1"].reset_index(drop=True)
    mixed.loc[0, "finding"] = "equivalent"
    assert page.status(mixed).startswith("fails (equivalent to als")
    mixed.loc[0, "finding"] = "undecided"
    assert page.status(mixed) == "is undecided"


def test_nothing_is_found_before_the_last_seed() -> None:
    found = tables.comparisons(results(19))
    assert set(found["finding"]) == {"incomplete"}
    assert page.status(found) == "is incomplete"


def test_the_page_is_made_from_the_committed_tables() -> None:
    folder = Path(page.HERE)
    assert (folder / "README.md").read_text() == page.text(folder)


def test_the_registration_names_what_there_is() -> None:
    plan = runs.registered()
    root = Path(runs.ROOT)
    for group, names in (("agent", plan["agents"]), ("environment", plan["environments"])):
        assert all((root / "conf" / group / f"{name}.yaml").exists() for name in names)
    assert len(runs.seeds()) == plan["seeds"] >= 20


def test_costs_are_measured_in_a_process_of_their_own() -> None:
    found = speed.one(50, 40, 3)
    assert found.keys() == {"seconds", "cpu_seconds", "peak_gib"}
    assert all(value > 0 for value in found.values())


def test_one_mean_is_the_same_in_both_tables_of_the_page() -> None:
    text = page.text()
    for agent in ("bayes_original", BEST_ITEM, "als", "als_epsilon", "ucb"):
        shown = set(re.findall(rf"^\| {agent} \| 20 \| .* \| ([\d.]+) ± [\d.]+ \|$", text, re.M))
        compared = set(re.findall(rf"\| thompson \| {agent} \| first 200 \| 20 \| [\d.]+ \| ([\d.]+) \|", text))
        assert compared <= shown, agent
    assert "corrected (Holm) over the comparisons of a claim in an environment" in text


def test_every_size_is_written_once_below_the_figure_of_costs() -> None:
    figure = speed.draw(pd.read_csv(Path(page.HERE) / "scaling.csv"))
    figure.canvas.draw()
    for ax, vary in zip(figure.axes, speed.SIZES, strict=True):
        labels = [text.get_text() for minor in (False, True) for text in ax.get_xticklabels(minor=minor)]
        sizes = [size[["users", "items", "factors"].index(vary)] for size in speed.SIZES[vary]]
        assert [label for label in labels if label] == [f"{size:,}" for size in sizes]


def test_seconds_by_the_clock_are_compared_with_seconds_by_the_clock() -> None:
    table = pd.read_csv(Path(page.HERE) / "speed.csv").set_index(["what", "who"])
    ratio = 3.8 / table["seconds"]["fit of als"]["ncf"]
    said = page.speed(Path(page.HERE))
    assert f"By the clock the median fit of ALS is {ratio:,.0f} times as fast" in said
    assert "| Spark, recorded | [3.8, 41.8] |  |" in said  # neither a median nor seconds of CPU were recorded
