"""`python -m ncf.off_policy`: as an analyst types it, on the published data and on files of one's own."""

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf.core import command_line
from ncf.errors import ConfigError, DataError, NcfError
from ncf.off_policy.__main__ import main

from .conftest import REFERENCE

DATA = Path(__file__).parents[2] / "data"  # the checkout's own, so that it is fetched once
NAMES = {"ipw": "IPS", "snipw": "SNIPS", "dm": "DM", "dr": "DR", "sndr": "SNDR"}

Said = Callable[..., Any]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """said(arguments) -> the JSON that the command prints."""

    def run(*arguments: str) -> Any:
        main([*arguments, "format=json"])
        return json.loads(capsys.readouterr().out)

    return run


def own(folder: Path, **change: Any) -> str:
    """log=<a file> of 200 rounds of two items, shown evenly."""
    item = np.arange(200) % 2
    frame = pd.DataFrame(
        {"item": np.array(["a", "b"])[item], "propensity": 0.5, "reward": (np.arange(200) % 4 == 1) * 1.0}
    )
    frame.assign(**change).to_csv(folder / "log.csv", index=False)
    return f"log={folder / 'log.csv'}"


def policy(folder: Path, text: str = "item,probability\na,0.25\nb,0.75\n") -> str:
    (folder / "policy.csv").write_text(text)
    return f"policy={folder / 'policy.csv'}"


@pytest.mark.parametrize("campaign", ["men", pytest.param("all", marks=pytest.mark.slow)])
def test_the_published_figures_of_every_case(campaign: str, published: list[dict[str, Any]], said: Said) -> None:
    cases = [case for case in published if case["campaign"] == campaign]
    assert len(cases) == 4
    for case in cases:
        found = said(
            "log=obd", f"campaign={case['campaign']}", f"behaviour={case['behavior']}", f"policy={case['evaluation']}",
            "tau=1,10,100", "lambda=1,100", f"root={DATA}",
        )  # fmt: skip
        value = {one["method"]: one["value"] for one in found["estimates"]}
        for name, expected in case["estimates_tabular"].items():
            number = name.rpartition("tau")[2] if "tau" in name else name.rpartition("lambda")[2]
            method = f"SWITCH-DR (tau {number})" if "tau" in name else f"DRos (lambda {number})"
            assert value[NAMES.get(name, method)] == pytest.approx(expected, rel=1e-9)
        assert found["on_policy_value"] == case["on_policy_value"][case["evaluation"]]
        assert found["effective_sample_size"] == pytest.approx(case["ess"], rel=1e-9)
        assert found["largest_weight"] == pytest.approx(case["weight_max"], rel=1e-9)


def test_the_published_policy_as_a_file(said: Said) -> None:
    arguments = ["log=obd", "campaign=men", "estimators=ips,dr", f"root={DATA}"]
    by_name = said(*arguments, "policy=bts")
    by_file = said(*arguments, f"policy={REFERENCE / 'obd_bts_action_dist_men.json'}")
    assert by_name["estimates"] == by_file["estimates"]
    assert (by_name["on_policy_value"], by_file["on_policy_value"]) == (0.0069, None)


def test_two_effective_rounds_are_refused_unless_asked_for(said: Said) -> None:
    arguments = ["log=obd", "campaign=women", "behaviour=bts", "policy=random", f"root={DATA}"]
    with pytest.raises(
        DataError, match=r"at least 30, found 2.08 of 10,000 rounds \(the largest weight, 21,739.1, has 69"
    ):
        main(arguments)
    found = said(*arguments, "allow_low_ess=true")
    assert found["effective_sample_size"] == pytest.approx(2.08, abs=0.005)


