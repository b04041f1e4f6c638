"""The published code's loss beside RecBole's: who is dead, and how those who are not compare."""

import json
from pathlib import Path

import pandas as pd
from scipy import stats

from experiments.recbole import clamped
from experiments.recbole.published import MARGIN


def test_the_peer_side_needs_nothing_of_ncf() -> None:
    for name in ("clamped_peer", "published"):
        source = (Path(clamped.__file__).parent / f"{name}.py").read_text()
        assert not any(line.startswith(("import ncf", "from ncf")) for line in source.splitlines())


def test_the_kept_runs_are_dead_just_where_every_first_logit_was_clamped() -> None:
    runs = json.loads(clamped.KEPT.read_text())["runs"]
    assert len({(r["gamma"], r["neg_ratio"], r["seed"]) for r in runs}) == len(runs)
    assert all(r["moved"] == (r["first_logits"]["highest"] >= MARGIN) for r in runs)


def test_our_first_logits_tell_which_runs_of_the_study_are_dead() -> None:
    highest = dict(zip(clamped.SEEDS, clamped.first_logits(clamped.SEEDS), strict=True))
    ours = clamped.ours()
    assert len(ours) >= 18
    assert all(row["learned"] == (highest[row["seed"]] >= MARGIN) for row in ours.to_dict("records"))


def table(learned: dict[str, list[bool]]) -> pd.DataFrame:
    """Made-up runs of one loss and ratio; a run's metrics tell its side and seed."""
    return pd.DataFrame(
        [
            {"side": side, "gamma": 2.0, "neg_ratio": 4, "seed": 42 + n, "learned": alive,
             "ndcg@10": (0.05 if side == "ncf" else 0.06) + n / 1000 if alive else 0.003, "hit@10": 0.1 + n / 1000}
            for side, flags in learned.items() for n, alive in enumerate(flags)
        ]
    )  # fmt: skip


def test_the_tables_say_who_is_dead_and_compare_those_who_are_not() -> None:
    made = table({"ncf": [True, False, False, True, False], "RecBole": [True, True, True, True, False]})
    seeds = clamped.by_seed(made).splitlines()
    assert seeds[2].endswith("| 1:4 | ncf | 0.0500 | (0.0030) | (0.0030) | 0.0530 | (0.0030) |")
    assert seeds[4].endswith("| 1:10 | ncf | not run | not run | not run | not run | not run |")
    lines = clamped.agreement(made).splitlines()
    assert len(lines) == 2 + 2  # the header, and two metrics of the only loss and ratio that both sides have
    row = [cell.strip() for cell in lines[2].split("|")]
    assert row[3] == "NDCG@10"
    welch = stats.ttest_ind([0.050, 0.053], [0.060, 0.061, 0.062, 0.063], equal_var=False)
    assert row[4:8] == ["0.0515 (2)", "0.0615 (4)", f"{welch.statistic:+.2f}", f"{welch.pvalue:.2g}"]
    assert row[8:11] == ["3 of 5", "1 of 5", "0.52"]  # (5 + 50 + 50 + 5) / 210


def test_one_run_that_learned_has_no_spread_to_compare_by() -> None:
    made = table({"ncf": [True, False, False, False, False], "RecBole": [False] * 5})
    row = [cell.strip() for cell in clamped.agreement(made).splitlines()[2].split("|")]
    assert row[4:9] == ["0.0500 (1)", "none", "", "", "4 of 5"]
