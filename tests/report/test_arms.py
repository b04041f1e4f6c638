"""The design of a table of runs: factors, nested and crossed settings, labels, baselines."""

import numpy as np
import pandas as pd
import pytest
from made_up_sweep import runs

from ncf.errors import DataError
from ncf.evaluation.metrics import METRICS
from ncf.evaluation.ratings import ERRORS
from ncf.report.arms import Arm, Design, is_metric


def table(*rows: dict[str, object]) -> pd.DataFrame:
    """Runs that differ in `rows`, three seeds each."""
    common = {"model": "neumf", "loss": "bce", "gamma": np.nan, "alpha": np.nan, "neg_ratio": 4}
    return pd.DataFrame([{**common, **row, "seed": seed} for row in rows for seed in (1, 2, 3)])


def design(*rows: dict[str, object], **chosen: str) -> Design:
    return Design(table(*rows), chosen)


def columns(found: Design) -> dict[str, list[str]]:
    return {factor.name: factor.columns for factor in found.factors}


def labels(found: Design) -> list[str]:
    return [arm.label for arm in found.arms]


FOCAL = {"loss": "focal", "gamma": 2.0, "alpha": 0.25}
MLP = {"model": "mlp", "model.hidden": "[128, 64, 32]"}


def test_arms_are_what_differs_but_the_seed_and_the_defaults_are_their_baseline() -> None:
    found = Design(runs(), {})
    assert columns(found) == {"loss": ["loss", "gamma", "alpha"], "optimizer.lr": ["optimizer.lr"]}
    assert labels(found) == ["BCE, lr 0.001", "BCE, lr 0.01", "focal, lr 0.001", "focal, lr 0.01"]


def test_a_setting_that_one_component_has_is_nested_in_it_and_no_label_carries_what_does_not_vary() -> None:
    found = design({"model": "gmf"}, {"model": "gmf", **FOCAL}, MLP, {**MLP, **FOCAL})
    assert columns(found) == {"model": ["model", "model.hidden"], "loss": ["loss", "gamma", "alpha"]}
    assert labels(found) == ["gmf, BCE", "gmf, focal", "mlp, BCE", "mlp, focal"]
    constants = [words for factor in found.factors for words in factor.constants]
    assert constants == ["mlp has hidden [128, 64, 32]", "focal has γ 2, α 0.25"]


def test_a_nested_setting_that_varies_is_in_the_label_and_its_default_is_the_baseline() -> None:
    found = design({**FOCAL, "gamma": 1.0}, FOCAL, {"model": "neumf"})
    assert columns(found) == {"loss": ["loss", "gamma", "alpha"]}
    assert labels(found) == ["BCE", "focal (γ 1)", "focal (γ 2)"]
    assert labels(design({**FOCAL, "gamma": 1.0}, FOCAL, {**FOCAL, "gamma": 3.0})) == ["γ 2", "γ 1", "γ 3"]


@pytest.mark.parametrize("values", [(0.01, 0.1), (np.nan, 1.0)], ids=["numbers", "none and a number"])
def test_a_setting_that_all_components_vary_alike_is_crossed_with_them(values: tuple[float, float]) -> None:
    rows = [{"optimizer.name": o, "optimizer.clip_norm": v} for o in ("adam", "sgd") for v in values]
    assert columns(design(*rows)) == {
        "optimizer": ["optimizer.name"],
        "optimizer.clip_norm": ["optimizer.clip_norm"],
    }


def test_settings_of_one_component_are_factors_of_their_own() -> None:
    rows = [{**FOCAL, "gamma": gamma, "alpha": alpha} for gamma in (1.0, 2.0) for alpha in (0.25, 0.5)]
    found = design(*rows)
    assert list(columns(found)) == ["gamma", "alpha"]
    assert labels(found) == ["γ 2, α 0.25", "γ 2, α 0.5", "γ 1, α 0.25", "γ 1, α 0.5"]


def test_values_of_its_own_make_a_setting_nested() -> None:
    found = design(*({"optimizer.lr": lr, "optimizer.name": o} for o, lr in (("adam", 0.001), ("sgd", 0.1))))
    assert columns(found) == {"optimizer": ["optimizer.name", "optimizer.lr"]}
    assert labels(found) == ["adam", "sgd"]


def test_settings_that_always_change_together_are_one_factor() -> None:
    found = design({"neg_ratio": 4, "trainer.batch_size": 1280}, {"neg_ratio": 10, "trainer.batch_size": 2816})
    assert columns(found) == {"neg_ratio with trainer.batch_size": ["neg_ratio", "trainer.batch_size"]}
    assert labels(found) == ["1:10, batch_size 2816", "1:4, batch_size 1280"]


def test_a_setting_that_is_off_is_none_and_numbers_that_differ_differ_in_the_labels() -> None:
    assert labels(design({"optimizer.clip_norm": np.nan}, {"optimizer.clip_norm": 1.0})) == [
        "clip_norm none", "clip_norm 1",
    ]  # fmt: skip
    close = labels(design({"optimizer.lr": 0.00123401}, {"optimizer.lr": 0.00123402}))
    assert close == ["optimizer.lr=0.00123401", "optimizer.lr=0.00123402"]
    assert labels(design({"trainer.batch_size": 1048576}, {"trainer.batch_size": 1048577})) == [
        "batch_size 1048576", "batch_size 1048577",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "baseline"),
    [
        ([{"model": "mlp", "model.dropout": 0.5}, {"model": "mlp", "model.dropout": 0.0}], "dropout 0"),
        ([{"model": "gmf", "model.factors": 8}, {"model": "gmf", "model.factors": 64}], "factors 64"),
        ([{"optimizer.name": "adam", "optimizer.lr": 0.0001}, {"optimizer.name": "adam", "optimizer.lr": 0.001},
          {"optimizer.name": "row_adam", "optimizer.lr": 0.0001}], "adam (lr 0.001)"),
        ([{"model": "mlp"}, {"model": "gmf"}, {"model": "gmf", "neg_ratio": 5}], "gmf, 1:4"),
        ([{"model": "mlp"}, {"model": "gmf"}], "gmf"),
        ([{"trainer.deterministic": True}, {"trainer.deterministic": False}], "deterministic false"),
    ],
    ids=["default", "default of the model", "default of the optimizer", "most runs", "the first", "truth"],
)  # fmt: skip
def test_the_baseline_is_the_default_else_what_most_runs_have_else_the_first(
    rows: list[dict[str, object]], baseline: str
) -> None:
    assert labels(design(*rows))[0] == baseline


def test_where_no_run_has_all_baselines_they_are_those_of_an_arm() -> None:
    found = design({**FOCAL, "neg_ratio": 10}, {"neg_ratio": 4}, {**FOCAL, "neg_ratio": 4})
    assert found.arms[0] == Arm(found.arms[0].label, found.baselines)
    assert [label for label in labels(found) if label == "BCE, 1:10"] == []


def test_more_arms_than_a_design_has_are_refused() -> None:
    frame = runs(seeds=60)
    with pytest.raises(
        DataError, match=r"expected at most 200 arms, found 240, which differ in loss, optimizer\.lr, model\.factors"
    ):
        _ = Design(frame.assign(**{"model.factors": frame["seed"]}), {}).arms


@pytest.mark.parametrize("metric", [*METRICS, *ERRORS])
def test_no_metric_is_a_setting(metric: str) -> None:
    column = f"{metric}@10" if metric in METRICS and METRICS[metric].cut else metric
    assert all(is_metric(f"{part}/{column}") for part in ("valid", "test"))
