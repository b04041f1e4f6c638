"""Finished runs side by side: what differs, and what they rest on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf.errors import DataError
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


def fold(model: str, fold: int, seed: int, hit: float) -> side_by_side.ComparedRun:
    """A run of `model` on one of three folds."""
    split = {"name": "random", "by": "user", "valid": 0.1, "test": 0.1, "folds": 3, "fold": fold, "seed": 0}
    config = {"model": {"name": model}, "loss": {"name": "bce"}, "split": split, "seed": seed, "neg_ratio": 4}
    result = {"config": config, "test": {"hit@10": hit}, "valid": {"hit@10": 0.0}, "data_digest": str(fold) * 64}
    return side_by_side.ComparedRun(Path(f"{model}-{fold}-{seed}"), result)


def test_folds_are_averaged_named_and_not_tested() -> None:
    runs = [fold(m, f, 1, hit) for m, hits in (("ease", (0.1, 0.2, 0.6)), ("mf", (0.5, 0.4, 0.3)))
            for f, hit in enumerate(hits)]  # fmt: skip
    shown = side_by_side.report(runs, "test")
    assert "means over 3 folds (0, 1, 2)\ntest    1 ease  2 mf\nhit@10  0.3000  0.4000\n" in shown
    assert "1 ease  ease-0-1 and 2 further folds" in shown
    assert "no paired test: these are means over folds, which share their data" in shown
    assert "split.fold" not in shown
    assert side_by_side.averaged(runs[:1] + runs[3:4]) == runs[:1] + runs[3:4]  # one fold is one split


def test_runs_without_a_fold_that_others_have_are_named() -> None:
    runs = [fold("ease", 0, 1, 0.1), fold("ease", 2, 1, 0.1), fold("mf", 0, 1, 0.1)]
    with pytest.raises(DataError, match=r"^mf-0-1: expected runs like it on the folds 0, 2, .*; missing are 2; "):
        side_by_side.averaged(runs)


def test_names_say_what_varies_and_no_setting_that_another_fixes() -> None:
    differing = {"model.name": ["mf", "mlp", "mlp"], "model.hidden": ["-", [8], [8]], "seed": [1, 1, 2]}
    assert side_by_side._names(differing, 3) == ["1 mf (seed 1)", "2 mlp (seed 1)", "3 mlp (seed 2)"]
    (long,) = side_by_side._names({"model.hidden": [list(range(99)), 1]}, 1)
    assert len(long) == 32
    assert long.endswith("...")


@pytest.mark.parametrize(
    ("runs", "pairs", "own_seed"),
    [
        ("a1 b1 c1", [(1, 0), (2, 0)], True),
        ("a1 a2 b1 b2", [(2, 0), (3, 1)], True),
        ("a1 a2 b2 b3", [(2, 1)], True),
        ("a1 b2 c3", [(1, 0), (2, 0)], False),
        ("a1 a2", [(1, 0)], False),
        ("a1 a1", [(1, 0)], True),
    ],
)
def test_pairs_are_of_one_seed_where_there_are_any(runs: str, pairs: list[tuple[int, int]], own_seed: bool) -> None:
    made = [fold(name, 0, int(seed), 0.1) for name, seed in runs.split()]
    assert side_by_side._pairs(made) == (pairs, own_seed)


def test_cautions_are_of_several_seeds_alone() -> None:
    def cautions(runs: str) -> str:
        made = [fold(name, 0, int(seed), 0.1) for name, seed in runs.split()]
        return "; ".join(side_by_side._cautions(made, *side_by_side._pairs(made)))

    assert cautions("a1 b1") == ""
    assert cautions("a1 b2").startswith("the seeds differ too: users are paired, seeds are not")
    assert cautions("a1 a2 b1 b2").startswith("each test is of one seed's users")
    assert cautions("a1 a2 b2 b3").startswith("in no test, for want of a counterpart of the same seed: 1, 4; each test")


def test_a_simulation_is_one_line_that_says_what_reads_it(runs: FinishedRuns) -> None:
    simulation = side_by_side.ComparedRun(runs["ease"], {"kind": "simulation", "regret": {"mean": 0.1}})
    with pytest.raises(DataError, match=r"found a simulation; python -m ncf\.report sweep=<folder> compares agents"):
        side_by_side.report([simulation], "test")


def test_a_service_is_one_line(runs: FinishedRuns) -> None:
    service = side_by_side.ComparedRun(runs["ease"], {"kind": "service", "effect": 0.1})
    with pytest.raises(DataError, match=r"expected a run of ncf\.train, found a service; read its estimates\.csv$"):
        side_by_side.report([service], "test")


@pytest.mark.parametrize(("few", "mark"), [(30.0, " *"), (-30.0, "")])
def test_a_mean_that_few_users_make_is_marked_where_the_test_shows_the_other_direction(few: float, mark: str) -> None:
    baseline = np.zeros(20)
    treatment = np.array([few] + [-1.0 - n / 100 for n in range(19)])  # 19 lose by 1, one wins or loses by 30
    test = side_by_side._test(treatment, baseline)
    assert test.p < 0.05
    mean = f"{treatment.mean():+.4f}"
    assert side_by_side._cell((treatment, baseline), test, 0.0314) == f"{mean} (p 0.0314){mark}"
