"""`python -m ncf.imbalance`: whom a finished run serves, and the difference to another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import FinishedRuns

import ncf
from ncf import imbalance
from ncf.errors import ConfigError, DataError, NcfError
from ncf.evaluation.imbalance import HeldOut, best_threshold
from ncf.runs.loaded_run import LoadedRun


@pytest.fixture(scope="module")
def run(runs: FinishedRuns) -> LoadedRun:
    return ncf.load(runs["several"])


def test_all_tables_are_shown(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    imbalance.main([f"run={runs['several']}", f"against={runs['several']}", "n=5"])
    said, summaries, tiers, differences = capsys.readouterr().out.strip().split("\n\n")
    assert said.splitlines()[0] == "several: top 5"
    assert "a third of the training interactions each" in said
    assert [line.split()[1:3] for line in summaries.splitlines()[1:7]] == [
        [by, metric] for by in ("user", "item") for metric in ("precision", "recall", "f1")
    ]
    assert [line.split()[2] for line in tiers.splitlines()[1:7]] == [
        "light", "medium", "heavy", "niche", "mid", "popular"
    ]  # fmt: skip
    assert differences.splitlines()[0] == "several against several"
    assert {line.split()[-1] for line in differences.splitlines()[2:]} == {"1.0000"}


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "seed" / "run", tmp_path / "b" / "seed" / "run"]
    assert imbalance.names(folders) == ["a/seed/run", "b/seed/run"]
    assert imbalance.names([folders[0], tmp_path / "b" / "other"]) == ["run", "other"]
    assert imbalance.names([folders[0], folders[0]]) == ["run", "run"]


def test_all_zeros_have_no_interval_of_the_relative_change(run: LoadedRun) -> None:
    other = imbalance.counted(run, n=5)
    nothing = {by: replace(counts, hits=0 * counts.hits) for by, counts in other.counts.items()}
    tables = imbalance.report([replace(other, counts=nothing), other]).split("\n\n")
    rows = [line for line in tables[-1].splitlines()[2:] if "-100.0%" in line]
    assert rows
    assert not any("-100.0%]" in line or "[-100.0%" in line for line in rows)
    assert any(line.endswith("< 0.0001") for line in rows)


def test_the_parts_are_those_of_the_whole(run: LoadedRun) -> None:
    found = imbalance.counted(run, n=5)
    for by, counts in found.counts.items():
        assert (counts.relevant > 0).all()
        assert counts.relevant.sum() == len(run.split.test)
        assert sum(found.sizes[by]) == len(counts.relevant) + found.left_out[by]
        groups = dict(found.groups(by))
        assert sum(len(own.hits) for name, own in groups.items() if name != "all") == len(groups["all"].hits)
    assert found.counts["user"].hits.sum() == found.counts["item"].hits.sum()
    assert (found.counts["user"].predicted == 5).all()


def test_by_user_recall_at_n_is_the_evaluators(run: LoadedRun) -> None:
    own = imbalance.counted(run, n=10).counts["user"]
    expected = ncf.evaluate(run.model, run, metrics=["recall", "precision"], cutoffs=[10])
    assert own.recall().mean() == pytest.approx(expected["recall@10"])  # EASE has no ties here
    assert own.precision().mean() == pytest.approx(expected["precision@10"])


def test_a_threshold_is_chosen_on_validation(run: LoadedRun) -> None:
    chosen = imbalance.counted(run, n=None)
    assert chosen.rule.startswith("score >= ")
    value = float(chosen.rule.removeprefix("score >= "))
    best = {part: best_threshold(run.model.score, HeldOut(run.split, part)) for part in ("valid", "test")}
    assert value == pytest.approx(best["valid"], rel=1e-5)
    assert value != pytest.approx(best["test"], rel=1e-5)  # to choose on test would be seen
    given = imbalance.counted(run, n=None, threshold=value)
    assert np.abs(given.counts["user"].predicted.sum() - chosen.counts["user"].predicted.sum()) <= 1  # of six digits


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (["n=0"], ConfigError, "n: expected at least 1, got 0"),
        (["n=81"], ConfigError, "n: expected at most 80, the number of items, got 81"),
        (["rule=threshold", "n=5"], ConfigError, "n: expected rule=top_n, which it belongs to, got rule=threshold"),
        (["threshold=1"], ConfigError, "threshold: expected rule=threshold, which it belongs to, got rule=top_n"),
        (["rule=threshold", "threshold=1e9"], ConfigError, "threshold: expected one that a validation score reaches"),
        (["rule=best"], ConfigError, "rule: expected one of 'top_n', 'threshold', got 'best'"),
        (["against={ease}"], DataError, "{ease}: expected the split of {several}"),
        (["run={ease}"], DataError, "synthetic: expected users with several held-out positives, found at most 1 each"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    runs: FinishedRuns, options: list[str], kind: type[NcfError], message: str
) -> None:
    places: dict[str, Any] = {"ease": runs["ease"], "several": runs["several"]}
    with pytest.raises(kind) as caught:
        imbalance.main([f"run={runs['several']}", *(option.format(**places) for option in options)])
    assert str(caught.value).startswith(message.format(**places))
    assert "\n" not in str(caught.value)
