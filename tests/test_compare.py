"""`python -m ncf.compare`: what differs between finished runs, and whether their users tell them apart."""

from pathlib import Path

import pytest
from finished_runs import FinishedRuns

from ncf import compare
from ncf.errors import ConfigError, DataError
from ncf.runs.loading import finished


def test_it_shows_what_differs_and_tests_pairs(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["neumf"]), str(runs["seed7"]), str(runs["popularity"])])
    shown = capsys.readouterr().out
    assert "seed" in shown
    assert "loss.name" not in shown  # the same in all
    assert "difference from 1 over 60 users (Wilcoxon p, Holm over 2 runs)" in shown


def test_settings_that_only_one_run_has_are_shown_with_a_dash(runs: FinishedRuns) -> None:
    compared = [compare.ComparedRun(runs[name], finished(runs[name])) for name in ("neumf", "ease")]
    differing = compare.differences(compared)
    assert differing["model.name"] == ["neumf", "ease"]
    assert differing["model.gmf_factors"] == [8, "-"]
    assert not [key for key in differing if not key.startswith("model.")]


def test_where_things_lie_is_no_difference(runs: FinishedRuns) -> None:
    result = finished(runs["ease"])
    moved = {**result, "config": {**result["config"], "data": {**result["config"]["data"], "root": "/elsewhere"}}}
    pair = [compare.ComparedRun(runs["ease"], one) for one in (result, moved)]
    assert compare.differences(pair) == {}


def test_per_user_values_mean_to_the_runs_metrics(runs: FinishedRuns) -> None:
    for name in ("neumf", "ease", "popularity", "ials"):
        run = compare.ComparedRun(runs[name], finished(runs[name]))
        for part in ("valid", "test"):
            table = compare.per_user(run, part).drop(columns="item_id")
            assert table.mean().to_dict() == pytest.approx(run.result[part], abs=1e-12)


def test_a_run_against_itself_shows_no_difference(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["ease"])])
    assert "+0.0000 (p 1)" in capsys.readouterr().out


def test_validation_positives_are_compared_when_asked(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["ials"]), "part=valid"])
    shown = capsys.readouterr().out
    assert f"{finished(runs['ials'])['valid']['ndcg@10']:.4f}" in shown
    assert "\nvalid" in shown


def test_runs_on_other_data_are_not_paired(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["other data"])])
    found = f"no paired test: {runs['other data']}: expected the same data and split as {runs['ease']}"
    assert found in capsys.readouterr().out


def test_runs_of_another_evaluation_are_not_paired(runs: FinishedRuns) -> None:
    result = finished(runs["ease"])
    evaluation = result["config"]["evaluation"] | {"ties": "optimistic"}
    other = compare.ComparedRun(runs["ease"], result | {"config": result["config"] | {"evaluation": evaluation}})
    assert "no paired test: " in compare.report([compare.ComparedRun(runs["ease"], result), other], "test")


def test_a_folder_without_a_run_is_named() -> None:
    with pytest.raises(DataError, match="expected a run folder, but nowhere does not exist"):
        compare.main(["nowhere"])


def test_options_may_stand_anywhere() -> None:
    assert compare.parser().parse(["a", "part=valid", "b"]).runs == [Path("a"), Path("b")]
    with pytest.raises(ConfigError, match="--part: invalid choice: 'train'"):
        compare.parser().parse(["a", "part=train"])