def test_every_format_says_the_same(tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [own(tmp_path), policy(tmp_path), "estimators=[ips,snips]"]
    found = said(*arguments)
    assert [one["value"] for one in found["estimates"]] == pytest.approx([0.375, 0.375])
    main([*arguments, "format=csv"])
    frame = pd.read_csv(StringIO(capsys.readouterr().out))
    for column in ("value", "low", "high", "effective_n", "largest_weight", "largest_share"):
        assert frame[column].tolist() == [one[column] for one in found["estimates"]]
    main(arguments)
    text = capsys.readouterr().out
    for part in ("effective sample size  160", "largest weight  1.5", "largest share  0.0075", "SNIPS   0.375"):
        assert part in text


def test_an_analysis_leaves_its_tables(tmp_path: Path, said: Said) -> None:
    found = said(own(tmp_path), "policy=uniform", f"output={tmp_path / 'out'}")
    frame = pd.read_csv(tmp_path / "out" / "estimates.csv")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert frame["value"].tolist() == [one["value"] for one in found["estimates"]]
    assert result["estimates"] == found["estimates"]
    assert result["options"]["policy"] == "uniform"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["estimates.csv", "result.json"]


def test_rows_of_several_policies(tmp_path: Path, said: Said) -> None:
    log = own(tmp_path, policy=np.repeat(["old", "new"], [150, 50]))
    found = said(log, "behaviour=old", "policy=uniform", "on_policy=new", "estimators=ips")
    assert found["rounds"] == 150
    assert found["on_policy_value"] == pytest.approx(np.mean(np.arange(150, 200) % 4 == 1))


def test_scores_of_ones_own(tmp_path: Path, said: Said) -> None:
    scores = policy(tmp_path, "item,score\na,0\nb,1\n")
    best = said(own(tmp_path), scores, "epsilon=0", "estimators=snips")
    assert best["estimates"][0]["value"] == pytest.approx(0.5)
    soft = said(own(tmp_path), scores, "temperature=1", "estimators=ips")
    assert soft["estimates"][0]["value"] == pytest.approx(0.5 * np.e / (1 + np.e))


def test_a_policy_of_scores_is_named_with_what_made_it_one(tmp_path: Path, said: Said) -> None:
    scores = policy(tmp_path, "item,score\na,0\nb,1\n")
    assert said(own(tmp_path), scores, "temperature=0.5")["policy"].endswith(".csv temperature=0.5")
    assert said(own(tmp_path), scores, "epsilon=0.05")["policy"].endswith(".csv epsilon=0.05")


def test_columns_under_other_names_are_told_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("product,clicked,p\na,1,0.5\n")
    with pytest.raises(DataError, match=r"found 'product, clicked, p'; item=<column>, reward=<column> and propensity="):
        main([f"log={tmp_path / 'shop.csv'}", "policy=uniform"])


def test_the_empirical_policy_is_the_log_itself(tmp_path: Path, said: Said) -> None:
    assert said(own(tmp_path), "policy=empirical", "estimators=ips")["estimates"][0]["value"] == pytest.approx(0.25)


def test_a_finished_run_is_a_policy_and_a_reward_model(runs: FinishedRuns, tmp_path: Path, said: Said) -> None:
    from ncf.runs.loading import load

    run = load(runs["ease"])
    stream, n = np.random.default_rng(0), 400
    users = stream.integers(0, run.split.num_users, n)
    items = stream.integers(0, run.split.num_items, n)
    scores = run.score(run.split.user_ids[users].tolist()).astype(float)
    hidden = run.seen[users].toarray() > 0
    reward = (stream.random(n) < 1 / (1 + np.exp(-scores[np.arange(n), items]))).astype(int)
    pd.DataFrame({
        "user": run.split.user_ids[users], "item": run.split.item_ids[items], "reward": reward,
        "propensity": 1 / run.split.num_items,
    }).to_csv(tmp_path / "log.csv", index=False)  # fmt: skip
    found = said(f"log={tmp_path / 'log.csv'}", f"run={runs['ease']}", "temperature=1", "reward_model=run",
                 "estimators=ips,dr", "allow_low_ess=true")  # fmt: skip
    masked = np.where(hidden, -np.inf, scores)
    chance = np.exp(masked - masked.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    weight = chance[np.arange(n), items] * run.split.num_items
    assert found["estimates"][0]["value"] == pytest.approx((weight * reward).mean(), rel=1e-6)
    assert found["estimates"][1]["standard_error"] < found["estimates"][0]["standard_error"]
    with pytest.raises(ConfigError, match="temperature, epsilon: expected one of them"):
        main([f"log={tmp_path / 'log.csv'}", f"run={runs['ease']}"])


def test_whole_lists(tmp_path: Path, said: Said) -> None:
    log = own(tmp_path, position=np.arange(200) % 2, list=np.arange(200) // 2)
    found = said(
        log, "slate=list", "lists=true", "distinct=false", policy(tmp_path, "item,probability\na,0.5\nb,0.5\n")
    )
    assert [one["value"] for one in found["estimates"]] == pytest.approx([0.5] * 4)
    assert found["lists"] == 100
    assert found["on_policy_value"] is None


def test_lists_cross_fit_and_show_the_policys_own_value(tmp_path: Path, said: Said) -> None:
    log = own(tmp_path, position=np.arange(200) % 2, slate=np.arange(200) // 2, policy=["x"] * 120 + ["y"] * 80)
    asked = (log, "lists=true", "distinct=false", "behaviour=x", "policy=uniform")
    found = said(*asked, "on_policy=y")
    assert found["on_policy_value"] == pytest.approx(0.5)  # the sum of a list of two
    assert not any("folds=1" in note for note in found["notes"])
    assert any("folds=1" in note for note in said(*asked, "folds=1")["notes"])


def test_a_number_of_400_digits_in_a_policy_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(f'{{"p": [1{"0" * 400}, 0]}}')
    with pytest.raises(DataError, match=r"p\.json: expected"):
        main([own(tmp_path), f"policy={tmp_path / 'p.json'}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log=none.csv", "policy=uniform"], "none.csv: no such file"),
        (["policy=uniform"], r"expected log=\.\.\., "),
        (["LOG"], "policy: expected uniform, empirical, bts"),
        (["LOG", "policy=bts"], "found no 'bts'"),
        (["LOG", "policy=uniform", "reward=clicks"], "expected a column 'clicks'"),
        (["LOG", "policy=uniform", "campaign=men"], "campaign: expected none but with log=obd"),
        (["LOG", "policy=uniform", "estimators=[ips,ipw]"], "estimators: expected some of .*, got 'ipw'"),
        (["LOG", "policy=uniform", "behaviour=old"], "expected a column that names policies"),
        (["LOG", "policy=uniform", "temperature=1"], "expected a policy of scores, got policy=uniform"),
        (
            ["LOG", "POLICY", "temperature=-1"],
            "expected a column 'score'|temperature: expected a number above 0, got -1",
        ),
        (["LOG", "policy=uniform", "tau=-1"], "tau: expected a number of at least 0"),
        (["LOG", "policy=uniform", "tau=x"], "tau: expected numbers"),
        (["LOG", "policy=uniform", "folds=0"], "folds: expected 1 to 200, got 0"),
        (["LOG", "policy=uniform", "folds=x"], "folds: expected a whole number, got 'x'"),
        (["LOG", "policy=uniform", "reward_model=forest"], "reward_model: expected one of"),
        (["LOG", "policy=uniform", "reward_model=run"], r"reward_model=run: expected run=<folder>"),
        (["LOG", "policy=uniform", "reward_model=ridge", "l2=0"], "l2: expected a number above 0"),
        (["LOG", "policy=uniform", "cluster=user"], "cluster: expected a column that the log has"),
        (["LOG", "policy=uniform", "level=2"], "level: expected a number between 0 and 1, got 2"),
        (["LOG", "policy=uniform", "lists=true"], "expected columns slate and position"),
        (["LOG", "policy=uniform", "lists=true", "clip=3"], "clip: expected none with lists=true"),
        (["LOG", "policy=uniform", "lists=true", "reward_model=ridge"], "reward_model: expected tabular with lists"),
        (["LOG", "policy=uniform", "seed=-1"], "seed: expected a whole number from 0 to"),
        (["LOG", "policy=uniform", "lists=maybe"], "lists: expected one of .*, got 'maybe'"),
        (["LOG", "policy=uniform", "output=FILE"], "output: expected a folder"),
        (["log=obd", "policy=bts", "behaviour=ucb"], "behaviour: expected one of random, bts, got 'ucb'"),
        (["log=obd", "policy=bts", "campaign=kids"], "campaign: expected one of .*, got 'kids'"),
        (["log=obd", "policy=bts", "item=x"], "item: expected none with log=obd"),
        (["log=obd", "run=x"], "run: expected none with log=obd"),
    ],
)
def test_mistakes_are_one_line_that_names_them(arguments: list[str], message: str, tmp_path: Path) -> None:
    places = {"LOG": own(tmp_path), "POLICY": policy(tmp_path), "output=FILE": f"output={tmp_path / 'log.csv'}"}
    with pytest.raises(NcfError, match=message) as caught:
        main([f"root={DATA}", *(places.get(argument, argument) for argument in arguments)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text", "message"),
    [
        ({"propensity": [0.5] * 199 + [0]}, None, "log.csv, row 200: expected propensity as a probability above 0"),
        ({"reward": [0.0] * 199 + [np.nan]}, None, "found 1 of reward in 200 rows, the first in row 200"),
        ({"reward": ["no"] * 200}, None, "log.csv, row 1: expected reward as a number, found 'no'"),
        (
            {"item": ["a"] * 199 + ["c"]},
            None,
            "row 200: expected an item that the policy has a probability for, found c",
        ),
        ({}, "item,probability\na,0.5\nb,0.6\n", "policy.csv: expected probabilities that sum to 1, found 1.1"),
        ({}, "item,probability\na,0.5\nb,0.5\na,0\n", "policy.csv, row 3: expected each item once, found a again"),
        ({}, "item,score\na,0.5\nb,0.5\n", "expected a column 'probability'"),
    ],
)
def test_bad_files_end_with_status_2_and_one_line(
    change: dict[str, Any], text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    chances = policy(tmp_path) if text is None else policy(tmp_path, text)
    monkeypatch.setattr(sys, "argv", ["off_policy", own(tmp_path, **change), chances])
    with pytest.raises(SystemExit) as caught:
        command_line.run(main)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_repeated_rows_are_said(tmp_path: Path, said: Said) -> None:
    found = said(
        own(tmp_path, time=np.arange(200) // 2 * 1.0, item=["a"] * 200, reward=1), "policy=uniform", "estimators=ips"
    )
    assert any("100 rows repeat an earlier one" in note for note in found["notes"])
    assert any("standard errors from 1" in note for note in found["notes"])
