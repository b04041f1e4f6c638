"""Finished runs side by side: what differs, and what they rest on."""

import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf.report import side_by_side
from ncf.runs.loading import finished


def test_settings_that_only_one_run_has_are_shown_with_a_dash(runs: FinishedRuns) -> None:
    compared = [side_by_side.ComparedRun(runs[name], finished(runs[name])) for name in ("neumf", "ease")]
    differing = side_by_side.differences(compared)
    assert differing["model.name"] == ["neumf", "ease"]
    assert differing["model.gmf_factors"] == [8, "-"]
    assert not [key for key in differing if not key.startswith("model.")]


def test_where_things_lie_is_no_difference(runs: FinishedRuns) -> None:
    result = finished(runs["ease"])
    moved = {**result, "config": {**result["config"], "data": {**result["config"]["data"], "root": "/elsewhere"}}}
    pair = [side_by_side.ComparedRun(runs["ease"], one) for one in (result, moved)]
    assert side_by_side.differences(pair) == {}


def test_per_user_values_mean_to_the_runs_metrics(runs: FinishedRuns) -> None:
    for name in ("neumf", "ease", "popularity", "ials"):
        run = side_by_side.ComparedRun(runs[name], finished(runs[name]))
        for part in ("valid", "test"):
            table = side_by_side.per_user(run, part).drop(columns="item_id")
            assert table.mean().to_dict() == pytest.approx(run.result[part], abs=1e-12)


def test_runs_of_another_evaluation_are_not_paired(runs: FinishedRuns) -> None:
    result = finished(runs["ease"])
    evaluation = result["config"]["evaluation"] | {"ties": "optimistic"}
    other = side_by_side.ComparedRun(runs["ease"], result | {"config": result["config"] | {"evaluation": evaluation}})
    assert "no paired test: " in side_by_side.report([side_by_side.ComparedRun(runs["ease"], result), other], "test")


def test_positives_of_one_user_count_as_one(runs: FinishedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = [side_by_side.ComparedRun(runs[name], finished(runs[name])) for name in ("ease", "popularity")]
    alone = side_by_side.report(compared, "test")

    def twice(run: side_by_side.ComparedRun, part: str) -> pd.DataFrame:
        return pd.concat([own(run, part)] * 2)

    own = side_by_side.per_user
    monkeypatch.setattr(side_by_side, "per_user", twice)
    assert side_by_side.report(compared, "test") == alone


def test_a_default_that_an_identity_leaves_out_is_shown_and_not_a_dash(runs: FinishedRuns) -> None:
    result = finished(runs["neumf"])
    with_dropout = {**result["config"], "model": {**result["config"]["model"], "dropout": 0.5}}
    pair = [side_by_side.ComparedRun(runs["neumf"], one) for one in (result, {**result, "config": with_dropout})]
    assert side_by_side.differences(pair) == {"model.dropout": [0.0, 0.5]}
